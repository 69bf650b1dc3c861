/*
 * What the monitor reads of a machine: trees of files as several Jetsons have them, this machine's
 * own procfs, and a driver's library that the test builds itself, for there is seldom a GPU to ask.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "monitor/host.h"
#include "monitor/nvml.h"
#include "tests/monitor_talk.h"

static void test_jetsons(void **state)
{
    static const struct {
        const char *tree;
        double gpu, power;
        uint64_t ram, swap;
    } row[] = {
        {"jetson_nano_jetpack4", 43.7, 4812, 4059192 - 2450000, 29592},
        {"jetson_agx_xavier_jetpack4", 99.8, 9241 + 2310 + 3079 + 0 + 1537 + 3264,
         32692668 - 28000000, 0},
        {"jetson_orin_nano_jetpack5", 0, 4968 * 0.936, 7802508 - 5100000, 100000},
        {"jetson_tx2_jetpack4", 30.5, 6127, 3000000, 24184},
        {"jetson_xavier_nx_jetpack5", 76.8, 4896 * 1.504, 2000000, 0},
        {"jetson_orin_nx_jetpack6", 99, 5000 * 2.4, 4000000, 10000},
        {"jetson_agx_orin_jetpack6", 51.2, 20 * 240 + 20 * 40 + 5 * 400 + 20 * 25,
         64349728 - 60000000, 0},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        char root[TALK_PATH_BYTES];
        struct host h;
        struct host_sample s;
        snprintf(root, sizeof(root), "tests/fixtures/%s", row[i].tree);
        assert_int_equal(host_open(&h, root, NULL), 0);
        host_read(&h, &s);
        if (!h.has_gpu || fabs(s.gpu_percent - row[i].gpu) > 1e-9 ||
            fabs(s.power_mw - row[i].power) > 1e-6 || s.ram_kb != row[i].ram ||
            s.swap_kb != row[i].swap)
            fail_msg("%s: GPU %g %%, %g mW, RAM %llu kB, swap %llu kB", row[i].tree, s.gpu_percent,
                     s.power_mw, (unsigned long long)s.ram_kb, (unsigned long long)s.swap_kb);
        assert_int_equal(s.bytes_recv, 912345678 + 86732);
        assert_int_equal(s.bytes_sent, 123456789 + 86732);
        host_close(&h);
    }
}

/* The four columns more, as the original has them where there is a Jetson. */
static void test_columns(void **state)
{
    static const char start[] =
        "{\"benchmark_id\":\"j\",\"event\":\"start\",\"log_file_prefix\":\"j\"}";
    struct talk t;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    opt.root = "tests/fixtures/jetson_nano_jetpack4";
    talk_begin(&t, &opt);
    assert_string_equal(talk_say(&t, start), "ACK");
    talk_end(&t);
    const char *text = talk_csv(&t, "j-2", 0);
    static const char want[] = "timestamp,bytes_sent,bytes_recv,samples_processed,tasks_processed,"
                               "GPU,RAM,SWAP,power_cur\n"
                               "0.000,0,0,0,0,43.7,1609192,29592,4812\n";
    assert_non_null(text);
    assert_int_equal(strncmp(text, want, strlen(want)), 0);
    talk_remove(&t);
}

/* Counts of ticks: user nice system idle iowait irq softirq steal. */
static void test_cpu(void **state)
{
    struct talk t;
    struct host h;
    struct host_sample s;
    char root[TALK_PATH_BYTES];
    talk_folder(&t);
    snprintf(root, sizeof(root), "%s/root", t.dir);
    talk_write(&t, "root/proc/stat", "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4\n");
    assert_int_equal(host_open(&h, root, NULL), 0);
    assert_false(h.has_gpu);
    talk_write(&t, "root/proc/stat", "cpu  160 5 60 820 60 3 2 0 0 0\ncpu0 1 2 3 4\n");
    host_read(&h, &s);
    assert_true(fabs(s.cpu_percent - 100 * 80.0 / 110) < 1e-9);
    host_close(&h);
    talk_remove(&t);
}

static void test_this_machine(void **state)
{
    struct host h;
    struct host_sample s;
    assert_int_equal(host_open(&h, "", "lo"), 0);
    host_read(&h, &s);
    assert_true(s.ram_total_kb > 1000 && s.ram_kb > 0 && s.ram_kb <= s.ram_total_kb);
    assert_true(s.cpu_percent >= 0 && s.cpu_percent <= 100);
    assert_int_equal(s.bytes_sent, s.bytes_recv); /* what lo sends it receives */
    host_close(&h);
    assert_int_equal(host_open(&h, "", "a-name-that-no-interface-can-have"), -ENODEV);
    assert_int_equal(host_open(&h, "", ""), -ENODEV);
}

/* main has put it where dlopen looks. */
static void test_nvml(void **state)
{
    double gpu = -1, power = -1;
    const char *built = getenv("SPARSE_FAKE_NVML");
    CHECK(built);
    if (built[0] == '0')
        skip();
    struct nvml *n = nvml_open();
    assert_non_null(n);
    assert_int_equal(nvml_gpus(n), 2);
    nvml_read(n, &gpu, &power);
    assert_true(gpu == 45 && power == 300000); /* the second one does not tell its power */
    nvml_close(n);
    nvml_close(NULL);
}

static const char fake[] =
    "static int ready;\n"
    "int nvmlInit_v2(void) { ready = 1; return 0; }\n"
    "int nvmlShutdown(void) { return ready-- != 1; }\n"
    "int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return !ready; }\n"
    "int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **gpu)\n"
    "{ *gpu = (char *)8 + i; return i == 1; }\n" /* number 1 is not ours to use */
    "int nvmlDeviceGetUtilizationRates(void *gpu, unsigned u[2])\n"
    "{ u[0] = gpu == (void *)8 ? 30 : 60; u[1] = 99; return 0; }\n"
    "int nvmlDeviceGetPowerUsage(void *gpu, unsigned *mw)\n"
    "{ *mw = 300000; return gpu == (void *)8 ? 0 : 3; }\n";

/* Builds the library and begins anew: where dlopen looks is read when a process begins. */
static void again_with_library(char **argv)
{
    struct talk t;
    char command[TALK_PATH_BYTES], self[PATH_MAX];
    const char *cc = getenv("CC");
    talk_folder(&t);
    talk_write(&t, "fake.c", fake);
    snprintf(
        command, sizeof(command),
        "%s -shared -fPIC -o %s/libnvidia-ml.so.1 %s/fake.c 2>/dev/null || cc -shared -fPIC -o "
        "%s/libnvidia-ml.so.1 %s/fake.c",
        cc ? cc : "cc", t.dir, t.dir, t.dir, t.dir);
    setenv("SPARSE_FAKE_NVML", system(command) ? "0" : t.dir, 1);
    setenv("LD_LIBRARY_PATH", t.dir, 1);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    CHECK(n > 0);
    self[n] = 0;
    execv(self, argv);
    CHECK(!"exec");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jetsons), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_cpu),     cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_nvml),
    };
    const char *dir = getenv("SPARSE_FAKE_NVML");
    if (!dir)
        again_with_library(argv);
    log_set_level(LOG_ERROR);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[TALK_PATH_BYTES];
    snprintf(command, sizeof(command), "rm -rf '%s'", getenv("LD_LIBRARY_PATH"));
    return system(command) ? 1 : failed;
}
