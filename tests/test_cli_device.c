/*
 * `--device` and `doctor` where there is a GPU, none, no driver, or one too old: by the program
 * itself, with a driver's library that the test builds, or in MODE=emu by CUDA_EMU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device.h"
#include "tests/cli.h"
#include "tests/picture_fixture.h"

static struct cli r;

static const char train[] = "train --model small --dataset shapes --batches 1 --batch-size 4";

static void run_train(const char *more)
{
    char words[256];
    snprintf(words, sizeof(words), "%s %s", train, more);
    cli_run(&r, words);
}

/* A run that ends so, and says this: of its device where it goes well, else of what was wrong. */
static void expect_train(const char *more, int status, const char *says)
{
    run_train(more);
    if (r.status != status || !strstr(status ? r.err : r.out, says))
        fail_msg("\"%s\": status %d, not %d and \"%s\": %s%s", more, r.status, status, says, r.out,
                 r.err);
}

/* Without a GPU, for this reason: auto falls to the CPU and says why, --device cuda is refused. */
static void expect_no_gpu(const char *reason)
{
    char line[512];
    run_train("");
    assert_int_equal(r.status, 0);
    const char *using = strstr(r.out, "Using cpu (");
    assert_non_null(using);
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(using, "\n"), using);
    if (!strstr(line, reason))
        fail_msg("\"%s\" does not say: %s", line, reason);
    run_train("--device cpu");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.out, reason));

    expect_train("--device cuda", 1, "--device cuda:0: ");
    assert_non_null(strstr(r.err, reason));
    assert_int_equal(strcspn(r.err, "\n") + 1, strlen(r.err)); /* one sentence */
    setenv("SPARSE_DEVICE", "cuda", 1);
    expect_train("", 1, "SPARSE_DEVICE cuda:0: ");
    assert_non_null(strstr(r.err, reason));
    expect_train("--device cpu", 0, "Using cpu (");
    unsetenv("SPARSE_DEVICE");

    expect_train("--conv-algo cudnn", 1, "--conv-algo cudnn wants a GPU");
    assert_non_null(strstr(r.err, reason));

    run_train("--math fp16");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "--math fp16 wants a GPU, this run is on the CPU: "));
    assert_non_null(strstr(r.err, reason));
    run_train("--math fp32");
    assert_int_equal(r.status, 0);

    cli_run(&r, "doctor");
    assert_int_equal(r.status, 0);
    snprintf(line, sizeof(line), "GPU              none: %s", reason);
    assert_non_null(strstr(r.out, line));
    cli_run(&r, "doctor --json");
    json_t *all = json_loads(r.out, 0, NULL), *gpu = json_object_get(all, "gpu");
    assert_true(json_is_false(json_object_get(gpu, "usable")));
    assert_non_null(strstr(json_string_value(json_object_get(gpu, "why_not")), reason));
    assert_int_equal(json_array_size(json_object_get(gpu, "devices")), 0);
    json_decref(all);
}

#ifdef EMULATED
static void set(const char *settings)
{
    assert_int_equal(setenv("CUDA_EMU", settings, 1), 0);
}

static void no_gpu(void **state)
{
    set("devices=0");
    expect_no_gpu("the NVIDIA driver sees no GPU");
    set("old-driver");
    expect_no_gpu("the NVIDIA driver knows CUDA 10.2, this program was built with 12.0");
}

static void two_gpus(void **state)
{
    set("devices=2,integrated");
    expect_train("", 0, "Using cuda:0 (emulated GPU 0, compute capability 7.2) for");
    expect_train("--device cuda:1", 0, "Using cuda:1 (emulated GPU 1,");
    expect_train("--conv-algo cudnn", 0, "cuDNN 9.0.0 computes what it can");
    expect_train("--threads 1", 0, "--isa and --threads are the CPU's");
    expect_train("--device cuda:2", 1, "--device cuda:2: GPU 2 is wanted, there are 2");
    setenv("SPARSE_DEVICE", "cuda:1", 1);
    expect_train("", 0, "Using cuda:1 (emulated GPU 1,");
    expect_train("--threads 1", 0, "--isa and --threads are the CPU's");
    setenv("SPARSE_DEVICE", "cpu", 1);
    expect_train("", 0, "Using cpu (");
    unsetenv("SPARSE_DEVICE");

    cli_run(&r, "doctor");
    assert_non_null(strstr(r.out, "GPU 1            emulated GPU 1, compute capability 7.2"));
    assert_non_null(strstr(r.out, "the CPU's memory; pins host memory in place\n"));
    cli_run(&r, "doctor --json");
    json_t *all = json_loads(r.out, 0, NULL), *gpu = json_object_get(all, "gpu");
    json_t *second = json_array_get(json_object_get(gpu, "devices"), 1);
    assert_true(json_is_true(json_object_get(gpu, "usable")));
    assert_string_equal(json_string_value(json_object_get(second, "name")), "emulated GPU 1");
    assert_true(json_is_true(json_object_get(second, "integrated")));
    assert_string_equal(json_string_value(json_object_get(gpu, "cuda_driver")), "12.0");
    json_decref(all);
}

