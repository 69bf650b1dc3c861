/* models/weights.h: round trips, what Python wrote, whole or part, merging, the writer, devices
 * whose memory is not ours. What a bad file meets is in test_safetensors.c. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "models/safetensors.h"
#include "models/weights.h"
#include "tests/refusal.h"
#include "tests/weights_fixture.h"

struct world {
    char folder[64];
    char *file; /* folder/w.safetensors */
    struct fake *a, *b;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->folder, sizeof(w->folder), "%s", folder_new());
    w->file = path_in(w->folder, "w.safetensors");
    w->a = fake_new(1.25f);
    w->b = fake_new(-100.0f);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char *remove;
    CHECK(asprintf(&remove, "rm -rf %s", w->folder) > 0 && system(remove) == 0);
    free(remove);
    free(w->file);
    free(w->a);
    free(w->b);
    free(w);
    return 0;
}

static void test_round_trip(void **state)
{
    struct world *w = *state;
    assert_ok(weights_save(&w->a->model, w->file));
    assert_ok(weights_load(&w->b->model, w->file));
    assert_memory_equal(w->a->data, w->b->data, sizeof(w->a->data));
    assert_int_equal(folder_entries(w->folder), 1); /* no temporary is left */

    size_t bytes;
    char *file = file_read(w->file, &bytes);
    uint64_t length;
    memcpy(&length, file, sizeof(length));
    assert_int_equal(length % 8, 0);
    assert_int_equal(bytes, 8 + length + sizeof(w->a->data));
    assert_non_null(strstr(file + 8, "\"net.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                                     "\"data_offsets\":[0,24]}"));
    assert_non_null(strstr(file + 8, "\"__metadata__\":{\"format\":\"pt\"}"));
    free(file);
}

/* tests/golden/small.safetensors was written by Python's safetensors 0.8.0
 * (safetensors.numpy.save_file): net.0.weight = (arange(6).reshape(2, 3) - 2.5) / 3, net.0.bias =
 * [1e-30, -1e30], norm.running_mean = [0.1, -0.0], and an I64 scalar and an F16 tensor that nobody
 * asks for. */
static void test_golden(void **state)
{
    struct world *w = *state;
    w->a->layer[1].param[0] = w->a->layer[1].param[1];
    w->a->layer[1].nparam = 1;
    assert_ok(weights_load(&w->a->model, "tests/golden/small.safetensors"));
    for (int i = 0; i < 6; i++)
        assert_true(w->a->data[i] == ((float)i - 2.5f) / 3.0f);
    assert_true(w->a->data[6] == 1e-30f && w->a->data[7] == -1e30f);
    assert_true(w->a->data[8] == 9.25f); /* was not asked for */
    assert_true(w->a->data[16] == 0.1f && w->a->data[17] == 0.0f && signbit(w->a->data[17]));
}

static void test_slices(void **state)
{
    struct world *w = *state;
    char *head = path_in(w->folder, "head.safetensors"),
         *tail = path_in(w->folder, "tail.safetensors");
    w->a->model.to = 1;
    assert_ok(weights_save(&w->a->model, head));
    w->a->model.from = 1, w->a->model.to = 2;
    assert_ok(weights_save(&w->a->model, tail));

    assert_refused(weights_load(&w->b->model, tail), EINVAL, tail, "net.0.weight", "2 of the 4",
                   "fake", "0:2");
    assert_true(w->b->data[8] == -92.0f); /* refused before anything was touched */
    w->b->model.from = 1;
    assert_ok(weights_load(&w->b->model, tail)); /* the slice alone */
    assert_true(w->b->data[0] == -100.0f && w->b->data[8] == 9.25f);

    assert_ok(weights_merge((const char *const[]){tail, head}, 2, w->file));
    w->b->model.from = 0;
    assert_ok(weights_load(&w->b->model, w->file));
    assert_memory_equal(w->a->data, w->b->data, sizeof(w->a->data));
    w->b->model.from = 1; /* a whole file feeds a part */
    assert_ok(weights_load(&w->b->model, w->file));

    assert_refused(weights_merge((const char *const[]){head, tail, head}, 3, w->file), EINVAL,
                   "net.0.weight", head);
    assert_refused(weights_merge(NULL, 0, w->file), EINVAL, "nothing to merge");
    assert_refused(weights_merge((const char *const[]){head, "/nowhere/part"}, 2, w->file), ENOENT,
                   "/nowhere/part");
    assert_ok(weights_merge((const char *const[]){head, tail}, 2, head)); /* onto a part itself */
    assert_ok(weights_load(&w->b->model, head));
    assert_int_equal(folder_entries(w->folder), 3);
    free(head);
    free(tail);
}

