/* What a call means: defaults, each option's range, precedence of flag, environment, files,
 * default; refusals. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "engine/config.h"

enum { MAX_WORDS = 12 };

static const char *const variables[] = {"MASTER_UPSTREAM_HOST",  "MASTER_UPSTREAM_PORT",
                                        "WORKER_LISTEN_ADDRESS", "WORKER_LISTEN_PORT",
                                        "SPARSE_DATA_DIR",       "SPARSE_DEVICE"};

static char line[512], *argv[MAX_WORDS];

static int read_call(struct config *c, enum command command, const char *words)
{
    int argc = 0;
    snprintf(line, sizeof(line), "%s", words);
    for (char *p = strtok(line, " "); p; p = strtok(NULL, " ")) {
        assert_true(argc < MAX_WORDS);
        argv[argc++] = p;
    }
    struct words w;
    if (options_parse(&w, command, argc, argv) < 0)
        fail_msg("\"%s\": %s", words, err_text());
    return config_read(c, &w);
}

static void must_read(struct config *c, enum command command, const char *words)
{
    if (read_call(c, command, words) < 0)
        fail_msg("\"%s\": %s", words, err_text());
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* An empty folder as the working directory, and none of the variables set. */
static int enter(void **state)
{
    char folder[] = "/tmp/sparse-config-XXXXXX";
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
        unsetenv(variables[i]);
    if (!mkdtemp(folder) || chdir(folder))
        return -1;
    *state = strdup(folder);
    return 0;
}

static int leave(void **state)
{
    for (const char *const *f = (const char *const[]){".env", "data/.env", "other.env", NULL}; *f;
         f++)
        unlink(*f);
    rmdir("data");
    int ret = chdir("/") || rmdir(*state);
    free(*state);
    return ret;
}

static void test_defaults(void **state)
{
    struct config c;
    must_read(&c, CMD_TRAIN, "");
    assert_string_equal(c.role->name, "aio");
    assert_string_equal(c.model, "vgg11");
    assert_int_equal(c.part, PART_UNSAID);
    assert_int_equal(c.from, -1);
    assert_int_equal(c.to, -1);
    assert_int_equal(c.codec, 0);
    assert_int_equal(c.wire_dtype, DTYPE_F32);
    assert_string_equal(c.dataset, "auto");
    assert_string_equal(c.data_dir, "./data");
    assert_int_equal(c.batch_size, 64);
    assert_int_equal(c.batches, 64);
    assert_int_equal(c.epochs, 1);
    assert_true(c.lr == 1e-3f && c.momentum == 0 && c.weight_decay == 0 && c.dropout == 0.5f);
    assert_false(c.shuffle);
    assert_int_equal(c.seed, 1);
    assert_int_equal(c.micro_batches, 1);
    assert_true(!c.weights && !c.save && !c.log && !c.output);
    assert_int_equal(c.device, DEVICE_AUTO);
    assert_int_equal(c.threads, 0);
    assert_string_equal(c.isa, "auto");
    assert_int_equal(c.conv_algo, CONV_AUTO);
    assert_int_equal(c.transport, TRANSPORT_AUTO);
    assert_true(!c.json && !c.quiet && !c.verbose && c.monitor);
    config_close(&c);
    must_read(&c, CMD_INFER, "");
    assert_string_equal(c.model, "yolov3");
    assert_int_equal(c.inferences, 100);
    config_close(&c);
    must_read(&c, CMD_INSPECT, "");
    assert_null(c.model);
    config_close(&c);
}