/* Which pinned memory it is: doctor says so, a run in a line of its log. */
static void pinned_memory(void **state)
{
    static const struct {
        const char *setting, *why;
    } cases[] = {
        {"no-register", "GPU 0 does not pin memory in place"},
        {"fail-register", "cudaHostRegister: out of memory (CUDA error 2)"},
        {"elsewhere", "GPU 0 sees pinned memory at other addresses than the CPU"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set(cases[i].setting);
        run_train("");
        assert_int_equal(r.status, 0);
        const char *said = strstr(r.err, "Pinned memory is the driver's own");
        assert_non_null(said);
        assert_non_null(strstr(said, cases[i].why));
        assert_null(strstr(said + 1, "Pinned memory")); /* once */
        cli_run(&r, "doctor");
        assert_non_null(strstr(r.out, "; pinned memory is the driver's own (cudaHostAlloc)\n"));
        cli_run(&r, "doctor --json");
        json_t *all = json_loads(r.out, 0, NULL), *gpu = json_object_get(all, "gpu");
        json_t *first = json_array_get(json_object_get(gpu, "devices"), 0);
        assert_true(json_is_false(json_object_get(first, "pins_in_place")));
        json_decref(all);
    }
    set("");
    run_train("");
    assert_null(strstr(r.err, "Pinned memory"));
}

static const char detector[] = "[net]\nwidth=16\nheight=16\n[convolutional]\nfilters=2\nsize=3\n"
                               "pad=1\nactivation=leaky\n[convolutional]\nfilters=7\nsize=1\n"
                               "activation=linear\n[yolo]\nanchors=9,9\nclasses=2\n";
static const char infer[] = "infer --model m.cfg --inferences 1 --no-monitor --images p.png ";

/* The line that tells of choices, or NULL. */
static const char *chosen(const char *more)
{
    char words[256];
    snprintf(words, sizeof(words), "%s%s", infer, more);
    cli_expect(&r, words, 0, "");
    char *line = strstr(r.out, "Convolutions: ");
    if (line)
        line[strcspn(line, "\n")] = '\0';
    return line;
}

/* Measured by the first run, taken by the next; pinned; no cuDNN, or one of another version. */
static void own_or_cudnn(void **state)
{
    char first[512];
    size_t bytes;
    cli_write("m.cfg", detector, strlen(detector));
    cli_write("p.png", png_palette, sizeof(png_palette));
    set("");
    const char *line = chosen("");
    assert_non_null(line);
    assert_non_null(strstr(line, " (choices in ./data/cudnn-choices.json)"));
    snprintf(first, sizeof(first), "%s", line);
    char *kept = cli_file("data/cudnn-choices.json", &bytes);
    assert_non_null(strstr(kept, "emulated GPU 0, compute capability 7.2, driver for CUDA 12.0, "
                                 "cuDNN 9.0.0, sparse-engine "));
    assert_non_null(strstr(kept, "convolution forward 1x3x16x16 to 2x16x16"));
    assert_string_equal(chosen(""), first);
    char *again = cli_file("data/cudnn-choices.json", &bytes);
    assert_string_equal(again, kept);
    free(again);
    free(kept);
    assert_null(chosen("--conv-algo own"));
    assert_null(chosen("--math fp16")); /* which cuDNN's ways are not compared with */
    assert_string_equal(chosen("--conv-algo cudnn"), "Convolutions: own 0, cuDNN 2");

    static const struct {
        const char *set, *why;
    } without[] = {
        {"cudnn=0", "libcudnn.so.none: cannot open shared object file"},
        {"cudnn=8906", "cuDNN 8.9.6 was found, this program was built with 9"},
    };
    for (int i = 0; i < 2; i++) {
        set(without[i].set);
        assert_null(chosen("")); /* silently the own kernels */
        assert_string_equal(r.err, "");
        run_train("--conv-algo cudnn");
        assert_int_equal(r.status, 1);
        assert_non_null(strstr(r.err, without[i].why));
        cli_run(&r, "doctor");
        assert_non_null(strstr(r.out, without[i].why));
    }
    set("fail-cudnn=1"); /* a measurement that fails is ours; a step that fails ends the run */
    assert_int_equal(system("rm -r data"), 0);
    line = chosen("");
    assert_non_null(line);
    assert_non_null(strstr(line, "Convolutions: own 2, cuDNN 0"));
    cli_run(&r, "infer --model m.cfg --inferences 1 --images p.png --conv-algo cudnn");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "cudnnConvolutionForward: CUDNN_STATUS_EXECUTION_FAILED"));
    set("");
    cli_run(&r, "doctor");
    assert_non_null(strstr(r.out, "cuDNN            9.0.0\n"));
}

