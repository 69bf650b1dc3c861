/* What a machine offers, read from a made-up /proc and /sys, and from this machine's own. */
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

#include "engine/machine.h"

static char root[64];

static int make_root(void **state)
{
    strcpy(root, "/tmp/sparse-machine-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    return system(command);
}

/* root/path with this text; folders are made. */
static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0777);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void test_x86(void **state)
{
    struct machine_cpu c;
    put("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\n"
                         "model name\t: AMD EPYC 9B45\nflags\t\t: fpu sse4_2 avx f16c fma avx2 "
                         "avx512f avx512vl erms\n\nprocessor\t: 1\nmodel name\t: other\n");
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    machine_read_cpu(&c, root);
    assert_string_equal(c.model, "AMD EPYC 9B45");
    assert_string_equal(c.features, "sse4_2 avx f16c fma avx2 avx512f avx512vl");
    assert_true(c.quota == 1.5);
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    machine_read_cpu(&c, root);
    assert_true(c.quota == 0);
}

static void test_arm(void **state)
{
    struct machine_cpu c;
    put("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd evtstrm fphp asimdhp asimddp\n"
                         "CPU implementer\t: 0x4e\n");
    put("/proc/device-tree/model", "Jetson-AGX");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    machine_read_cpu(&c, root);
    assert_string_equal(c.model, "Jetson-AGX");
    assert_string_equal(c.features, "asimd asimdhp asimddp");
    assert_true(c.quota == 0.5);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    machine_read_cpu(&c, root);
    assert_true(c.quota == 0);
}

static void test_memory(void **state)
{
    struct machine_memory m;
    put("/proc/meminfo", "MemTotal:       24683656 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n"
                         "HugePages_Total:       4\nHugePages_Free:        3\n"
                         "Hugepagesize:       2048 kB\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/sys/fs/cgroup/memory.max", "1073741824\n");
    machine_read_memory(&m, root);
    assert_true(m.total == UINT64_C(24683656) << 10 && m.available == UINT64_C(20000000) << 10);
    assert_true(m.huge_total == 4 && m.huge_free == 3 && m.huge_bytes == 2 << 20);
    assert_string_equal(m.transparent, "madvise");
    assert_true(m.limit == 1 << 30);
    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    machine_read_memory(&m, root);
    assert_true(m.limit == 0);
}

/* A root without files: nothing is known, nothing is made up. */
static void test_nothing(void **state)
{
    struct machine m;
    machine_read(&m, root);
    assert_string_equal(m.cpu.model, "");
    assert_string_equal(m.cpu.features, "");
    assert_true(m.cpu.quota == 0 && m.memory.total == 0 && m.memory.limit == 0);
    assert_string_equal(m.memory.transparent, "");
    assert_string_equal(m.net.congestion, "");
}

static void test_this_machine(void **state)
{
    struct machine m;
    machine_read(&m, "");
    assert_non_null(strstr(m.system, "Linux"));
    assert_in_range(m.cpu.usable, 1, m.cpu.online);
    assert_true(m.memory.total > 0 && m.memory.available <= m.memory.total);
    assert_true(m.memory.memlock_soft <= m.memory.memlock_hard);
    assert_true(m.uring.usable == !*m.uring.why);
    assert_true(m.uring.usable || !m.uring.send_zc);
    assert_true((m.gpu.count > 0) == !*m.gpu.why);
    assert_true(*m.gpu.cudnn);
}

static void test_uring_refusals(void **state)
{
    assert_non_null(strstr(machine_uring_refusal(ENOSYS, -1), "5.1"));
    assert_non_null(strstr(machine_uring_refusal(EPERM, 2), "io_uring_disabled = 2"));
    assert_non_null(strstr(machine_uring_refusal(EPERM, 1), "io_uring_disabled = 1"));
    assert_non_null(strstr(machine_uring_refusal(EPERM, 0), "seccomp"));
    assert_non_null(strstr(machine_uring_refusal(EACCES, -1), "seccomp"));
    assert_non_null(strstr(machine_uring_refusal(ENOMEM, -1), "ulimit"));
    assert_string_equal(machine_uring_refusal(EMFILE, -1), strerror(EMFILE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_x86, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_arm, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_memory, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_nothing, make_root, remove_root),
        cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_uring_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