static void test_values(void **state)
{
    struct config c;
    must_read(&c, CMD_TRAIN, "--batch-size 7 --batches 0 --epochs 9 --lr 0.25 --momentum .9");
    assert_int_equal(c.batch_size, 7);
    assert_int_equal(c.batches, 0);
    assert_int_equal(c.epochs, 9);
    assert_true(c.lr == 0.25f && c.momentum == .9f);
    assert_true(config_given(&c, OPT_EPOCHS) && !config_given(&c, OPT_SEED));
    config_close(&c);
    must_read(&c, CMD_TRAIN,
              "--weight-decay 5e-4 --dropout 0 --shuffle --seed 18446744073709551615");
    assert_true(c.weight_decay == 5e-4f && c.dropout == 0 && c.shuffle);
    assert_true(c.seed == UINT64_MAX);
    config_close(&c);
    must_read(&c, CMD_TRAIN,
              "--micro-batches 64 --save s --log l --weights w --threads 2 --isa plain");
    assert_int_equal(c.micro_batches, 64);
    assert_string_equal(c.save, "s");
    assert_string_equal(c.log, "l");
    assert_string_equal(c.weights, "w");
    assert_int_equal(c.threads, 2);
    assert_string_equal(c.isa, "plain");
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--conv-algo cudnn");
    assert_int_equal(c.conv_algo, CONV_CUDNN);
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--lr 1");
    assert_int_equal(c.math, MATH_FP32);
    config_close(&c);
    must_read(&c, CMD_INFER, "--math fp16");
    assert_int_equal(c.math, MATH_FP16);
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--math tf32 --conv-algo own");
    assert_int_equal(c.math, MATH_TF32);
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--role client --codec conv:4 --wire-dtype f16 --transport poll");
    assert_int_equal(c.codec, 4);
    assert_int_equal(c.wire_dtype, DTYPE_F16);
    assert_int_equal(c.transport, TRANSPORT_POLL);
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--device cuda:3 --dataset mnist --no-monitor --quiet --codec none");
    assert_int_equal(c.device, DEVICE_CUDA);
    assert_int_equal(c.device_number, 3);
    assert_string_equal(c.dataset, "mnist");
    assert_true(!c.monitor && c.quiet && !c.codec);
    config_close(&c);
    must_read(&c, CMD_INFER, "--inferences 0 --json --output o --suite aio");
    assert_int_equal(c.inferences, 0);
    assert_true(c.json);
    assert_string_equal(c.output, "o");
    config_close(&c);
    must_read(&c, CMD_MERGE, "a --save c b");
    assert_int_equal(c.npart_file, 2);
    assert_string_equal(c.part_file[1], "b");
    config_close(&c);
}

static void test_layers(void **state)
{
    static const struct {
        const char *words;
        int from, to;
    } row[] = {{"--layers 0:6", 0, 6},
               {"--layers 6:", 6, -1},
               {"--layers :6", -1, 6},
               {"--layers :", -1, -1}};
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        struct config c;
        must_read(&c, CMD_TRAIN, row[i].words);
        assert_int_equal(c.from, row[i].from);
        assert_int_equal(c.to, row[i].to);
        config_close(&c);
    }
}

