/*
 * Batch-norm over the channels, in two launches: the first reduces a channel in several blocks, the
 * second adds up what they found, in order, and goes over the elements. A thread keeps mean and
 * squares of what it has seen and merges four elements at a time (Chan, Golub, LeVeque, "Updating
 * formulae and a pairwise algorithm for computing sample variances", 1979), counted from the
 * channel's first element: floats suffice, whatever the mean. Training moves 12 bytes an element,
 * evaluation 8, backward 20 and adding 24; less where the second launch finds the L2 cache filled.
 */
#include <math.h>

#include "kernels/cuda/act.h"
#include "kernels/cuda/channels.h"
#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/reduce.h"

static_assert(CHANNEL_FOUND * 3 * sizeof(float) <= CUDA_SCRATCH, "what the blocks found");

struct moments {
    float n, mean, m2; /* m2: sum of squares of what is off the mean */
};

static __device__ __forceinline__ struct moments merge(const struct moments &a,
                                                       const struct moments &b)
{
    float n = a.n + b.n, share = n > 0 ? b.n / n : 0.0f, off = b.mean - a.mean;
    struct moments sum = {n, a.mean + off * share, a.m2 + b.m2 + off * off * (a.n * share)};
    return sum;
}

static __device__ __forceinline__ struct moments moments_of(const float v[4], int m, float origin)
{
    float sum = 0, squares = 0;
    for (int j = 0; j < 4; j++)
        sum += j < m ? v[j] - origin : 0.0f;
    float mean = m == 4 ? sum * 0.25f : sum / (float)m;
    for (int j = 0; j < 4; j++) {
        float off = v[j] - origin - mean;
        squares += j < m ? off * off : 0.0f;
    }
    struct moments of = {(float)m, mean, squares};
    return of;
}

/* Every thread gets the block's. */
static __device__ struct moments block_merge(struct moments a)
{
    __shared__ struct moments shared[CUDA_WARPS];
    for (int step = CUDA_WARP / 2; step > 0; step /= 2) {
        struct moments b = {__shfl_down_sync(0xffffffffu, a.n, step),
                            __shfl_down_sync(0xffffffffu, a.mean, step),
                            __shfl_down_sync(0xffffffffu, a.m2, step)};
        a = merge(a, b);
    }
    return block_join(a, shared, merge);
}

/* found: (channels of the launch, blocks). */
template <bool QUADS>
static __global__ void channel_moments(struct moments *found, const float *inp, struct channels s)
{
    uint32_t k = s.first + blockIdx.y;
    float origin = inp[k * (size_t)s.width * (QUADS ? 4 : 1)], v[4];
    struct moments a = {0, 0, 0};
    CHANNEL_EACH(e, s)
    {
        int m = channel_load<QUADS>(v, inp, s, k, e);
        a = merge(a, moments_of(v, m, origin));
    }
    a = block_merge(a);
    if (threadIdx.x == 0)
        found[blockIdx.y * gridDim.x + blockIdx.x] = a;
}

/* out = act((inp - mean) * scale + bias), this block's share. */
template <bool QUADS>
static __device__ __forceinline__ void apply(float *out, const float *inp, const struct channels &s,
                                             uint32_t k, float mean, float scale, float bias,
                                             enum act act)
{
    float v[4];
    CHANNEL_EACH(e, s)
    {
        channel_load<QUADS>(v, inp, s, k, e);
        for (int j = 0; j < 4; j++)
            v[j] = cuda_act((v[j] - mean) * scale + bias, act);
        channel_store<QUADS>(out, v, s, k, e);
    }
}

struct train {
    float *saved_mean, *saved_invstd, *running_mean, *running_var;
    const float *weight, *bias;
    float momentum, eps;
};

