/* Counting, and printing, what a classifier's inference found. */
#include "engine/infer_report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/latency.h"
#include "engine/process.h"

int infer_report_open(struct infer_report *r, uint64_t requests, int batch_size, bool json)
{
    *r = (struct infer_report){.json = json};
    r->latency = calloc(requests, sizeof(*r->latency));
    r->predicted = calloc((size_t)batch_size, sizeof(*r->predicted));
    if (r->latency && r->predicted)
        return 0;
    infer_report_close(r);
    return err_set(ENOMEM, "no memory for the latencies of %" PRIu64 " requests", requests);
}

void infer_report_close(struct infer_report *r)
{
    free(r->predicted);
    free(r->latency);
    *r = (struct infer_report){0};
}

/* The class of the largest value; the first of equals. *finite: whether all of them are. */
static int32_t top1(const float *logits, size_t classes, bool *finite)
{
    size_t best = 0;
    *finite = true;
    for (size_t i = 0; i < classes; i++) {
        *finite = *finite && isfinite(logits[i]);
        if (logits[i] > logits[best] || (isnan(logits[best]) && !isnan(logits[i])))
            best = i;
    }
    return (int32_t)best;
}

static void print_list(const char *name, const int32_t *v, int n)
{
    printf(",\"%s\":[", name);
    for (int i = 0; i < n; i++)
        printf("%s%" PRId32, i ? "," : "", v[i]);
    putchar(']');
}

void infer_report_request(struct infer_report *r, const struct tensor *logits,
                          const int32_t *labels, double seconds)
{
    int n = logits->dim[0];
    size_t classes = tensor_row(logits);
    uint64_t correct = 0;
    for (int i = 0; i < n; i++) {
        bool finite;
        r->predicted[i] = top1(tensor_floats(logits) + (size_t)i * classes, classes, &finite);
        r->not_finite += !finite;
        correct += r->predicted[i] == labels[i] && finite;
    }
    r->latency[r->done++] = seconds;
    r->samples += (uint64_t)n;
    r->correct += correct;
    if (!r->json)
        return;
    printf("{\"request\":%" PRIu64 ",\"samples\":%d,\"correct\":%" PRIu64 ",\"latency_ms\":%.6g",
           r->done, n, correct, 1e3 * seconds);
    print_list("predictions", r->predicted, n);
    print_list("labels", labels, n);
    puts("}");
}

int infer_report_summary(struct json_t *summary)
{
    if (!summary)
        return err_set(ENOMEM, "no memory for the summary, or the name of a file is not UTF-8");
    json_dumpf(summary, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(summary);
    return 0;
}

static int print_json(const struct infer_report *r, const struct infer_about *a, double seconds)
{
    json_t *s = json_pack(
        "{s:{s:s,s:s,s:I,s:I,s:I,s:f,s:I,s:f,s:f,s:f,s:s?,s:I}}", "summary", "model", a->model,
        "dataset", a->dataset, "requests", (json_int_t)r->done, "samples", (json_int_t)r->samples,
        "correct", (json_int_t)r->correct, "accuracy", (double)r->correct / (double)r->samples,
        "not_finite", (json_int_t)r->not_finite, "latency_ms_median",
        latency_ms(r->latency, r->done, 0.5), "latency_ms_p99",
        latency_ms(r->latency, r->done, 0.99), "samples_per_second", (double)r->samples / seconds,
        "weights", a->weights, "peak_memory_bytes", (json_int_t)process_peak_bytes());
    return infer_report_summary(s);
}

int infer_report_print(struct infer_report *r, const struct infer_about *about, double seconds)
{
    CHECK(r->done > 0);
    latency_sort(r->latency, r->done);
    if (r->json)
        return print_json(r, about, seconds);
    printf("top-1 accuracy %.2f %% (%" PRIu64 " of %" PRIu64 ")\n",
           100 * (double)r->correct / (double)r->samples, r->correct, r->samples);
    if (r->not_finite)
        printf("%" PRIu64 " samples have predictions that are not finite: they count as wrong\n",
               r->not_finite);
    printf("%" PRIu64 " requests in %.2f s: latency median %.3f ms, p99 %.3f ms; %.1f samples/s\n",
           r->done, seconds, latency_ms(r->latency, r->done, 0.5),
           latency_ms(r->latency, r->done, 0.99), (double)r->samples / seconds);
    printf("Peak memory %.0f MiB\n", (double)process_peak_bytes() / (1 << 20));
    return 0;
}