/* The original's suites and models. */
static void test_original_names(void **state)
{
    static const struct {
        const char *words, *role, *model;
        enum model_part part;
    } row[] = {
        {"--suite aio --model-name VGG_unsplit", "aio", "vgg11", PART_WHOLE},
        {"--suite offload_source --batches 64 --batch-size 64", "source", "vgg11", PART_UNSAID},
        {"--suite offload_client --model VGG_client", "client", "vgg11", PART_FIRST},
        {"--suite offload_intermediate --model VGG_client", "intermediate", "vgg11", PART_FIRST},
        {"--suite offload_final --model VGG_server", "final", "vgg11", PART_LAST},
        {"--suite offload_final --model Small_server", "final", "small", PART_LAST},
        {"--role final --model Small_unsplit", "final", "small", PART_WHOLE},
        {"--role final --model YOLOv3_server", "final", "yolov3", PART_LAST},
        {"--role final --model some.cfg", "final", "some.cfg", PART_UNSAID},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        struct config c;
        must_read(&c, CMD_TRAIN, row[i].words);
        assert_string_equal(c.role->name, row[i].role);
        assert_string_equal(c.model, row[i].model);
        assert_int_equal(c.part, row[i].part);
        config_close(&c);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        enum command command;
        const char *words, *sentence;
    } row[] = {
        {CMD_TRAIN, "--epochs abc", "--epochs wants a whole number from 1 to"},
        {CMD_TRAIN, "--epochs 3x", "there is \"3x\""},
        {CMD_TRAIN, "--epochs 0", "--epochs"},
        {CMD_TRAIN, "--epochs -1", "--epochs"},
        {CMD_TRAIN, "--epochs +1", "--epochs"},
        {CMD_TRAIN, "--epochs 1.5", "--epochs"},
        {CMD_TRAIN, "--epochs=", "there is \"\""},
        {CMD_TRAIN, "--epochs 0x10", "--epochs"},
        {CMD_TRAIN, "--epochs 99999999999999999999999", "--epochs"},
        {CMD_TRAIN, "--batch-size 0", "from 1 to 65536"},
        {CMD_TRAIN, "--batch-size 65537", "--batch-size"},
        {CMD_TRAIN, "--batches -5", "--batches"},
        {CMD_TRAIN, "--seed 18446744073709551616", "--seed"},
        {CMD_TRAIN, "--lr fast", "--lr wants a number of at least 0, there is \"fast\""},
        {CMD_TRAIN, "--lr nan", "--lr"},
        {CMD_TRAIN, "--lr inf", "--lr"},
        {CMD_TRAIN, "--lr 1e99", "--lr"},
        {CMD_TRAIN, "--lr -0.1", "--lr"},
        {CMD_TRAIN, "--lr 0x1p-3", "--lr"},
        {CMD_TRAIN, "--lr 0.1.2", "--lr"},
        {CMD_TRAIN, "--lr=", "--lr"},
        {CMD_TRAIN, "--momentum 1", "from 0 to below 1"},
        {CMD_TRAIN, "--dropout 1", "from 0 to below 1"},
        {CMD_TRAIN, "--weight-decay -1", "--weight-decay"},
        {CMD_TRAIN, "--micro-batches 0", "--micro-batches"},
        {CMD_TRAIN, "--micro-batches 65 --batch-size 64", "at most --batch-size"},
        {CMD_TRAIN, "--threads many", "--threads"},
        {CMD_TRAIN, "--threads 1025", "--threads"},
        {CMD_TRAIN, "--isa sse",
         "one of auto, avx512, avx2, neon, plain, reference, there is \"sse\""},
        {CMD_TRAIN, "--math bf16", "one of fp32, tf32, fp16, there is \"bf16\""},
        {CMD_TRAIN, "--math tf32 --conv-algo cudnn", "in fp32 alone, there is --math tf32"},
        {CMD_TRAIN, "--conv-algo fast", "one of auto, own, cudnn, there is \"fast\""},
        {CMD_TRAIN, "--dataset imagenet", "fashion-mnist"},
        {CMD_TRAIN, "--device gpu", "auto, cpu or cuda[:N]"},
        {CMD_TRAIN, "--device cuda:x", "--device cuda:N"},
        {CMD_TRAIN, "--device cuda:", "--device cuda:N"},
        {CMD_TRAIN, "--device cudax", "auto, cpu or cuda[:N]"},
        {CMD_TRAIN, "--codec gzip", "none or conv:F"},
        {CMD_TRAIN, "--codec conv:0", "--codec conv:F"},
        {CMD_TRAIN, "--codec conv:", "--codec conv:F"},
        {CMD_TRAIN, "--layers 6", "A:B"},
        {CMD_TRAIN, "--layers 6:6", "holds no layer"},
        {CMD_TRAIN, "--layers 7:6", "holds no layer"},
        {CMD_TRAIN, "--layers a:6", "--layers A:B: A"},
        {CMD_TRAIN, "--layers 1:b", "--layers A:B: B"},
        {CMD_TRAIN, "--layers 0:0", "--layers A:B: B"},
        {CMD_TRAIN, "--model VGG_client --layers 0:6", "so does --layers"},
        {CMD_TRAIN, "--model=", "--model wants a name"},
        {CMD_TRAIN, "--role worker", "one of aio, source, client, intermediate, final"},
        {CMD_TRAIN, "--quiet --verbose", "--quiet and --verbose"},
        {CMD_TRAIN, "--save a --log a", "two files"},
        {CMD_TRAIN, "--save=", "--save wants FILE"},
        {CMD_TRAIN, "--data-dir=", "--data-dir wants DIR"},
        {CMD_TRAIN, "--env-file=", "--env-file wants FILE"},
        {CMD_TRAIN, "--upstream h:1", "role aio has no upstream"},
        {CMD_TRAIN, "--listen h:1", "role aio has no listener"},
        {CMD_TRAIN, "--wire-dtype f16", "role aio has no neighbour"},
        {CMD_TRAIN, "--role final --upstream h:1", "role final has no upstream"},
        {CMD_TRAIN, "--role client --listen h:1", "role client has no listener"},
        {CMD_TRAIN, "--role client --upstream h:0", "--upstream wants a whole number from 1"},
        {CMD_TRAIN, "--role client --upstream h:65536", "--upstream"},
        {CMD_TRAIN, "--role client --upstream h:", "--upstream"},
        {CMD_TRAIN, "--role client --upstream [::1", "[HOST]:PORT"},
        {CMD_TRAIN, "--role client --upstream [::1]5", "[HOST]:PORT"},
        {CMD_TRAIN, "--role client --wire-dtype f64", "one of f32, f16"},
        {CMD_TRAIN, "--role client --transport tcp", "one of auto, uring, poll"},
        {CMD_INFER, "--inferences -1", "--inferences"},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        struct config c;
        int ret = read_call(&c, row[i].command, row[i].words);
        if (ret != -EINVAL || config_exit_status(ret) != 2)
            fail_msg("\"%s\": %d", row[i].words, ret);
        if (!strstr(err_text(), row[i].sentence))
            fail_msg("\"%s\": %s", row[i].words, err_text());
        config_close(&c);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *words, *host;
        int port;
    } row[] = {
        {"--role client", "127.0.0.1", 50007},
        {"--role client --upstream 10.49.2.3:50008", "10.49.2.3", 50008},
        {"--role client --upstream worker-1", "worker-1", 50007},
        {"--role client --upstream :9", "127.0.0.1", 9},
        {"--role client --upstream [fe80::1]:9", "fe80::1", 9},
        {"--role client --upstream [fe80::1]", "fe80::1", 50007},
        {"--role client --upstream fe80::1", "fe80::1", 50007},
    };
    struct config c;
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        must_read(&c, CMD_TRAIN, row[i].words);
        assert_string_equal(c.upstream.host, row[i].host);
        assert_int_equal(c.upstream.port, row[i].port);
        config_close(&c);
    }
    must_read(&c, CMD_TRAIN, "--role intermediate --listen 0.0.0.0:0");
    assert_string_equal(c.listen.host, "0.0.0.0");
    assert_int_equal(c.listen.port, 0);
    assert_int_equal(c.upstream.port, 50007);
    config_close(&c);
}