/* A wish for tensor cores is met or refused with a sentence, whoever lacks them. */
static void tensor_cores(void **state)
{
    static const struct {
        const char *gpu, *words, *says;
    } refused[] = {
        {"cc=72", "--math tf32",
         "--math tf32 wants a GPU of compute capability 8.0 or newer, emulated GPU 0 has 7.2: "
         "leave it out, or take --math fp16"},
        {"cc=61", "--math tf32", "emulated GPU 0 has 6.1: leave it out\n"},
        {"cc=61", "--math fp16", "--math fp16 wants a GPU of compute capability 7.0 or newer"},
        {"cc=90,compiled=75", "--math tf32",
         "compiled for compute capability 8.0 or newer, this program's are for 7.5: build it with "
         "CUDA_ARCHS=90"},
        {"cc=90", "--math fp16 --device cpu", "this run is on the CPU: leave it out"},
        {"cc=90", "--math tf32 --threads 1", "--isa and --threads are the CPU's"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        set(refused[i].gpu);
        run_train(refused[i].words);
        assert_int_equal(r.status, 1);
        if (!strstr(r.err, refused[i].says))
            fail_msg("%s on %s: %s", refused[i].words, refused[i].gpu, r.err);
        assert_int_equal(strcspn(r.err, "\n") + 1, strlen(r.err)); /* one sentence */
    }
    set("cc=80");
    run_train("--math tf32");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "for processing, products in tf32\n"));
    run_train("--math fp32");
    assert_non_null(strstr(r.out, "for processing\n"));
    set("cc=80,compiled=75");
    run_train("--math fp16");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "for processing, products in fp16\n"));
    run_train("--math tf32 --conv-algo cudnn");
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "in fp32 alone, there is --math tf32: leave one of them out"));
    set("");
}

/* A GPU's error ends the run with a sentence that names the call. */
static void failing_gpu(void **state)
{
    set("fail-work=20");
    run_train("");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "illegal memory access"));
    set("memory=1");
    run_train("");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "of GPU memory"));
    /* in a stream beside the first: copies in are the third that is made, lanes 4, 6, 8 and 10 */
    static const char *const beside[] = {"fail-stream=3,fail-work=2", "fail-stream=4,fail-work=5",
                                         "fail-stream=10,fail-work=5"};
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        set(beside[i]);
        run_train("--micro-batches 4");
        assert_int_equal(r.status, 1);
        assert_non_null(strstr(r.err, "a kernel or copy: an illegal memory access"));
        assert_null(strstr(r.out, "Trained 4"));
    }
    set("");
}
#else
static const char no_driver[] =
    "no NVIDIA driver on this machine: libcuda.so.1 is not there, or cannot be loaded";

/* What the program finds in place of the driver's library. */
static bool build_driver(const char *text)
{
    cli_write("cuda.c", text, strlen(text));
    return system("cc -shared -fPIC -o libcuda.so.1 cuda.c 2>/dev/null") == 0;
}

static void no_gpu(void **state)
{
    int driver, runtime, count;
    device_cuda_versions(&driver, &runtime);
    if (runtime == 0)
        expect_no_gpu("this program was built without CUDA");
    else if (device_cuda_count(&count) == 0)
        skip();
    else if (driver == 0)
        expect_no_gpu(no_driver);
}

static void other_drivers(void **state)
{
    int driver, runtime;
    device_cuda_versions(&driver, &runtime);
    if (runtime == 0)
        skip();
    const char *before = getenv("LD_LIBRARY_PATH");
    char here[1024], path[2200];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(path, sizeof(path), "%s%s%.1024s", here, before ? ":" : "", before ? before : "");
    if (!build_driver("int cuInit(unsigned flags) { return 0; }\n"
                      "int cuDriverGetVersion(int *v) { *v = 10020; return 0; }\n"))
        skip();
    setenv("LD_LIBRARY_PATH", path, 1);
    expect_no_gpu("the NVIDIA driver knows CUDA 10.2, this program was built with");
    assert_true(build_driver("int cuInit(unsigned flags) { return 100; }\n"
                             "int cuDriverGetVersion(int *v) { *v = 99990; return 0; }\n"));
    expect_no_gpu("the NVIDIA driver sees no GPU");
    assert_true(build_driver("int cuInit(unsigned flags) { return 999; }\n"
                             "int cuDriverGetVersion(int *v) { *v = 99990; return 0; }\n"));
    expect_no_gpu("the NVIDIA driver cannot be used: unknown error (CUDA error 999)");
    assert_true(build_driver("int nothing;\n"));
    expect_no_gpu(no_driver);
    cli_write("libcuda.so.1", "no library", 10);
    expect_no_gpu(no_driver);
    if (before)
        setenv("LD_LIBRARY_PATH", before, 1);
    else
        unsetenv("LD_LIBRARY_PATH");
}
#endif

/* SPARSE_DEVICE may be there, to put all tests on a device. */
static int enter(void **state)
{
    unsetenv("SPARSE_DEVICE");
    return cli_enter(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_gpu),
#ifdef EMULATED
        cmocka_unit_test(two_gpus),     cmocka_unit_test(pinned_memory),
        cmocka_unit_test(own_or_cudnn), cmocka_unit_test(tensor_cores),
        cmocka_unit_test(failing_gpu),
#else
        cmocka_unit_test(other_drivers),
#endif
    };
    return cmocka_run_group_tests(tests, enter, cli_leave);
}
