/*
 * What an inference of a classifier found: predictions, accuracy, latencies; as lines or as JSON on
 * stdout.
 *
 *     struct infer_report r;
 *     if (infer_report_open(&r, requests, batch_size, json) < 0) ...
 *     infer_report_request(&r, &logits, labels, seconds);        // after each, in order
 *     infer_report_print(&r, &about, seconds);
 *     infer_report_close(&r);
 */
#ifndef ENGINE_INFER_REPORT_H
#define ENGINE_INFER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/tensor.h"

struct json_t; /* jansson's */

struct infer_report {
    bool json;
    double *latency;    /* seconds, one a request */
    int32_t *predicted; /* of the last request */
    uint64_t done, samples, correct;
    uint64_t not_finite; /* samples with such a prediction */
};

struct infer_about {
    const char *model, *dataset, *weights; /* weights NULL: fresh */
};

/* -ENOMEM and a sentence. */
int infer_report_open(struct infer_report *r, uint64_t requests, int batch_size, bool json);
void infer_report_close(struct infer_report *r);

/* logits (n, classes), labels (n). With JSON: prints its line. */
void infer_report_request(struct infer_report *r, const struct tensor *logits,
                          const int32_t *labels, double seconds);

/* Prints a summary, a detector's too, as a line of JSON and gives it up. NULL, for want of memory:
 * -ENOMEM and a sentence. */
int infer_report_summary(struct json_t *summary);

/* seconds: of all requests. At least one is done. */
int infer_report_print(struct infer_report *r, const struct infer_about *about, double seconds);

#endif