static const char *upstream_of(const char *words)
{
    static char text[300];
    struct config c;
    must_read(&c, CMD_TRAIN, words);
    snprintf(text, sizeof(text), "%s:%d", c.upstream.host, c.upstream.port);
    config_close(&c);
    return text;
}

/* flag > environment > ./.env > DATA_DIR/.env > default; an empty value counts as unset everywhere.
 */
static void test_precedence(void **state)
{
    assert_string_equal(upstream_of("--role client"), "127.0.0.1:50007");
    mkdir("data", 0777);
    write_file("data/.env", "MASTER_UPSTREAM_HOST=data\nMASTER_UPSTREAM_PORT=1\n");
    assert_string_equal(upstream_of("--role client"), "data:1");
    write_file(".env", "MASTER_UPSTREAM_HOST=here\nMASTER_UPSTREAM_PORT=\n");
    assert_string_equal(upstream_of("--role client"), "here:1");
    setenv("MASTER_UPSTREAM_HOST", "", 1);
    setenv("MASTER_UPSTREAM_PORT", "2", 1);
    assert_string_equal(upstream_of("--role client"), "here:2");
    setenv("MASTER_UPSTREAM_HOST", "environment", 1);
    assert_string_equal(upstream_of("--role client"), "environment:2");
    assert_string_equal(upstream_of("--role client --upstream flag"), "flag:2");
    assert_string_equal(upstream_of("--role client --upstream flag:3"), "flag:3");
    write_file("other.env", "MASTER_UPSTREAM_HOST=other\n");
    unsetenv("MASTER_UPSTREAM_HOST");
    unsetenv("MASTER_UPSTREAM_PORT");
    assert_string_equal(upstream_of("--role client --env-file other.env"), "other:50007");
}

static const char *data_dir_of(const char *words)
{
    static char text[512];
    struct config c;
    must_read(&c, CMD_TRAIN, words);
    snprintf(text, sizeof(text), "%s %s", c.data_dir, c.upstream.host);
    config_close(&c);
    return text;
}

static void test_data_dir(void **state)
{
    assert_string_equal(data_dir_of("--role client"), "./data 127.0.0.1");
    mkdir("data", 0777);
    write_file("data/.env", "MASTER_UPSTREAM_HOST=found\nSPARSE_DATA_DIR=elsewhere\n");
    assert_string_equal(data_dir_of("--role client"), "elsewhere found");
    assert_string_equal(data_dir_of("--role client --data-dir data"), "data found");
    assert_string_equal(data_dir_of("--role client --data-dir nowhere"), "nowhere 127.0.0.1");
    setenv("SPARSE_DATA_DIR", "", 1);
    assert_string_equal(data_dir_of("--role client"), "elsewhere found");
    setenv("SPARSE_DATA_DIR", "data", 1);
    assert_string_equal(data_dir_of("--role client"), "data found");
    setenv("SPARSE_DATA_DIR", "nowhere", 1);
    write_file(".env", "SPARSE_DATA_DIR=data\n");
    assert_string_equal(data_dir_of("--role client"), "nowhere 127.0.0.1");
    unsetenv("SPARSE_DATA_DIR");
    assert_string_equal(data_dir_of("--role client"), "data found");
}

