/* Hello and answer on the loop's side. What the peer says is parsed by hello.c; until then it
 * has the greeting's own buffer. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"

/* head and aux into greet_out: padded, since bytes after a frame belong to the next one. */
static void *begin(struct channel *c, enum wire_type type, uint32_t aux_bytes)
{
    struct wire_head *h = (struct wire_head *)c->greet_out;

    wire_head_init(h, type, 0);
    h->aux_bytes = aux_bytes;
    c->greet_out_bytes = sizeof(*h) + wire_aux_padded(aux_bytes);
    CHECK(c->greet_out_bytes <= sizeof(c->greet_out));
    memset(h + 1, 0, sizeof(c->greet_out) - sizeof(*h));
    return h + 1;
}

void greet_send_hello(struct channel *c)
{
    hello_encode(&c->hello, begin(c, WIRE_HELLO, HELLO_WIRE_BYTES));
    channel_set_state(c, CHANNEL_GREETING);
    channel_begin_receive(c, GREET_HEAD, c->greet_in, sizeof(struct wire_head));
}

void greet_send_answer(struct channel *c, const struct answer *a)
{
    answer_encode(a, begin(c, WIRE_ANSWER, ANSWER_WIRE_BYTES));
}

/* Only what this side waits for, of exactly its size, gets a body. The connecting side may be
 * told an error instead. */
static int check_head(const struct channel *c, const struct wire_head *h)
{
    enum wire_type want = c->outgoing ? WIRE_ANSWER : WIRE_HELLO;
    uint32_t want_aux = c->outgoing ? ANSWER_WIRE_BYTES : HELLO_WIRE_BYTES;
    int r = wire_check_common(h);

    if (r < 0)
        return r;
    if (h->payload_bytes || h->ndim || h->seq)
        return err_set(EPROTO, "%s frame with a payload or a number, wanted a greeting",
                       wire_type_name(h->type));
    if (c->outgoing && h->type == WIRE_ERROR && h->aux_bytes <= WIRE_SENTENCE_MAX)
        return 0;
    if (h->type != want)
        return err_set(EPROTO, "%s frame, wanted %s first", wire_type_name(h->type),
                       wire_type_name((uint8_t)want));
    if (h->aux_bytes != want_aux)
        return err_set(EPROTO, "%s of %u bytes, wanted %u", wire_type_name(h->type), h->aux_bytes,
                       want_aux);
    return 0;
}

static void received_hello(struct channel *c, const void *aux)
{
    if (hello_decode(&c->hello, aux, HELLO_WIRE_BYTES) < 0) {
        channel_break(c, EPROTO, true, "%s", err_text());
        return;
    }
    c->phase = RECEIVE_NOTHING;
    c->deadline_ns = 0;
    c->offer_number = c->net->next_offer++;
    c->watch.events = POLLRDHUP;
    c->watch.fd = c->fd;
    c->net->ops->watch(c->net->transport, &c->watch);
    channel_set_state(c, CHANNEL_OFFERED);
}

static void received_answer(struct channel *c, const void *aux)
{
    if (answer_decode(&c->answer, aux, ANSWER_WIRE_BYTES) < 0) {
        channel_break(c, EPROTO, true, "%s", err_text());
    } else if (c->answer.verdict == ANSWER_BUSY) {
        log_info("net", "%s is busy: %s", c->peer, c->answer.sentence);
        channel_drop(c, AFTER_PAUSE);
    } else if (c->answer.verdict == ANSWER_REFUSE) {
        channel_break(c, ECONNREFUSED, false, "%s refused: %s", c->peer, c->answer.sentence);
    } else {
        channel_begin_stream(c);
    }
}

void greet_received(struct channel *c)
{
    const struct wire_head *h = (const struct wire_head *)c->greet_in;
    char sentence[WIRE_SENTENCE_MAX];

    if (c->phase == GREET_HEAD) {
        if (check_head(c, h) < 0)
            channel_break(c, EPROTO, true, "%s", err_text());
        else if (h->aux_bytes)
            channel_begin_receive(c, GREET_AUX, c->greet_in + sizeof(*h),
                                  wire_aux_padded(h->aux_bytes));
        else
            channel_break(c, ECONNABORTED, false, "%s ended the stream", c->peer);
        return;
    }
    if (h->type == WIRE_ERROR) {
        wire_sentence(sentence, sizeof(sentence), h + 1, h->aux_bytes);
        channel_break(c, ECONNABORTED, false, "%s ended the stream: %s", c->peer, sentence);
    } else if (h->type == WIRE_HELLO) {
        received_hello(c, h + 1);
    } else {
        received_answer(c, h + 1);
    }
}
