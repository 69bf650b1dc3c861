/*
 * What a model says to numbers, without pictures, decoding or a network in between; tests/peers
 * compares it with PyTorch and darknet:
 *
 *     predict MODEL WEIGHTS INPUT OUTPUT
 *
 * MODEL: a name or the path of a .cfg. INPUT, OUTPUT: floats as they lie in memory, one or more
 * samples; each sample runs alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "models/pass.h"
#include "models/weights.h"

static int predict(struct pass *p, float *in, size_t row, FILE *from, FILE *to)
{
    const struct tensor *out = pass_out(p);
    while (fread(in, sizeof(*in), row, from) == row) {
        pass_forward(p);
        if (fwrite(out->data, sizeof(float), tensor_count(out), to) != tensor_count(out))
            return err_set(EIO, "cannot write the output");
    }
    return 0;
}

static int run(char **word)
{
    struct device *dev;
    struct model *m;
    struct pass *p;
    struct model_options opt = model_options_default();
    FILE *from = fopen(word[3], "rb"), *to = fopen(word[4], "wb");
    if (!from || !to)
        return err_set(errno, "cannot open %s or %s: %s", word[3], word[4], strerror(errno));
    int ret = device_cpu_open(&dev, 0, "auto");
    if (!ret)
        ret = model_open(&m, word[1], &opt);
    if (!ret)
        ret = model_bind(m, dev, RUN_EVAL, MODEL_GRADS_NONE);
    if (!ret)
        ret = weights_load(m, word[2]);
    if (ret < 0)
        return ret;
    size_t row = tensor_count(&m->in);
    float *in = calloc(row, sizeof(*in));
    CHECK(in);
    struct pass_ends ends = {.in = in};
    ret = pass_open(&p, m, RUN_EVAL, 1, &ends);
    if (!ret)
        ret = predict(p, in, row, from, to);
    if (fclose(to) && !ret)
        ret = err_set(errno, "cannot write %s: %s", word[4], strerror(errno));
    return ret;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: predict MODEL WEIGHTS INPUT OUTPUT\n");
        return 2;
    }
    if (run(argv) < 0) {
        fprintf(stderr, "predict: %s\n", err_text());
        return 1;
    }
    return 0;
}
