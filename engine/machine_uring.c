/* io_uring: whether a ring can be had here, why not, and what it can do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "engine/machine.h"
#include "engine/machine_file.h"

const char *machine_uring_refusal(int err, int disabled)
{
    if (err == ENOSYS)
        return "the kernel has none (Linux 5.1 or newer has), or a container's seccomp profile "
               "hides it";
    if ((err == EPERM || err == EACCES) && disabled == 2)
        return "switched off by the sysctl kernel.io_uring_disabled = 2";
    if ((err == EPERM || err == EACCES) && disabled == 1)
        return "kept from unprivileged users by the sysctl kernel.io_uring_disabled = 1";
    if (err == EPERM || err == EACCES)
        return "refused by a seccomp profile or a security module, as docker's default profile "
               "does";
    if (err == ENOMEM)
        return "the limit of locked memory is too low: raise it with ulimit -l";
    return strerror(err);
}

#ifdef HAVE_LIBURING
/* True if a ring with these flags can be had. */
static bool takes(unsigned flags)
{
    struct io_uring ring;
    if (io_uring_queue_init(4, &ring, flags) < 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

void machine_read_uring(struct machine_uring *u, const char *root)
{
    struct io_uring ring;
    struct io_uring_params params = {0};
    *u = (struct machine_uring){0};
    int ret = io_uring_queue_init_params(4, &ring, &params);
    if (ret < 0) {
        int disabled = (int)machine_number(root, "/proc/sys/kernel/io_uring_disabled", -1);
        snprintf(u->why, sizeof(u->why), "%s", machine_uring_refusal(-ret, disabled));
        return;
    }
    u->usable = true;
    u->ext_arg = params.features & IORING_FEAT_EXT_ARG;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    u->send_zc = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    u->single_issuer = takes(IORING_SETUP_SINGLE_ISSUER);
    u->defer_taskrun = takes(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}
#else
void machine_read_uring(struct machine_uring *u, const char *root)
{
    *u = (struct machine_uring){0};
    snprintf(u->why, sizeof(u->why), "this build was made without liburing 2.3");
}
#endif
