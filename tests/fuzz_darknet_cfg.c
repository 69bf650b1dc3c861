/*
 * Fuzzer of the reader of darknet's .cfg: no input may crash it or ask for memory without end, what
 * it accepts is a model whose shapes hold together, and what it refuses it names with the file.
 * `make fuzz` builds it: clang -fsanitize=fuzzer,address.
 */
#include "base/log.h"
#include "models/darknet.h"
#include "tests/fuzz_input.h"

static int file;
static char path[64];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const seed[] = {
        "[net]\nwidth=32\nheight=24\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\n"
        "stride=2\nactivation=leaky\n[convolutional]\nfilters=8\nactivation=linear\n[shortcut]\n"
        "from=-2\nactivation=linear\n[maxpool]\nsize=2\nstride=2\n[upsample]\nstride=2\n[route]\n"
        "layers=-1,2\n[route]\nlayers=0\n[convolutional]\nfilters=12\nactivation=logistic\n[yolo]\n"
        "mask=0,2\nanchors=1,2,3,4,5,6\nnum=3\nclasses=1\n",
        "\xef\xbb\xbf[network]\r\nchannels = 1 # grey\r\n;\r\n[conv]\r\n[max]\r\npadding=0\r\n",
        "[net]\n[conv]\nfilters=6\n[yolo]\nanchors=10,14\nclasses=1\n[route]\nlayers=0\n[yolo]",
    };
    log_set_level(LOG_ERROR);
    file = fuzz_file(path, sizeof(path));
    for (size_t i = 0; i < sizeof(seed) / sizeof(seed[0]); i++)
        fuzz_seed(*argc, *argv, (char[2]){(char)('a' + i)}, seed[i], strlen(seed[i]));
    return 0;
}

static void check_model(const struct model *m)
{
    char text[256];
    CHECK(m->nlayer > 0 && m->nlayer <= DARKNET_MAX_LAYERS);
    for (int i = 0; i < m->nlayer; i++) {
        const struct layer *l = m->layer[i];
        const struct tensor *out = &m->plan[i].out;
        CHECK(tensor_count(out) > 0 && tensor_count(out) <= DARKNET_MAX_VALUES);
        for (int j = 0; j < l->nin; j++)
            CHECK(l->input[j] >= -1 && l->input[j] < i);
        if (l->ops->describe)
            CHECK(*l->ops->describe(l, text, sizeof(text)));
    }
    const struct tensor *out = &m->plan[m->nlayer - 1].out;
    CHECK(!m->boxes || (out->ndim == 3 && out->dim[1] == m->boxes));
    CHECK(m->default_cut == 0 || model_cut_legal(m, m->default_cut));
    CHECK(model_hash(m) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct model_options opt = model_options_default();
    struct model *m;
    fuzz_fill(file, data, bytes);
    if (darknet_cfg_open(&m, path, &opt) == 0)
        check_model(m);
    else
        CHECK(!m && strstr(err_text(), path));
    model_close(m);
    return 0;
}
