/*
 * Why nothing is lost: a poster counts up epoch and then looks at sleeping; a sleeper sets sleeping
 * and then looks at epoch, all in one total order. So either the sleeper sees the new epoch and
 * stays awake, or the poster sees that it sleeps.
 */
#include "net/wake.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

void wake_init(struct wake *w)
{
    atomic_init(&w->epoch, 0);
    atomic_init(&w->sleeping, 0);
    w->event_fd = -1;
}

int wake_init_event(struct wake *w)
{
    wake_init(w);
    w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w->event_fd < 0 ? -errno : 0;
}

void wake_fini(struct wake *w)
{
    if (w->event_fd >= 0)
        close(w->event_fd);
    w->event_fd = -1;
}

uint32_t wake_ticket(struct wake *w)
{
    return atomic_load(&w->epoch);
}

static void rouse(struct wake *w)
{
    uint64_t one = 1;

    if (w->event_fd < 0)
        syscall(SYS_futex, &w->epoch, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    else if (write(w->event_fd, &one, sizeof(one)) < 0) {
        /* EAGAIN: it is full, so the sleeper is being woken anyway. */
    }
}

void wake_post(struct wake *w)
{
    atomic_fetch_add(&w->epoch, 1);
    if (atomic_load(&w->sleeping) && atomic_exchange(&w->sleeping, 0))
        rouse(w);
}

void wake_post_if(struct wake *w, _Atomic bool *wanted)
{
    atomic_fetch_add(&w->epoch, 1);
    if (atomic_load(wanted) && atomic_load(&w->sleeping) && atomic_exchange(&w->sleeping, 0))
        rouse(w);
}

void wake_force(struct wake *w)
{
    atomic_fetch_add(&w->epoch, 1);
    rouse(w);
}

bool wake_sleeping(struct wake *w, uint32_t ticket)
{
    atomic_store(&w->sleeping, 1);
    if (atomic_load(&w->epoch) == ticket)
        return true;
    wake_awake(w);
    return false;
}

void wake_awake(struct wake *w)
{
    atomic_store(&w->sleeping, 0);
}

bool wake_wait(struct wake *w, uint32_t ticket, int64_t timeout_ns)
{
    uint64_t deadline = timeout_ns < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)timeout_ns;

    while (wake_sleeping(w, ticket)) {
        uint64_t now = clock_now_ns(), left = deadline > now ? deadline - now : 0;
        struct timespec ts = {(time_t)(left / 1000000000), (long)(left % 1000000000)};

        if (deadline != UINT64_MAX && !left) {
            wake_awake(w);
            return atomic_load(&w->epoch) != ticket;
        }
        syscall(SYS_futex, &w->epoch, FUTEX_WAIT_PRIVATE, ticket,
                deadline == UINT64_MAX ? NULL : &ts, NULL, 0);
        wake_awake(w);
    }
    return true;
}