template <bool QUADS>
static __global__ void channel_train(float *out, const float *inp, const struct moments *found,
                                     struct channels s, struct train t)
{
    uint32_t k = s.first + blockIdx.y;
    struct moments a = {0, 0, 0};
    if (threadIdx.x < s.blocks)
        a = found[blockIdx.y * s.blocks + threadIdx.x];
    a = block_merge(a);
    float mean = inp[k * (size_t)s.width * (QUADS ? 4 : 1)] + a.mean, var = a.m2 / a.n;
    float invstd = 1.0f / sqrtf(var + t.eps);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        float unbiased = a.n > 1 ? a.m2 / (a.n - 1) : var, keep = 1 - t.momentum;
        t.saved_mean[k] = mean;
        t.saved_invstd[k] = invstd;
        t.running_mean[k] = keep * t.running_mean[k] + t.momentum * mean;
        t.running_var[k] = keep * t.running_var[k] + t.momentum * unbiased;
    }
    apply<QUADS>(out, inp, s, k, mean, invstd * t.weight[k], t.bias[k], ACT_NONE);
}

template <bool QUADS>
static __global__ void channel_eval(float *out, const float *inp, const float *weight,
                                    const float *bias, const float *mean, const float *var,
                                    float eps, enum act act, struct channels s)
{
    uint32_t k = s.first + blockIdx.y;
    apply<QUADS>(out, inp, s, k, mean[k], weight[k] / sqrtf(var[k] + eps), bias[k], act);
}

struct backward {
    float *saved_dweight, *saved_dbias;
    const float *weight, *saved_mean, *saved_invstd;
    float count; /* elements a channel */
    int add;
};

/* found: the sums of dout and of dout * (inp - mean). */
template <bool QUADS>
static __global__ void channel_sums(float2 *found, const float *dout, const float *inp,
                                    struct channels s, struct backward t)
{
    __shared__ float shared[CUDA_WARPS];
    uint32_t k = s.first + blockIdx.y;
    float mean = t.saved_mean[k], dbias = 0, product = 0, x[4], dy[4];
    CHANNEL_EACH(e, s)
    {
        channel_load<QUADS>(x, inp, s, k, e);
        channel_load<QUADS>(dy, dout, s, k, e);
        dbias += dy[0] + dy[1] + (dy[2] + dy[3]);
        product += dy[0] * (x[0] - mean) + dy[1] * (x[1] - mean) +
                   (dy[2] * (x[2] - mean) + dy[3] * (x[3] - mean));
    }
    dbias = block_sum(dbias, shared);
    product = block_sum(product, shared);
    if (threadIdx.x == 0)
        found[blockIdx.y * gridDim.x + blockIdx.x] = make_float2(dbias, product);
}

template <bool QUADS>
static __global__ void channel_gradient(float *dinp, const float *dout, const float *inp,
                                        const float2 *found, struct channels s, struct backward t)
{
    __shared__ float shared[CUDA_WARPS];
    uint32_t k = s.first + blockIdx.y;
    float2 own = make_float2(0, 0);
    if (threadIdx.x < s.blocks)
        own = found[blockIdx.y * s.blocks + threadIdx.x];
    float dbias = block_sum(own.x, shared);
    float mean = t.saved_mean[k], invstd = t.saved_invstd[k];
    float dweight = block_sum(own.y, shared) * invstd;
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        t.saved_dweight[k] = dweight;
        t.saved_dbias[k] = dbias;
    }
    float factor = t.weight[k] * invstd, from_bias = dbias / t.count;
    float from_weight = invstd * dweight / t.count, x[4], dy[4], g[4] = {0, 0, 0, 0};
    CHANNEL_EACH(e, s)
    {
        channel_load<QUADS>(x, inp, s, k, e);
        channel_load<QUADS>(dy, dout, s, k, e);
        if (t.add)
            channel_load<QUADS>(g, dinp, s, k, e);
        for (int j = 0; j < 4; j++)
            x[j] =
                factor * (dy[j] - from_bias - (x[j] - mean) * from_weight) + (t.add ? g[j] : 0.0f);
        channel_store<QUADS>(dinp, x, s, k, e);
    }
}

