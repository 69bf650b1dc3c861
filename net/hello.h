/*
 * The handshake: what the side that connects says about itself (HELLO), and what the side that
 * listens answers (ANSWER: accepted, or refused with a sentence). Parsing has strict bounds,
 * comparing is a pure function, neither touches a socket.
 */
#ifndef NET_HELLO_H
#define NET_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/wire.h"

enum hello_mode { HELLO_TRAIN, HELLO_INFER, HELLO_MODE_COUNT };
enum hello_answer_kind { HELLO_BOXES, HELLO_RAW, HELLO_ANSWER_KIND_COUNT };

enum {
    HELLO_NAME_BYTES = 64,
    /* sanity bounds of what a hello may say; memory is bounded by who lends it */
    HELLO_MAX_SAMPLES = 1 << 20,
    HELLO_MAX_LAYERS = 1 << 16,
    HELLO_MAX_IN_FLIGHT = 1 << 10,
    HELLO_MAX_CODEC = 1 << 16,
    HELLO_MAX_DIM = 1 << 24,
};

struct hello {
    enum hello_mode mode;
    char model[HELLO_NAME_BYTES];
    uint64_t model_hash;
    /* what the sender runs: from included, to not; equal: it has no layers (a source) */
    uint32_t layer_from, layer_to;
    uint32_t batch;         /* samples of a whole batch; the last may be shorter */
    uint32_t micro_batches; /* K: frames of batch / K samples (rounded up), K in flight */
    uint32_t in_flight;     /* inference: requests under way at once; training: K */
    enum wire_dtype dtype;  /* of what crosses, both ways */
    uint32_t codec;         /* channels divided by it around the cut; 0: none */
    uint32_t ndim;          /* of what crosses, dim[0] = samples of a micro-batch at most */
    uint32_t dim[WIRE_MAX_DIM];
    bool want_gradient;            /* false: answer with the loss alone */
    enum hello_answer_kind answer; /* inference of a detector */
    float conf, nms;               /* with HELLO_BOXES: limits of detections, 0 to 1 */
    uint32_t classes;              /* training: labels are 0 .. classes-1 */
    uint64_t seed;
    uint32_t rounds; /* epochs, or requests of an inference (0: its data once): a name's part */
    /* the step that the first frame will belong to: > 0 on a stream that goes on */
    uint64_t step;
    char node[HELLO_NAME_BYTES]; /* who speaks, for logs; may be empty */
};

/* What a listening node wants of the neighbour that connects. */
struct hello_want {
    enum hello_mode mode;
    const char *model;
    uint64_t model_hash;
    uint32_t layer_from; /* this node's first layer: where the neighbour must end */
    uint32_t batch;      /* 0: whatever the neighbour says; the same for the next ones */
    uint32_t micro_batches;
    int dtype; /* enum wire_dtype, -1: whatever */
    int codec; /* -1: whatever */
    /* shape of one sample that crosses: dim[1..ndim-1] are compared; 0: whatever */
    uint32_t ndim;
    uint32_t dim[WIRE_MAX_DIM];
    uint32_t classes; /* 0: whatever */
};

/* 0 if the neighbour's hello fits; else -EPROTO and a sentence that names everything about the
 * first difference: "upstream ends at layer 6, this node begins at 8". */
int hello_check(const struct hello *theirs, const struct hello_want *want);

enum answer_verdict {
    ANSWER_ACCEPT,
    ANSWER_REFUSE, /* for good: the two do not fit */
    ANSWER_BUSY,   /* not now: try again */
    ANSWER_VERDICT_COUNT
};

struct answer {
    enum answer_verdict verdict;
    uint32_t layer_from, layer_to; /* what the answering node runs */
    uint64_t step;                 /* steps that its weights have seen */
    char node[HELLO_NAME_BYTES];
    char sentence[WIRE_SENTENCE_MAX]; /* why not */
};

/* Bytes of each on the wire: fixed. */
enum { HELLO_WIRE_BYTES = 320, ANSWER_WIRE_BYTES = 640 };

/* Into aux (HELLO_WIRE_BYTES or ANSWER_WIRE_BYTES of it). */
void hello_encode(const struct hello *h, void *aux);
void answer_encode(const struct answer *a, void *aux);

/* Every field within its bounds, names printable and terminated. -EPROTO and a sentence else; *h
 * is then undefined. */
int hello_decode(struct hello *h, const void *aux, size_t aux_bytes);
int answer_decode(struct answer *a, const void *aux, size_t aux_bytes);

#endif
