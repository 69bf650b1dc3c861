/*
 * What is particular to the kernels' form on a GPU: arrays that do not lie at 16 bytes, lengths
 * around a vector, more elements than a grid has threads, work that is shared by several blocks,
 * division by multiplication. What they compute is tested beside the CPU's kernels, by
 * check_each_isa.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/cuda/divide.h"
#include "kernels/cuda/images.h"
#include "tests/check.h"

/* More quads than the threads of a whole grid, of the emulated GPU or of a large one. */
#ifdef EMULATED
enum { MANY = 70003 };
#else
enum { MANY = 8000003 };
#endif

static void on_gpu(void (*fn)(struct device *d, struct device *ref))
{
    if (!check_cuda())
        skip();
    struct device *ref = check_device("reference", 1);
    fn(check_cuda(), ref);
    device_close(ref);
}

/* bytes of poison (a NaN for floats), or as many random numbers, `offset` bytes off alignment. */
static float *floats_at(size_t n, size_t offset, uint32_t seed)
{
    float *x = guarded_at(n * sizeof(float), offset);
    if (seed)
        random_fill(x, n, seed, -2, 2);
    return x;
}

static void divides_like(uint32_t by)
{
    struct divisor d = divisor_make(by);
    for (uint64_t k = 0; k <= DIVIDE_MOST; k += k < 64 ? 1 : k / 3)
        for (int off = -1; off <= 1; off++) {
            uint64_t near = k / by * by, n[2] = {k + (uint64_t)off, near + (uint64_t)off};
            for (int i = 0; i < 2; i++)
                if (n[i] <= DIVIDE_MOST && divide((uint32_t)n[i], d) != (uint32_t)n[i] / by)
                    fail_msg("%u / %u: got %u", (uint32_t)n[i], by, divide((uint32_t)n[i], d));
        }
    assert_int_equal(divide(DIVIDE_MOST, d), DIVIDE_MOST / by);
}

static void division(void **state)
{
    for (uint32_t by = 1; by < 5000; by++)
        divides_like(by);
    for (uint32_t bit = 1 << 12; bit; bit <<= 1)
        for (int off = -2; off <= 2; off++)
            if (bit + (uint32_t)off <= DIVIDE_MOST)
                divides_like(bit + (uint32_t)off);
    struct rng r = rng_make(1, RNG_TEST, 0, 0);
    for (uint64_t i = 0; i < 2000; i++)
        divides_like(1 + rng_word(&r, i) % DIVIDE_MOST);
}

/* Launches that count in 32 bits cover arrays of more elements, each image once. */
static void images(void **state)
{
    static const size_t shapes[][2] = {{1, 1},           {7, 1000},        {5, (size_t)1 << 30},
                                       {3, DIVIDE_MOST}, {100000, 100000}, {0, 10}};
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
        size_t all = shapes[k][0], plane = shapes[k][1], seen = 0;
        for (struct images i = images_first(all, plane); i.count; i = images_next(i)) {
            assert_int_equal(i.first, seen);
            assert_true(i.count * plane <= DIVIDE_MOST);
            assert_true(i.first + i.count == all || (i.count + 1) * plane > DIVIDE_MOST);
            seen += i.count;
        }
        assert_int_equal(seen, all);
    }
}

/* n elements at three alignments: every elementwise kernel that has vectors. */
static void elementwise(struct device *d, struct device *ref, size_t n, size_t a, size_t b,
                        size_t c)
{
    size_t bytes = n * sizeof(float);
    float *x = floats_at(n, a, 1), *y = floats_at(n, b, 2), *got = floats_at(n, c, 3);
    float *want = floats_at(n, 0, 3);
    const struct kernels *k = d->kernels, *r = ref->kernels;
    struct rng key = rng_make(5, RNG_TEST, 1, 2);
    for (int act = ACT_NONE; act < ACT_COUNT; act++)
        for (int add = 0; add < 2; add++) {
            r->act_forward(ref, want, x, n, act);
            k->act_forward(d, got, x, n, act);
            check_nmse("act forward", got, want, n, 1e-13);
            r->act_backward(ref, want, x, y, n, act, add);
            k->act_backward(d, got, x, y, n, act, add);
            check_nmse("act backward", got, want, n, 1e-13);
        }
    r->fill_uniform(ref, want, n, &key, -1, 1);
    k->fill_uniform(d, got, n, &key, -1, 1);
    check_same("fill_uniform", got, want, bytes);
    r->axpby(ref, want, x, n, 0.3f, -1.7f);
    k->axpby(d, got, x, n, 0.3f, -1.7f);
    check_nmse("axpby", got, want, n, 1e-14);
    r->fill_normal(ref, want, n, &key, 1, 2);
    k->fill_normal(d, got, n, &key, 1, 2);
    check_same("fill_normal", got, want, bytes);
    for (uint64_t first = 0; first < 6; first++)
        for (int add = 0; add < 2; add++) {
            r->dropout_backward(ref, want, x, n, 0.4f, &key, first, add);
            k->dropout_backward(d, got, x, n, 0.4f, &key, first, add);
            check_same("dropout", got, want, bytes);
        }
    r->fill(ref, want, n, 3);
    k->fill(d, got, n, 3);
    check_same("fill", got, want, bytes);
    guarded_free_at(x, a);
    guarded_free_at(y, b);
    guarded_free_at(got, c);
    guarded_free(want);
}