/* The device and its number of a call. */
static int device_of(enum command command, const char *words)
{
    struct config c;
    must_read(&c, command, words);
    int device = c.device * 100 + c.device_number;
    config_close(&c);
    return device;
}

static void test_device_variable(void **state)
{
    write_file(".env", "SPARSE_DEVICE=cuda:7\n");
    assert_int_equal(device_of(CMD_TRAIN, ""), DEVICE_CUDA * 100 + 7);
    setenv("SPARSE_DEVICE", "cuda:3", 1);
    assert_int_equal(device_of(CMD_TRAIN, ""), DEVICE_CUDA * 100 + 3);
    assert_int_equal(device_of(CMD_INFER, "--conf 0.5"), DEVICE_CUDA * 100 + 3);
    assert_int_equal(device_of(CMD_INIT, "--model small --save x"), DEVICE_CUDA * 100 + 3);
    assert_int_equal(device_of(CMD_TRAIN, "--device auto"), DEVICE_AUTO * 100);
    assert_int_equal(device_of(CMD_TRAIN, "--device cuda:1"), DEVICE_CUDA * 100 + 1);
    assert_int_equal(device_of(CMD_TRAIN, "--threads 1"), DEVICE_AUTO * 100);
    assert_int_equal(device_of(CMD_TRAIN, "--isa plain"), DEVICE_AUTO * 100);
    setenv("SPARSE_DEVICE", "cpu", 1);
    assert_int_equal(device_of(CMD_TRAIN, ""), DEVICE_CPU * 100);

    struct config c;
    setenv("SPARSE_DEVICE", "gpu", 1);
    int ret = read_call(&c, CMD_TRAIN, "");
    assert_int_equal(config_exit_status(ret), 1);
    assert_true(ret < 0);
    assert_string_equal(err_text(), "SPARSE_DEVICE in the environment wants auto, cpu or "
                                    "cuda[:N], there is \"gpu\"");
    config_close(&c);
    assert_int_equal(device_of(CMD_DOCTOR, ""), DEVICE_AUTO * 100); /* has no --device */
    unsetenv("SPARSE_DEVICE");
}

/* What the environment or a file does wrong is no fault of the words: exit status 1. */
static void test_environment_off(void **state)
{
    struct config c;
    setenv("MASTER_UPSTREAM_PORT", "many", 1);
    int ret = read_call(&c, CMD_TRAIN, "--role client");
    assert_int_equal(config_exit_status(ret), 1);
    assert_true(ret < 0);
    assert_non_null(strstr(err_text(), "MASTER_UPSTREAM_PORT in the environment wants a whole"));
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--role final"); /* has no upstream: it does not read the variable */
    config_close(&c);
    must_read(&c, CMD_TRAIN, "--role client --upstream h:1");
    config_close(&c);
    unsetenv("MASTER_UPSTREAM_PORT");

    ret = read_call(&c, CMD_TRAIN, "--env-file none.env");
    assert_int_equal(ret, -ENOENT);
    assert_int_equal(config_exit_status(ret), 1);
    config_close(&c);
    write_file("other.env", "WORKER_LISTEN_PORT=0x\n");
    ret = read_call(&c, CMD_TRAIN, "--role final --env-file other.env");
    assert_int_equal(config_exit_status(ret), 1);
    assert_non_null(strstr(err_text(), "WORKER_LISTEN_PORT in the dotenv file"));
    config_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, enter, leave),
        cmocka_unit_test_setup_teardown(test_values, enter, leave),
        cmocka_unit_test_setup_teardown(test_layers, enter, leave),
        cmocka_unit_test_setup_teardown(test_original_names, enter, leave),
        cmocka_unit_test_setup_teardown(test_refusals, enter, leave),
        cmocka_unit_test_setup_teardown(test_addresses, enter, leave),
        cmocka_unit_test_setup_teardown(test_precedence, enter, leave),
        cmocka_unit_test_setup_teardown(test_data_dir, enter, leave),
        cmocka_unit_test_setup_teardown(test_device_variable, enter, leave),
        cmocka_unit_test_setup_teardown(test_environment_off, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