template <bool QUADS>
static void run_train(struct device *d, float *out, const float *inp, int n, int c, int hw,
                      const struct train &t)
{
    struct moments *found = (struct moments *)cuda_of(d)->now->scratch;
    for (struct channels s = channels_first(n, c, hw, QUADS); s.some; s = channels_next(s)) {
        dim3 grid(s.blocks, s.some);
        LAUNCH(d, channel_moments<QUADS>, grid, s.threads, 0, found, inp, s);
        LAUNCH(d, channel_train<QUADS>, grid, s.threads, 0, out, inp, found, s, t);
    }
}

void CUDA(batchnorm_forward_train)(struct device *d, float *out, float *saved_mean,
                                   float *saved_invstd, float *running_mean, float *running_var,
                                   const float *inp, const float *weight, const float *bias, int n,
                                   int c, int hw, float momentum, float eps)
{
    struct train t = {saved_mean, saved_invstd, running_mean, running_var,
                      weight,     bias,         momentum,     eps};
    if (cudnn_batchnorm_train(d, out, saved_mean, saved_invstd, running_mean, running_var, inp,
                              weight, bias, n, c, hw, momentum, eps))
        return;
    if (channels_quads(hw, out, inp))
        run_train<true>(d, out, inp, n, c, hw, t);
    else
        run_train<false>(d, out, inp, n, c, hw, t);
}

void CUDA(batchnorm_forward_eval)(struct device *d, float *out, const float *inp,
                                  const float *weight, const float *bias, const float *running_mean,
                                  const float *running_var, int n, int c, int hw, float eps,
                                  enum act act)
{
    if (cudnn_batchnorm_eval(d, out, inp, weight, bias, running_mean, running_var, n, c, hw, eps)) {
        if (act != ACT_NONE)
            CUDA(act_forward)(d, out, out, (size_t)n * (size_t)c * (size_t)hw, act);
        return;
    }
    int quads = channels_quads(hw, out, inp);
    for (struct channels s = channels_first(n, c, hw, quads); s.some; s = channels_next(s)) {
        dim3 grid(s.blocks, s.some);
        if (quads)
            LAUNCH(d, channel_eval<true>, grid, s.threads, 0, out, inp, weight, bias, running_mean,
                   running_var, eps, act, s);
        else
            LAUNCH(d, channel_eval<false>, grid, s.threads, 0, out, inp, weight, bias, running_mean,
                   running_var, eps, act, s);
    }
}

template <bool QUADS>
static void run_backward(struct device *d, float *dinp, const float *dout, const float *inp, int n,
                         int c, int hw, const struct backward &t)
{
    float2 *found = (float2 *)cuda_of(d)->now->scratch;
    for (struct channels s = channels_first(n, c, hw, QUADS); s.some; s = channels_next(s)) {
        dim3 grid(s.blocks, s.some);
        LAUNCH(d, channel_sums<QUADS>, grid, s.threads, 0, found, dout, inp, s, t);
        LAUNCH(d, channel_gradient<QUADS>, grid, s.threads, 0, dinp, dout, inp, found, s, t);
    }
}

void CUDA(batchnorm_backward_data)(struct device *d, float *dinp, float *saved_dweight,
                                   float *saved_dbias, const float *dout, const float *inp,
                                   const float *weight, const float *saved_mean,
                                   const float *saved_invstd, int n, int c, int hw, float eps,
                                   int add)
{
    struct backward t = {saved_dweight, saved_dbias,          weight, saved_mean,
                         saved_invstd,  (float)n * (float)hw, add};
    if (cudnn_batchnorm_backward(d, dinp, saved_dweight, saved_dbias, dout, inp, weight, saved_mean,
                                 saved_invstd, n, c, hw, eps, add))
        return;
    if (channels_quads(hw, dinp, dout, inp))
        run_backward<true>(d, dinp, dout, inp, n, c, hw, t);
    else
        run_backward<false>(d, dinp, dout, inp, n, c, hw, t);
}
