/*
 * Every allocation in reading and writing files fails once: the n-th, for n from 0 until the call
 * needs no more of them. Each time the call says -ENOMEM, gives back what it took, and leaves no
 * file. malloc and its kin are this program's own, so jansson's and zlib's allocations fail as
 * well.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "base/log.h"
#include "datasets/dataset.h"
#include "models/weights.h"
#include "tests/refusal.h"
#include "tests/weights_fixture.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAVE_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_SANITIZER 1 /* which brings its own malloc */
#endif

static bool counting;
static int until_failure, live;
static bool failed;

static void need_own_malloc(void)
{
#ifdef HAVE_SANITIZER
    skip();
#endif
}

#ifndef HAVE_SANITIZER
/* NOLINTBEGIN(bugprone-reserved-identifier): these are the C library's own names */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void __libc_free(void *p);
/* NOLINTEND(bugprone-reserved-identifier) */

static bool fails(void)
{
    if (!counting || until_failure-- != 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    live += counting && p;
    return p;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : counted(__libc_malloc(bytes));
}

void *calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : counted(__libc_calloc(n, bytes));
}

void *realloc(void *p, size_t bytes)
{
    if (fails())
        return NULL;
    void *moved = __libc_realloc(p, bytes);
    live += counting && !p && moved;
    return moved;
}

void free(void *p)
{
    live -= counting && p;
    __libc_free(p);
}
#endif

static char folder[64];
static struct fake *fake;
static char *weights, *part, *other;

/* Runs the call with the n-th allocation failing, for every n; `entries`: files in the folder after
 * it. */
static void every_allocation(const char *what, int (*call)(void), int entries, bool reads_json)
{
    int n = 0;
    for (;; n++) {
        until_failure = n;
        live = 0;
        failed = false;
        counting = true;
        int ret = call();
        counting = false;
        if (live != 0)
            fail_msg("%s: %d allocations live on after number %d failed", what, live, n);
        assert_int_equal(folder_entries(folder), entries);
        if (!failed) {
            assert_int_equal(ret, 0);
            break;
        }
        /* jansson calls some of these failures an error in the text. */
        if (reads_json && ret == -EINVAL && strstr(err_text(), "the header is not JSON"))
            continue;
        if (ret != -ENOMEM || !strstr(err_text(), "memory"))
            fail_msg("%s: allocation %d fails: %d, \"%s\"", what, n, ret, err_text());
    }
    assert_true(n > 0); /* the stand-ins are in use */
}

static int save(void)
{
    return weights_save(&fake->model, weights);
}

static int load(void)
{
    return weights_load(&fake->model, weights);
}

static int merge(void)
{
    return weights_merge((const char *const[]){weights, part}, 2, other);
}

static int writable(void)
{
    return weights_writable(weights);
}

static int predictions(void)
{
    struct weights_writer *w;
    struct tensor shape = tensor_f32(2, (int[]){2, 1});
    int ret = weights_writer_open(&w, other, "predictions", &shape);
    if (ret == 0)
        ret = weights_writer_append(w, (const float[]){1, 2}, 2);
    if (ret == 0)
        ret = weights_writer_commit(w);
    weights_writer_close(w);
    return ret;
}

static void test_weights(void **state)
{
    need_own_malloc();
    assert_int_equal(weights_save(&fake->model, weights), 0);
    every_allocation("save", save, 1, false);
    every_allocation("load", load, 1, true);
    every_allocation("writable", writable, 1, false);
    safetensors_file(part, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    file_write(other, "old", 3); /* stands until the new one is whole */
    every_allocation("merge", merge, 3, true);
    every_allocation("predictions", predictions, 3, false);
}

static int open_set(const char *name, int c, int side)
{
    struct dataset *ds;
    struct dataset_want want = {
        .name = name, .data_dir = folder, .split = DATASET_TEST, .c = c, .h = side, .w = side};
    int ret = dataset_open(&ds, &want);
    CHECK(ret == 0 || !ds);
    dataset_close(ds);
    return ret;
}

static int open_mnist(void)
{
    return open_set("mnist", 1, 28);
}

static int open_cifar(void)
{
    return open_set("cifar10", 3, 32);
}

static int open_shapes(void)
{
    return open_set("shapes", 3, 32);
}

static int open_loader(void)
{
    static struct dataset ds = {.count = 10};
    struct loader l;
    int ret = loader_open(&l, &ds, 3, 0, true, 1);
    loader_close(&l);
    return ret;
}

static void test_datasets(void **state)
{
    need_own_malloc();
    static uint8_t images[16 + 2 * 28 * 28] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28};
    static const uint8_t labels[10] = {0, 0, 8, 1, 0, 0, 0, 2}, records[2 * 3073];
    char *names[4] = {path_in(folder, "mnist"), path_in(folder, "mnist/t10k-images-idx3-ubyte"),
                      path_in(folder, "mnist/t10k-labels-idx1-ubyte"),
                      path_in(folder, "test_batch.bin")};
    assert_int_equal(mkdir(names[0], 0755), 0);
    file_write(names[1], images, sizeof(images));
    file_write(names[2], labels, sizeof(labels));
    file_write(names[3], records, sizeof(records));
    every_allocation("mnist", open_mnist, 2, false);
    every_allocation("cifar10", open_cifar, 2, false);
    every_allocation("shapes", open_shapes, 2, false);
    every_allocation("loader", open_loader, 2, false);
    for (int i = 0; i < 4; i++)
        free(names[i]);
}

static int set_up(void **state)
{
    log_set_level(LOG_ERROR); /* a set shorter than the published one is warned of */
    snprintf(folder, sizeof(folder), "%s", folder_new());
    weights = path_in(folder, "weights");
    part = path_in(folder, "part");
    other = path_in(folder, "other");
    fake = fake_new(1);
    return 0;
}

static int tear_down(void **state)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    free(weights);
    free(part);
    free(other);
    free(fake);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_datasets, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
