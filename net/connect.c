/* Attempts to reach the neighbour: look its name up, try its addresses in turn, pause, again, for
 * as long as it takes. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"

/* Word for word what the system that this one replaces says: scripts look for it. */
static void pause_and_say(struct channel *c)
{
    log_info("net", "Unable to connect to upstream host. Trying again in %g seconds...",
             c->net->opt.retry_ms / 1000.0);
    c->connecting = CONNECT_PAUSE;
    c->deadline_ns = net_after(c->net, c->net->opt.retry_ms);
}

static void try_next_address(struct channel *c)
{
    while (c->address_next < c->address_count) {
        const struct socket_address *a = &c->address[c->address_next++];
        int fd = socket_connect(a, &c->net->tune);
        socket_text(c->trying, a);
        if (fd < 0) {
            log_debug("net", "connecting to %s: %s", c->trying, strerror(-fd));
            continue;
        }
        c->fd = fd;
        c->watch.fd = fd;
        c->watch.events = POLLOUT;
        c->net->ops->watch(c->net->transport, &c->watch);
        c->connecting = CONNECT_TRY;
        c->deadline_ns = net_after(c->net, c->net->opt.hello_ms);
        return;
    }
    pause_and_say(c);
}

void connect_start(struct channel *c)
{
    channel_set_state(c, CHANNEL_CONNECTING);
    c->deadline_ns = 0;
    if (lookup_start(&c->lookup, c->host, c->port, c->net->loop_wake.event_fd) < 0) {
        log_debug("net", "%s", err_text());
        pause_and_say(c);
        return;
    }
    c->connecting = CONNECT_LOOKUP;
    connect_step(c, 0);
}

void connect_step(struct channel *c, uint64_t now)
{
    if (c->dropped)
        return;
    if (c->connecting == CONNECT_LOOKUP && lookup_done(c->lookup)) {
        c->address_count = lookup_addresses(c->lookup, c->address);
        c->address_next = 0;
        lookup_drop(c->lookup);
        c->lookup = NULL;
        if (!c->address_count)
            log_debug("net", "%s: no such host", c->host);
        try_next_address(c);
    } else if (c->connecting == CONNECT_PAUSE && now >= c->deadline_ns) {
        connect_start(c);
    } else if (c->connecting == CONNECT_TRY && now >= c->deadline_ns) {
        log_debug("net", "connecting to %s: no reply", c->trying);
        channel_drop(c, AFTER_NEXT_ADDRESS);
    }
}

/* The socket is writable: it is connected, or it has failed. */
void connect_watched(struct channel *c)
{
    int err = 0;
    socklen_t bytes = sizeof(err);

    if (c->connecting != CONNECT_TRY)
        return;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0 || err) {
        log_debug("net", "connecting to %s: %s", c->trying, strerror(err));
        channel_drop(c, AFTER_NEXT_ADDRESS);
        return;
    }
    socket_tune(c->fd, &c->net->tune, true);
    c->connecting = CONNECT_IDLE;
    c->deadline_ns = 0;
    greet_send_hello(c);
    channel_pump_send(c);
}

void connect_dropped(struct channel *c, enum after_drop after)
{
    channel_set_state(c, CHANNEL_CONNECTING);
    if (after == AFTER_NEXT_ADDRESS)
        try_next_address(c);
    else
        pause_and_say(c);
}
