/* Opening and closing, in the order that cmd_train.c and cmd_infer.c have in common. */
#include "engine/reader.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "engine/setup.h"
#include "engine/signals.h"

int reader_open(struct reader *r, const struct config *c, struct model *model)
{
    int ret = setup_node(&r->node, c, model);
    if (!ret)
        ret = setup_bind(&r->node, c);
    if (!ret)
        ret = setup_not_words(stream_open(&r->stream, &r->node, &r->plan));
    const char *news = ret ? NULL : choices_news(r->node.choices, r->node.dev);
    if (news)
        setup_say(c, "%s", news);
    r->upstream = (struct upstream){.node = &r->node,
                                    .stream = r->stream,
                                    .plan = &r->plan,
                                    .host = c->upstream.host,
                                    .port = c->upstream.port,
                                    .codec = c->codec};
    return ret;
}

void reader_close(struct reader *r, struct model *model)
{
    stream_close(r->stream);
    model_close(model);
    setup_node_close(&r->node);
}

static void stop_net(void *arg)
{
    net_stop(arg);
}

int reader_connect(struct reader *r)
{
    if (!r->plan.to_next)
        return 0;
    signals_call(stop_net, r->node.net);
    return setup_not_words(upstream_connect(&r->upstream, 0));
}

int reader_end(struct reader *r, int ret)
{
    char sentence[1024];
    if (ret == -EINTR && signals_pending())
        ret = 0;
    signals_call(NULL, NULL);
    if (!r->plan.to_next)
        return ret;
    snprintf(sentence, sizeof(sentence), "%s", err_text());
    net_resume(r->node.net);
    upstream_close(&r->upstream);
    return ret < 0 ? err_set(-ret, "%s", sentence) : 0;
}
