/*
 * A switch with a delay: one Ethernet port in each network namespace named, every frame handed on
 * after DELAY_MS. It stands in for netem where the kernel has none. Not linked with the engine; run
 * by tests/test_three_nodes.sh:
 *
 *     delay_line DELAY_MS INTERFACE NAMESPACE...
 *
 * Prints "ready" once the ports exist, and runs until a signal ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

enum { MAX_PORTS = 8, FRAME_BYTES = 2048, QUEUE_FRAMES = 8192, MAC_BYTES = 6 };

struct frame {
    uint64_t due_ns;
    int from, bytes;
    unsigned char data[FRAME_BYTES];
};

struct line {
    int nport, fd[MAX_PORTS];
    unsigned char mac[MAX_PORTS][MAC_BYTES]; /* last seen as a sender there */
    struct frame *queue;
    unsigned head, tail; /* frames [head, tail) wait, in order of due_ns */
};

static void die(const char *what, const char *name)
{
    fprintf(stderr, "delay_line: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

static int open_port(const char *space, const char *interface)
{
    char path[256];
    snprintf(path, sizeof(path), "/run/netns/%s", space);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die("cannot enter namespace", space);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    strncpy(r.ifr_name, interface, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
        die("cannot make interface", interface);
    return fd;
}

/* Takes what has come at port p. A full queue drops, as a switch does. */
static void take(struct line *l, int p, uint64_t delay_ns)
{
    for (;;) {
        struct frame *f = &l->queue[l->tail % QUEUE_FRAMES];
        unsigned char spare[FRAME_BYTES];
        bool full = l->tail - l->head == QUEUE_FRAMES;
        ssize_t n = read(l->fd[p], full ? spare : f->data, FRAME_BYTES);
        if (n < 2 * MAC_BYTES)
            return;
        if (full)
            continue;
        memcpy(l->mac[p], f->data + MAC_BYTES, MAC_BYTES);
        f->from = p;
        f->bytes = (int)n;
        f->due_ns = clock_now_ns() + delay_ns;
        l->tail++;
    }
}

static void hand_on(struct line *l, const struct frame *f)
{
    int to = -1;
    for (int p = 0; p < l->nport; p++)
        if (p != f->from && !memcmp(l->mac[p], f->data, MAC_BYTES))
            to = p;
    for (int p = 0; p < l->nport; p++)
        if (p != f->from && (to < 0 || to == p))
            if (write(l->fd[p], f->data, (size_t)f->bytes) < 0)
                continue; /* its queue is full: lost, as on a wire */
}

int main(int argc, char **argv)
{
    struct line l = {.nport = argc - 3};
    if (argc < 5 || l.nport > MAX_PORTS) {
        fprintf(stderr, "usage: delay_line DELAY_MS INTERFACE NAMESPACE NAMESPACE...\n");
        return 2;
    }
    uint64_t delay_ns = strtoull(argv[1], NULL, 10) * 1000000;
    l.queue = calloc(QUEUE_FRAMES, sizeof(*l.queue));
    if (!l.queue)
        die("no memory for", "the queue");
    struct pollfd poll_fd[MAX_PORTS];
    for (int p = 0; p < l.nport; p++) {
        l.fd[p] = open_port(argv[3 + p], argv[2]);
        poll_fd[p] = (struct pollfd){.fd = l.fd[p], .events = POLLIN};
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct timespec wait = {.tv_sec = 3600};
        uint64_t now = clock_now_ns();
        while (l.head != l.tail && l.queue[l.head % QUEUE_FRAMES].due_ns <= now)
            hand_on(&l, &l.queue[l.head++ % QUEUE_FRAMES]);
        if (l.head != l.tail) {
            uint64_t left = l.queue[l.head % QUEUE_FRAMES].due_ns - now;
            wait = (struct timespec){(time_t)(left / 1000000000), (long)(left % 1000000000)};
        }
        if (ppoll(poll_fd, (nfds_t)l.nport, &wait, NULL) < 0)
            die("cannot wait for", "frames");
        for (int p = 0; p < l.nport; p++)
            take(&l, p, delay_ns);
    }
}
