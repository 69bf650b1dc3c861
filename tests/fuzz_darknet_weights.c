/*
 * Fuzzer of the reader of darknet's .weights: no input may crash it, a file is taken if its size is
 * that of its header and the model's weights, to the byte, and what is taken is what stands there.
 * `make fuzz` builds it: clang -fsanitize=fuzzer,address.
 */
#include "models/darknet.h"
#include "models/darknet_weights.h"
#include "tests/fuzz_input.h"

/* bias, scale, mean, variance of 2 filters, kernels of 1 x 1; bias and kernels of 1 filter */
enum { FLOATS = 4 * 2 + 2 * 3 + 1 + 2 };

static int file;
static char path[64];
static struct device *dev;
static struct model *model;

static void open_model(void)
{
    static struct darknet_builder b;
    struct tensor in = tensor_f32(4, (int[]){1, 3, 4, 4});
    CHECK(device_cpu_open(&dev, 1, "plain") == 0 && model_begin(&model, "fuzzed", &in) == 0);
    darknet_begin(&b, model);
    CHECK(darknet_add_convolutional(
              &b, &(struct darknet_conv_dims){
                      .filters = 2, .size = 1, .stride = 1, .batch_normalize = true}) == 0);
    CHECK(darknet_add_convolutional(
              &b, &(struct darknet_conv_dims){.filters = 1, .size = 1, .stride = 1}) == 0);
    darknet_end(&b);
    CHECK(model_finish(model) == 0);
    CHECK(model_bind(model, dev, RUN_EVAL, MODEL_GRADS_NONE) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const int32_t version[][3] = {{0, 2, 0}, {0, 1, 0}, {1000, 0, 0}};
    file = fuzz_file(path, sizeof(path));
    open_model();
    for (size_t i = 0; i < sizeof(version) / sizeof(version[0]); i++) {
        char seed[20 + 4 * FLOATS] = {0};
        memcpy(seed, version[i], sizeof(version[i]));
        for (size_t k = 20; k < sizeof(seed); k++)
            seed[k] = (char)k;
        fuzz_seed(*argc, *argv, (char[2]){(char)('a' + i)}, seed, sizeof(seed) - (i ? 4 : 0));
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_fill(file, data, bytes);
    int ret = darknet_weights_load(model, path);
    CHECK(ret == 0 || strstr(err_text(), path));
    CHECK(ret < 0 || bytes == 16 + 4 * FLOATS || bytes == 20 + 4 * FLOATS);
    if (ret < 0)
        return 0;
    const struct param *last = &model->layer[1]->param[0]; /* the file's end */
    size_t end = tensor_bytes(&last->value);
    CHECK(memcmp(last->value.data, data + bytes - end, end) == 0);
    return 0;
}
