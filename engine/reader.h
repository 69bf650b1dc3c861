/*
 * The node of a role that reads data (aio, source, client): its device, its share of the model, the
 * stream through it, and the way to the next node where the role has one. cmd_train.c and
 * cmd_infer.c feed it.
 *
 *     struct reader r = {.plan = ...};
 *     if (reader_open(&r, c, model) == 0 && (ret = reader_connect(&r)) == 0)
 *         ret = steps or requests, by r.stream and r.upstream
 *     ret = reader_end(&r, ret);
 *     reader_close(&r, model);
 */
#ifndef ENGINE_READER_H
#define ENGINE_READER_H

#include "engine/config.h"
#include "engine/upstream.h"

struct reader {
    struct node node;
    struct stream_plan plan; /* the caller's word, before reader_open */
    struct stream *stream;
    struct upstream upstream; /* of a role that has one */
};

/* The slice of `model` is set; it is bound here. Errors as setup.h has them. */
int reader_open(struct reader *r, const struct config *c, struct model *model);

/* And the model, between stream and device. Also after open failed, or of a zeroed one; model may
 * be NULL. */
void reader_close(struct reader *r, struct model *model);

/* From here on a signal stops the node's network. Waits for the next node: -EINTR where a signal
 * ends that. Nothing to do where the role has no next node. */
int reader_connect(struct reader *r);

/* Signals let the network be again; a clean end to the next node. ret is how it went: returned with
 * its sentence, whatever becomes of ending; but 0 for a wait that a signal ended. */
int reader_end(struct reader *r, int ret);

#endif
