/*
 * What crosses a connection: frames. A frame is a 128-byte head, then aux_bytes (labels, a hello, a
 * sentence), then payload_bytes of one tensor, with nothing between them; little-endian. The head
 * of a data frame says which micro-batch of which step it is, so that a worker needs no other
 * message to compute it.
 *
 * Checking a head is a pure function (wire_check) that runs before a byte of what follows is
 * received. It allocates nothing and trusts no number: sizes are compared with what the ring's slot
 * holds and what the two sides agreed on.
 */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire is little-endian, heads are read in place: here a byte-swapping wire.c is needed"
#endif

enum {
    WIRE_MAGIC = 0x4e455053, /* "SPEN" */
    WIRE_VERSION = 1,
    WIRE_MAX_DIM = 4,
    WIRE_AUX_ALIGN = 64,
};

enum wire_type {
    WIRE_HELLO,      /* aux: struct hello_wire (hello.h); first frame of the side that connected */
    WIRE_ANSWER,     /* aux: struct answer_wire; first frame of the side that listens */
    WIRE_ACTIVATION, /* towards the loss; aux: n_samples labels (int32) where it trains */
    /* back: the loss in the head, the gradient of the activation with the same seq */
    WIRE_GRADIENT,
    WIRE_LOSS,       /* back, to a side that wants no gradient: the loss alone */
    WIRE_PREDICTION, /* back: the answer of an inference */
    WIRE_END,        /* this side sends no more, and everything before it was meant */
    WIRE_ERROR,      /* aux: a sentence; the stream ends here */
    WIRE_TYPE_COUNT
};

/* In the order of kernels' enum dtype. */
enum wire_dtype { WIRE_F32, WIRE_F16, WIRE_I32, WIRE_U8, WIRE_DTYPE_COUNT };

/* Read and written in place. Data frames (ACTIVATION to PREDICTION) are numbered 0, 1, 2, ... in
 * each direction. */
struct wire_head {
    uint32_t magic;
    uint16_t version;
    uint8_t type;
    uint8_t dtype;      /* of the payload */
    uint32_t flags;     /* none yet: 0 */
    uint32_t aux_bytes; /* used bytes; on the wire rounded up to WIRE_AUX_ALIGN */
    uint64_t seq;
    uint64_t payload_bytes; /* exactly the product of dim[] times the element */
    uint32_t ndim;          /* 0: no payload */
    uint32_t dim[WIRE_MAX_DIM];
    uint32_t n_samples; /* of this micro-batch */
    /* its first sample's number in the run: the key of its random numbers */
    uint64_t first_sample;
    double loss; /* GRADIENT, LOSS: the sum over n_samples */
    uint32_t step;
    uint32_t micro; /* this is micro-batch `micro` of `micro_count` of the step */
    uint32_t micro_count;
    uint32_t n_full;      /* samples of the whole batch */
    uint8_t reserved[40]; /* 0 */
};

_Static_assert(sizeof(struct wire_head) == 128, "wire_head is 128 bytes on the wire");
_Static_assert(offsetof(struct wire_head, seq) == 16, "no hidden padding");
_Static_assert(offsetof(struct wire_head, first_sample) == 56, "no hidden padding");
_Static_assert(offsetof(struct wire_head, reserved) == 88, "no hidden padding");

/* What a side is ready to receive in data frames: agreed on by the hello, bounded by the lent
 * memory. */
struct wire_expect {
    uint32_t types;             /* 1 << WIRE_ACTIVATION | ... */
    uint32_t dtype;             /* enum wire_dtype of payloads */
    uint32_t ndim;              /* 0: any shape that fits (a detector's boxes) */
    uint32_t dim[WIRE_MAX_DIM]; /* dim[0]: the most samples; the others exactly */
    /* > 0: an ACTIVATION carries n_samples labels in 0 .. label_classes-1; 0: none */
    uint32_t label_classes;
    uint64_t payload_max; /* what a slot holds */
    uint32_t aux_max;
};

const char *wire_type_name(uint8_t type); /* "ACTIVATION"; "?" for what is none */
size_t wire_dtype_bytes(uint32_t dtype);  /* 0 for what is none */

/* aux_bytes as they stand on the wire. */
static inline size_t wire_aux_padded(uint32_t aux_bytes)
{
    return ((size_t)aux_bytes + WIRE_AUX_ALIGN - 1) / WIRE_AUX_ALIGN * WIRE_AUX_ALIGN;
}

/* Sets magic, version, type, seq, and zeroes everything else. */
void wire_head_init(struct wire_head *h, enum wire_type type, uint64_t seq);

/* Sets dtype, ndim, dim[] and payload_bytes. */
void wire_head_shape(struct wire_head *h, enum wire_dtype dtype, int ndim, const int dim[]);

/* Checks what stands in every head: magic, version, type, flags, reserved bytes. -EPROTO and a
 * sentence. */
int wire_check_common(const struct wire_head *h);

/* A whole check of a head that came on an open stream: the above, then for data frames seq ==
 * next_seq, type, dtype, shape, sizes and aux against x; END carries nothing; ERROR carries an
 * aux of at most WIRE_SENTENCE_MAX bytes. HELLO and ANSWER are refused: they come once, before.
 * -EPROTO and a sentence that says what was wanted and what came. */
int wire_check(const struct wire_head *h, const struct wire_expect *x, uint64_t next_seq);

/* Labels in range? For after the aux has landed. -EPROTO and a sentence. */
int wire_check_labels(const int32_t *labels, uint32_t n, uint32_t classes);

enum { WIRE_SENTENCE_MAX = 512 };

/* The sentence of a peer: printable ASCII only (others become '?'), cut to text_bytes,
 * NUL-terminated. Returns text. */
char *wire_sentence(char *text, size_t text_bytes, const void *aux, size_t aux_bytes);

#endif