/* a: offset of the floats; b: of the halves, in bytes too. */
static void halves(struct device *d, struct device *ref, size_t n, size_t a, size_t b)
{
    float *x = floats_at(n, a, 1), *back = floats_at(n, 0, 0);
    uint16_t *h = guarded_at(n * 2, b), *want = guarded(n * 2);
    ref->kernels->f32_to_f16(ref, want, x, n);
    d->kernels->f32_to_f16(d, h, x, n);
    check_same("to half", h, want, n * 2);
    ref->kernels->f16_to_f32(ref, back, want, n);
    d->kernels->f16_to_f32(d, x, h, n);
    check_same("to float", x, back, n * sizeof(float));
    guarded_free_at(x, a);
    guarded_free(back);
    guarded_free_at(h, b);
    guarded_free(want);
}

static void unaligned_on(struct device *d, struct device *ref)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 1027};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t off = 0; off < 64; off += sizes[i] < 9 ? 12 : 4)
            elementwise(d, ref, sizes[i], off % 16, off / 16 * 4, (off + 8) % 16);
        elementwise(d, ref, sizes[i], 0, 0, 0);
        elementwise(d, ref, sizes[i], 4, 4, 4); /* dropout's blocks begin in the middle */
        for (size_t off = 0; off < 16; off++)
            halves(d, ref, sizes[i], off / 4 * 4, off % 4 * 2);
    }
}

static void unaligned(void **state)
{
    on_gpu(unaligned_on);
}

/* A NaN stays one through every activation, in quads and in the rest. */
static void nans_on(struct device *d, struct device *ref)
{
    enum { N = 7 };
    float *x = floats_at(N, 0, 1), *out = floats_at(N, 0, 0);
    x[1] = x[N - 1] = NAN;
    for (int act = ACT_NONE; act < ACT_COUNT; act++) {
        d->kernels->act_forward(d, out, x, N, act);
        for (int i = 0; i < N; i++)
            assert_true(!isnan(out[i]) == !isnan(x[i]));
    }
    guarded_free(x);
    guarded_free(out);
}

static void nans(void **state)
{
    on_gpu(nans_on);
}

static void whole_grids_on(struct device *d, struct device *ref)
{
    elementwise(d, ref, MANY, 0, 0, 0);
    elementwise(d, ref, MANY, 4, 8, 0);
    halves(d, ref, MANY, 0, 0);
    halves(d, ref, MANY, 4, 2);
}

static void whole_grids(void **state)
{
    on_gpu(whole_grids_on);
}