/* Other dtypes pass through a merge, larger elements first so that each lies aligned. */
static void test_merge_dtypes(void **state)
{
    struct world *w = *state;
    char *odd = path_in(w->folder, "odd.safetensors");
    safetensors_file(odd, "{\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3);
    assert_ok(
        weights_merge((const char *const[]){odd, "tests/golden/small.safetensors"}, 2, w->file));
    struct safetensors st;
    assert_ok(safetensors_open(&st, w->file));
    assert_int_equal(st.ntensor, 6);
    for (size_t i = 0; i < st.ntensor; i++)
        assert_int_equal(st.tensor[i].offset % safetensors_dtype_bytes(st.tensor[i].dtype), 0);
    assert_string_equal(st.tensor[5].name, "u");
    int64_t batches;
    uint16_t half[2];
    uint8_t u[3];
    assert_ok(
        safetensors_read(&st, safetensors_find(&st, "norm.num_batches_tracked"), 0, &batches, 8));
    assert_int_equal(batches, 7);
    assert_ok(safetensors_read(&st, safetensors_find(&st, "half"), 0, half, 4));
    assert_int_equal(half[1], 0x4100);
    assert_ok(safetensors_read(&st, safetensors_find(&st, "u"), 1, u, 2));
    assert_int_equal(u[1], 2);
    assert_int_equal(safetensors_find(&st, "norm.num_batches_tracked")->ndim, 0);
    safetensors_close(&st);
    free(odd);
}

static void test_wrong_model(void **state)
{
    struct world *w = *state;
    assert_ok(weights_save(&w->a->model, w->file));
    w->b->layer[0].param[0].value.dim[1] = 4;
    assert_refused(weights_load(&w->b->model, w->file), EINVAL, w->file, "net.0.weight", "(2, 3)",
                   "(2, 4)");
    w->b->layer[0].param[0].value.dim[1] = 3;
    w->b->layer[0].param[1].value.ndim = 2;
    w->b->layer[0].param[1].value.dim[1] = 1;
    assert_refused(weights_load(&w->b->model, w->file), EINVAL, w->file, "net.0.bias", "(2,)",
                   "(2, 1)");

    w->a->layer[0].nparam = 1;
    w->a->model.to = 1;
    safetensors_file(
        w->file, "{\"net.0.weight\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}",
        12);
    assert_refused(weights_load(&w->a->model, w->file), EINVAL, w->file, "net.0.weight", "F16",
                   "F32");
    safetensors_file(
        w->file, "{\"net.0.weight\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[0,3]}}", 3);
    assert_refused(weights_load(&w->a->model, w->file), EINVAL, w->file, "net.0.weight", "F4",
                   "F32");
    assert_refused(weights_load(&w->a->model, "/nowhere/w"), ENOENT, "/nowhere/w");
    assert_refused(weights_load(&w->a->model, w->folder), EINVAL, w->folder, "not a file");
}

/* A device whose memory the process must not touch: every byte passes through ops->copy. */
static size_t copied;
static int sync_result;

static void count_copy(struct device *d, void *dst, const void *src, size_t bytes)
{
    assert_true(bytes <= SAFETENSORS_BLOCK_BYTES);
    copied += bytes;
    memcpy(dst, src, bytes);
}

static int count_sync(struct device *d)
{
    return sync_result ? err_set(-sync_result, "the device fell over") : 0;
}

static void test_device_memory(void **state)
{
    struct world *w = *state;
    static const struct device_ops ops = {.name = "far", .copy = count_copy, .sync = count_sync};
    struct device far = {.ops = &ops};
    int big = 2 * SAFETENSORS_BLOCK_BYTES / 4 + 5; /* two blocks and a bit */
    float *here = malloc((size_t)big * 4), *there = calloc((size_t)big, 4);
    for (int i = 0; i < big; i++)
        here[i] = (float)i;
    for (struct fake *f = w->a; f; f = f == w->a ? w->b : NULL) {
        f->layer[0].param[0].value = tensor_f32(1, &big);
        f->layer[0].param[0].value.data = f == w->a ? here : there;
        f->layer[0].param[0].value.place = PLACE_DEVICE;
        f->layer[0].nparam = 1;
        f->model.to = 1;
        f->model.dev = &far;
    }
    copied = 0;
    assert_ok(weights_save(&w->a->model, w->file));
    assert_int_equal(copied, (size_t)big * 4);
    assert_ok(weights_load(&w->b->model, w->file));
    assert_int_equal(copied, (size_t)big * 8);
    assert_memory_equal(here, there, (size_t)big * 4);

    sync_result = -EIO;
    char *other = path_in(w->folder, "other");
    assert_refused(weights_load(&w->b->model, w->file), EIO, "fell over");
    assert_refused(weights_save(&w->a->model, other), EIO, "fell over");
    sync_result = 0;
    assert_int_equal(folder_entries(w->folder), 1); /* nothing of the failed save */
    free(other);
    free(here);
    free(there);
}

/* The disk is full half-way: the old file stands and nothing else is left. */
static void test_full_disk(void **state)
{
    struct world *w = *state;
    assert_ok(weights_save(&w->a->model, w->file));
    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 64; /* less than the header */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    int ret = weights_save(&w->b->model, w->file);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_refused(ret, EFBIG, w->file, "too large");
    assert_int_equal(folder_entries(w->folder), 1);
    assert_ok(weights_load(&w->b->model, w->file));
    assert_memory_equal(w->a->data, w->b->data, sizeof(w->a->data));
}

static void test_writable(void **state)
{
    struct world *w = *state;
    assert_ok(weights_writable(w->file));
    assert_int_equal(folder_entries(w->folder), 0);
    assert_ok(weights_writable("no-such-file-in-the-current-folder"));
    assert_refused(weights_writable(w->folder), EISDIR, w->folder, "is a folder");
    assert_refused(weights_writable(""), EISDIR, "file's name");
    assert_refused(weights_writable("/dev/null"), EINVAL, "/dev/null", "not a regular file");
    assert_refused(weights_save(&w->a->model, "/dev/null"), EINVAL, "/dev/null");
    char *deep = path_in(w->folder, "missing/w.safetensors"), *slash = path_in(w->folder, "new/");
    assert_refused(weights_writable(deep), ENOENT, deep, "folder");
    assert_refused(weights_save(&w->a->model, deep), ENOENT, deep);
    assert_refused(weights_writable(slash), EISDIR, slash);

    /* A folder of somebody else's; root may write everywhere, so it stops being root. */
    assert_ok(chmod(w->folder, 0555));
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) < 0)
            _exit(1);
        int ret = weights_writable(w->file);
        _exit(ret == -EACCES && strstr(err_text(), "not writable") ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(chmod(w->folder, 0755));
    free(deep);
    free(slash);
}

