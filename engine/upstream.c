/* Connecting to the next node, and doing a step or request again after the connection was lost. */
#include "engine/upstream.h"

#include <errno.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/greeting.h"

enum { LOST_MAX = 3 }; /* of one step: then it is not the network's fault */

int upstream_connect(struct upstream *u, uint64_t step)
{
    struct hello hello = greeting_hello(u->node, u->stream, u->plan, u->codec, step);
    struct channel_rings rings = stream_next_rings(u->stream);
    int ret = channel_connect(&u->channel, u->node->net, u->host, u->port, &hello, &rings);
    if (ret < 0)
        return ret;
    ret = channel_wait_open(u->channel, -1);
    if (ret < 0) {
        channel_close(u->channel);
        u->channel = NULL;
        return ret;
    }
    stream_set_channels(u->stream, NULL, u->channel);
    log_info("upstream", "Streaming to %s, layers %u to %u there", channel_peer(u->channel),
             channel_answer(u->channel)->layer_from, channel_answer(u->channel)->layer_to);
    return 0;
}

/* Whether another connection may do better: not where the two do not understand each other. */
static bool may_recover(int ret)
{
    switch (ret) {
    case -EPIPE:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ENETDOWN:
        return true;
    default:
        return false;
    }
}

int upstream_again(struct upstream *u, int ret, uint64_t number)
{
    const char *unit[2] = {"step", "request"}, *Unit[2] = {"Step", "Request"};
    int infers = u->plan->in_flight > 0;
    channel_close(u->channel);
    u->channel = NULL;
    if (!may_recover(ret))
        return ret;
    if (++u->lost > LOST_MAX)
        return err_prefix(ret, "%s %llu failed %d times", unit[infers],
                          (unsigned long long)number + 1, u->lost);
    log_warning("upstream", "%s %llu is done again: %s", Unit[infers],
                (unsigned long long)number + 1, err_text());
    return upstream_connect(u, number);
}

int upstream_step(struct upstream *u, const struct feed *feed, struct step_result *result)
{
    int ret;
    while ((ret = stream_step(u->stream, feed, result)) < 0)
        if ((ret = upstream_again(u, ret, feed->step)) < 0)
            return ret;
    u->lost = 0;
    return 0;
}

void upstream_close(struct upstream *u)
{
    if (u->channel)
        channel_end(u->channel);
    channel_close(u->channel);
    u->channel = NULL;
}