/* Rows in quads, and every way in which they are none. */
static void copies_on(struct device *d, struct device *ref)
{
    static const struct {
        size_t row, rows, dst, src, to, from; /* the last two: bytes off alignment */
    } shapes[] = {
        {8, 5, 12, 16, 0, 0},      {8, 5, 12, 16, 4, 0},
        {8, 5, 12, 16, 0, 8},      {8, 5, 12, 16, 4, 4},
        {6, 5, 12, 16, 0, 0},      {8, 5, 13, 16, 0, 0},
        {8, 5, 12, 15, 0, 0},      {8, 5, 8, 8, 0, 0},
        {7, 5, 7, 7, 0, 0},        {12, 1, 5, 3, 0, 0},
        {11, 1, 5, 3, 0, 0},       {4, MANY / 4, 4, 8, 0, 0},
        {3, MANY / 4, 5, 3, 0, 0}, {MANY, 2, MANY, MANY + 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        size_t row = shapes[i].row, rows = shapes[i].rows, dst = shapes[i].dst;
        size_t to = (rows - 1) * dst + row, from = (rows - 1) * shapes[i].src + row;
        float *x = floats_at(from, shapes[i].from, 1), *got = floats_at(to, shapes[i].to, 2);
        float *want = floats_at(to, 0, 2);
        for (int add = 0; add < 2; add++) {
            ref->kernels->copy_rows(ref, want, dst, x, shapes[i].src, row, rows, add);
            d->kernels->copy_rows(d, got, dst, x, shapes[i].src, row, rows, add);
            check_same("copy_rows", got, want, to * sizeof(float));
        }
        guarded_free_at(x, shapes[i].from);
        guarded_free_at(got, shapes[i].to);
        guarded_free(want);
    }
}

static void copies(void **state)
{
    on_gpu(copies_on);
}

/* image: bytes off alignment of the large side, whose pixels go in pairs where they can. */
static void pool_compare(struct device *d, struct device *ref, const struct pool_dims *s,
                         size_t image)
{
    size_t images = (size_t)s->n * (size_t)s->c, in = images * (size_t)(s->h * s->w);
    size_t outs = images * (size_t)(s->oh * s->ow);
    float *x = floats_at(in, image, 1), *out = floats_at(outs, 4, 0), *want = floats_at(outs, 0, 0);
    float *dinp = floats_at(in, image, 2), *want_dinp = floats_at(in, 0, 2);
    uint8_t *arg = guarded_at(outs, 1), *want_arg = guarded(outs);
    ref->kernels->maxpool_forward(ref, want, want_arg, x, s);
    d->kernels->maxpool_forward(d, out, arg, x, s);
    check_same("max", out, want, outs * sizeof(float));
    check_same("arg", arg, want_arg, outs);
    for (int add = 1; add >= 0; add--) {
        ref->kernels->maxpool_backward(ref, want_dinp, want, want_arg, s, add);
        d->kernels->maxpool_backward(d, dinp, out, arg, s, add);
        check_same("dinp", dinp, want_dinp, in * sizeof(float));
    }
    guarded_free_at(x, image);
    guarded_free_at(out, 4);
    guarded_free(want);
    guarded_free_at(dinp, image);
    guarded_free(want_dinp);
    guarded_free_at(arg, 1);
    guarded_free(want_arg);
}

/* Windows of nothing but minus infinity: the first place inside the image, and in pairs. */
static void lowest_on(struct device *d, struct device *ref)
{
    static const struct pool_dims shapes[] = {{1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 3, 3},
                                              {1, 1, 2, 4, 2, 2, 2, 2, 0, 0, 1, 2}};
    for (int k = 0; k < 2; k++) {
        const struct pool_dims *s = &shapes[k];
        size_t in = (size_t)(s->h * s->w), outs = (size_t)(s->oh * s->ow);
        float *x = floats_at(in, 0, 0), *out = floats_at(outs, 0, 0);
        uint8_t *arg = guarded(outs), *want = guarded(outs);
        for (size_t i = 0; i < in; i++)
            x[i] = -INFINITY;
        ref->kernels->maxpool_forward(ref, out, want, x, s);
        d->kernels->maxpool_forward(d, out, arg, x, s);
        check_same("arg", arg, want, outs);
        for (size_t i = 0; i < outs; i++)
            assert_true(out[i] == -INFINITY);
        guarded_free(x);
        guarded_free(out);
        guarded_free(arg);
        guarded_free(want);
    }
}

static void pools_on(struct device *d, struct device *ref)
{
    static const struct pool_dims pairs = {3, 5, 6, 10, 2, 2, 2, 2, 0, 0, 3, 5};
    for (size_t off = 0; off < 16; off += 4)
        pool_compare(d, ref, &pairs, off);
    struct pool_dims many = {1, 2, 2, MANY / 2, 2, 2, 2, 2, 0, 0, 1, MANY / 4};
    many.w = 2 * many.ow;
    pool_compare(d, ref, &many, 0);
    pool_compare(d, ref, &many, 4);
    pool_compare(d, ref, &(struct pool_dims){1, 1, 2, MANY, 3, 3, 1, 1, 1, 1, 2, MANY}, 0);
}

static void pools(void **state)
{
    on_gpu(pools_on);
    on_gpu(lowest_on);
}

/* Both directions of upsampling (oh 0: by ow) or of the average pool. */
static void resample(struct device *d, struct device *ref, int c, int h, int w, int oh, int ow,
                     size_t off)
{
    size_t in = (size_t)c * (size_t)(h * w);
    size_t outs = (size_t)c * (size_t)(oh ? oh * ow : h * ow * w * ow);
    float *x = floats_at(in, 0, 1), *y = floats_at(outs, off, 2), *dx = floats_at(in, 0, 3);
    float *want = floats_at(outs, 0, 0), *want_dx = floats_at(in, 0, 3);
    struct device *dev[2] = {ref, d};
    for (int i = 0; i < 2; i++) {
        const struct kernels *k = dev[i]->kernels;
        float *to = i ? y : want, *back = i ? dx : want_dx;
        if (oh) {
            k->avgpool_backward(dev[i], back, y, 1, c, h, w, oh, ow, 1);
            k->avgpool_forward(dev[i], i ? y : want, x, 1, c, h, w, oh, ow);
        } else {
            k->upsample_backward(dev[i], back, y, 1, c, h, w, ow, 1);
            k->upsample_forward(dev[i], to, x, 1, c, h, w, ow);
        }
    }
    check_nmse("forward", y, want, outs, 1e-13);
    check_nmse("backward", dx, want_dx, in, 1e-13);
    guarded_free(x);
    guarded_free_at(y, off);
    guarded_free(dx);
    guarded_free(want);
    guarded_free(want_dx);
}

static void resamples_on(struct device *d, struct device *ref)
{
    for (size_t off = 0; off < 16; off += 4)
        resample(d, ref, 3, 5, 7, 0, 2, off);
    resample(d, ref, 2, 3, MANY / 6, 0, 2, 0);
    resample(d, ref, 2, 3, MANY / 6, 0, 3, 0);
    resample(d, ref, MANY / 35, 5, 7, 3, 2, 0);
    resample(d, ref, MANY / 35, 7, 7, 1, 1, 0); /* a warp a bin, and a pixel's many bins */
    resample(d, ref, MANY / 35, 1, 1, 7, 7, 0);
    resample(d, ref, 2, 64, 65, 3, 4, 0);
    resample(d, ref, 2, 3, 4, 64, 65, 0);
}

static void resamples(void **state)
{
    on_gpu(resamples_on);
}

struct norm {
    float *out, *mean, *invstd, *rmean, *rvar, *dinp, *dweight, *dbias;
};

static void norm_run(struct device *d, const struct norm *a, const float *x, const float *dy,
                     const float *wb, int n, int c, int hw)
{
    size_t k = (size_t)c;
    random_fill(a->rmean, k, 3, -1, 1);
    random_fill(a->rvar, k, 4, 0.5f, 2);
    random_fill(a->dinp, (size_t)n * k * (size_t)hw, 5, -1, 1);
    d->kernels->batchnorm_forward_train(d, a->out, a->mean, a->invstd, a->rmean, a->rvar, x, wb,
                                        wb + k, n, c, hw, 0.1f, 1e-5f);
    d->kernels->batchnorm_backward_data(d, a->dinp, a->dweight, a->dbias, dy, x, wb, a->mean,
                                        a->invstd, n, c, hw, 1e-5f, 1);
}

static struct norm norm_new(size_t all, size_t c, size_t off)
{
    struct norm a = {floats_at(all, off, 0), floats_at(c, 0, 0), floats_at(c, 0, 0),
                     floats_at(c, 0, 0),     floats_at(c, 0, 0), floats_at(all, off, 0),
                     floats_at(c, 0, 0),     floats_at(c, 0, 0)};
    return a;
}

static void norm_free(struct norm *a, size_t off)
{
    float *channels[] = {a->mean, a->invstd, a->rmean, a->rvar, a->dweight, a->dbias};
    for (size_t i = 0; i < 6; i++)
        guarded_free(channels[i]);
    guarded_free_at(a->out, off);
    guarded_free_at(a->dinp, off);
}

/* Against the reference, and the same bits a second time. `first`: the channels' first element,
 * from which the kernels count; the mean: of the others. */
static void norm_compare(struct device *d, struct device *ref, int n, int c, int hw, size_t off,
                         float mean, float first)
{
    size_t k = (size_t)c, all = (size_t)n * k * (size_t)hw;
    float *x = floats_at(all, off, 1), *dy = floats_at(all, off, 2), *wb = floats_at(2 * k, 0, 6);
    for (size_t i = 0; i < all; i++)
        x[i] += mean;
    for (size_t i = 0; i < k; i++)
        x[i * (size_t)hw] += first;
    struct norm a[3] = {norm_new(all, k, off), norm_new(all, k, off), norm_new(all, k, off)};
    norm_run(ref, &a[0], x, dy, wb, n, c, hw);
    norm_run(d, &a[1], x, dy, wb, n, c, hw);
    norm_run(d, &a[2], x, dy, wb, n, c, hw);
    double limit = 1e-12 * (1 + (double)mean * mean);
    check_nmse("train", a[1].out, a[0].out, all, limit);
    check_nmse("saved invstd", a[1].invstd, a[0].invstd, k, 1e-12);
    check_nmse("running mean", a[1].rmean, a[0].rmean, k, 1e-12);
    check_nmse("running variance", a[1].rvar, a[0].rvar, k, 1e-12);
    check_nmse("dinp", a[1].dinp, a[0].dinp, all, limit);
    check_nmse("dweight", a[1].dweight, a[0].dweight, k, limit);
    check_nmse("dbias", a[1].dbias, a[0].dbias, k, 1e-11);
    check_same("train again", a[2].out, a[1].out, all * sizeof(float));
    check_same("dinp again", a[2].dinp, a[1].dinp, all * sizeof(float));
    check_same("dweight again", a[2].dweight, a[1].dweight, k * sizeof(float));
    for (int i = 0; i < 3; i++)
        norm_free(&a[i], off);
    guarded_free_at(x, off);
    guarded_free_at(dy, off);
    guarded_free(wb);
}

static void norms_on(struct device *d, struct device *ref)
{
    static const int shapes[][3] = {
        {1, 1, 40001}, {3, 2, 8192}, {3, 2, 8191},   {2, 65, 400}, {17, 3, 1024},
        {1, 4099, 4},  {5, 37, 1},   {1, 1, 530000}, {1, 2, 4},    {1, 3, 3},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const int *s = shapes[i];
        norm_compare(d, ref, s[0], s[1], s[2], 0, 0, 0);
        if (s[0] * s[2] < 17 || s[2] > 100000)
            continue; /* of few values far from 0 nothing but rounding is left */
        norm_compare(d, ref, s[0], s[1], s[2], 4, 100, 0);
        norm_compare(d, ref, s[0], s[1], s[2], 0, 1, 50);
    }
}

static void norms(void **state)
{
    on_gpu(norms_on);
}

/* A block or a warp a sample; the gradient over the logits; answers so sure that a float's 1 + loss
 * is 1. */
static void losses_on(struct device *d, struct device *ref)
{
    static const int classes[] = {1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        int c = classes[i];
        size_t all = 5 * (size_t)c;
        float *x = floats_at(all, 0, 1), *dx = floats_at(all, 0, 0), *want = floats_at(all, 0, 0);
        float *loss = floats_at(5, 0, 0), *want_loss = floats_at(5, 0, 0);
        int32_t *labels = guarded(5 * sizeof(*labels));
        for (int b = 0; b < 5; b++) {
            labels[b] = b * 13 % c;
            x[b * c + labels[b]] += (float)(5 * b);
        }
        ref->kernels->softmax_xent(ref, want_loss, want, x, labels, 5, c, 0.25f);
        d->kernels->softmax_xent(d, loss, dx, x, labels, 5, c, 0.25f);
        for (int b = 0; b < 5; b++) {
            /* as far as the doubles of the reference know the loss of a sure answer */
            if (!(fabsf(loss[b] - want_loss[b]) <= 1e-5f * want_loss[b]))
                fail_msg("%d classes: loss %.9g, want %.9g", c, loss[b], want_loss[b]);
            float g = dx[b * c + labels[b]], w = want[b * c + labels[b]];
            if (!(fabsf(g - w) <= 1e-5f * fabsf(w)))
                fail_msg("%d classes: label's gradient %.9g, want %.9g", c, g, w);
        }
        check_nmse("dlogits", dx, want, all, 1e-12);
        d->kernels->softmax_xent(d, want_loss, x, x, labels, 5, c, 0.25f);
        check_same("dlogits in place", x, dx, all * sizeof(float));
        check_same("loss again", want_loss, loss, 5 * sizeof(float));
        void *arrays[] = {x, dx, want, loss, want_loss, labels};
        for (int k = 0; k < 6; k++)
            guarded_free(arrays[k]);
    }
}

static void losses(void **state)
{
    on_gpu(losses_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(division), cmocka_unit_test(images),      cmocka_unit_test(unaligned),
        cmocka_unit_test(nans),     cmocka_unit_test(whole_grids), cmocka_unit_test(copies),
        cmocka_unit_test(pools),    cmocka_unit_test(resamples),   cmocka_unit_test(norms),
        cmocka_unit_test(losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