/* A link is written through: the file behind it is the one that changes. */
static void test_symbolic_link(void **state)
{
    struct world *w = *state;
    char *link = path_in(w->folder, "link");
    assert_ok(weights_save(&w->b->model, w->file));
    assert_ok(symlink("w.safetensors", link));
    assert_ok(weights_save(&w->a->model, link));
    struct stat sb;
    assert_ok(lstat(link, &sb));
    assert_true(S_ISLNK(sb.st_mode));
    assert_ok(weights_load(&w->b->model, w->file));
    assert_memory_equal(w->a->data, w->b->data, sizeof(w->a->data));
    free(link);
}

static void test_writer(void **state)
{
    struct world *w = *state;
    struct tensor shape = tensor_f32(2, (int[]){3, 2});
    const float rows[6] = {1, 2, 3, 4, 5, 6};
    struct weights_writer *writer;
    assert_ok(weights_writer_open(&writer, w->file, "predictions", &shape));
    assert_ok(weights_writer_append(writer, rows, 4));
    assert_refused(weights_writer_commit(writer), EINVAL, w->file, "16 of 24");
    assert_refused(weights_writer_append(writer, rows, 3), EINVAL, w->file, "24 bytes");
    assert_int_equal(access(w->file, F_OK), -1); /* nothing is seen before commit */
    assert_ok(weights_writer_append(writer, rows + 4, 2));
    assert_ok(weights_writer_commit(writer));
    weights_writer_close(writer);

    struct safetensors st;
    float back[6];
    assert_ok(safetensors_open(&st, w->file));
    assert_int_equal(st.ntensor, 1);
    assert_int_equal(st.tensor[0].dim[0], 3);
    assert_ok(safetensors_read(&st, safetensors_find(&st, "predictions"), 0, back, sizeof(back)));
    assert_memory_equal(back, rows, sizeof(rows));
    safetensors_close(&st);

    assert_ok(weights_writer_open(&writer, w->file, "predictions", &shape));
    assert_int_equal(folder_entries(w->folder), 2);
    weights_writer_close(writer); /* given up: the old file stands */
    assert_int_equal(folder_entries(w->folder), 1);
    assert_refused(weights_writer_open(&writer, "/nowhere/p", "predictions", &shape), ENOENT,
                   "/nowhere");
    weights_writer_close(writer);
    weights_writer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_golden, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merge_dtypes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_symbolic_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
