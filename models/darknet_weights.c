/* darknet's .weights, read and written layer by layer: no more memory than the model's own, and a
 * block where a device's memory is out of reach. */
#include "models/darknet_weights.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "models/file_out.h"
#include "models/param_io.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "darknet's weights are read and written as they lie in memory: little-endian machines only"
#endif

enum { VERSION_INTS = 3 };

static const char *ending(const char *path, const char *of)
{
    size_t n = strlen(path), k = strlen(of);
    return n >= k ? path + n - k : "";
}

int darknet_weights_cutoff(const char *path)
{
    static const char mark[] = ".conv.";
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *found = NULL;
    for (const char *at = base; (at = strstr(at, mark)); at++)
        found = at + strlen(mark);
    if (!found || *found < '1' || *found > '9')
        return 0;
    char *end;
    errno = 0;
    long n = strtol(found, &end, 10);
    return *end || errno || n > INT_MAX ? 0 : (int)n;
}

bool darknet_weights_named(const char *path)
{
    return !strcmp(ending(path, ".weights"), ".weights") || darknet_weights_cutoff(path) > 0;
}

/* The order in which the file has a layer's parameters, as numbers of param[]; *n of them. */
static const int *file_order(const struct layer *l, int *n)
{
    static const int plain[] = {1, 0}, batch_norm[] = {2, 1, 3, 4, 0};
    *n = l->nparam;
    return l->nparam == 2 ? plain : batch_norm;
}

static uint64_t layer_bytes(const struct layer *l)
{
    uint64_t bytes = 0;
    for (int i = 0; i < l->nparam; i++)
        bytes += tensor_bytes(&l->param[i].value);
    return bytes;
}

/* Bytes of the layers before `cut`. */
static uint64_t bytes_before(const struct model *m, int cut)
{
    uint64_t bytes = 0;
    for (int i = 0; i < cut; i++)
        bytes += layer_bytes(m->layer[i]);
    return bytes;
}

/* How many layers the file is about, by its name; -EINVAL where it cannot be one of this model. */
static int layers_of(const struct model *m, const char *path)
{
    int cutoff = darknet_weights_cutoff(path);
    for (int i = 0; i < m->nlayer; i++)
        if (m->layer[i]->nparam && strcmp(m->layer[i]->ops->name, "convolutional") != 0)
            return err_set(EINVAL,
                           "%s: .weights files are for darknet's models, the weights of %s are "
                           "kept as .safetensors",
                           path, m->name);
    if (cutoff > m->nlayer)
        return err_set(EINVAL, "%s is named as the first %d layers' file, %s has %d", path, cutoff,
                       m->name, m->nlayer);
    return cutoff ? cutoff : m->nlayer;
}

struct input {
    const char *path;
    int fd;
    const char *file; /* in memory; NULL: read from fd */
    uint64_t bytes;
    void *block;     /* where a device's memory is out of reach */
    uint64_t offset; /* of the parameter that is read */
};

static int read_at(const struct input *in, uint64_t offset, void *data, size_t bytes)
{
    char *to = data;
    if (in->file && offset + bytes <= in->bytes) {
        memcpy(data, in->file + offset, bytes);
        return 0;
    }
    if (in->file)
        return err_set(EINVAL, "%s is cut short: it ends at byte %" PRIu64, in->path, in->bytes);
    while (bytes > 0) {
        ssize_t n = pread(in->fd, to, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot read %s: %s", in->path, strerror(errno));
        if (n == 0)
            return err_set(EINVAL, "%s is cut short: it ends at byte %" PRIu64, in->path, offset);
        to += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Bytes of the header; *have: bytes behind it. */
static int read_header(const struct input *in, uint64_t *header, uint64_t *have)
{
    int32_t version[VERSION_INTS];
    int ret = read_at(in, 0, version, sizeof(version));
    if (ret < 0)
        return ret;
    /* as darknet decides it; the limits are its mark of an old byte order of matrices */
    int64_t number = (int64_t)version[0] * 10 + version[1];
    bool wide = number >= 2 && version[0] < 1000 && version[1] < 1000;
    *header = sizeof(version) + (wide ? sizeof(uint64_t) : sizeof(uint32_t));
    if (in->bytes < *header)
        return err_set(EINVAL,
                       "%s is cut short: it has %" PRIu64 " bytes, its header alone has %" PRIu64,
                       in->path, in->bytes, *header);
    *have = in->bytes - *header;
    return 0;
}

static int check_size(const struct model *m, const char *path, int layers, uint64_t have)
{
    uint64_t want = bytes_before(m, layers);
    if (have == want)
        return 0;
    for (int cut = 1; cut < m->nlayer; cut++)
        if (have > 0 && have == bytes_before(m, cut))
            return err_set(EINVAL,
                           "%s holds %" PRIu64 " bytes of weights, those of the first %d layers of "
                           "%s, the %d layers wanted have %" PRIu64 ": if that is what it is, name "
                           "it *.conv.%d",
                           path, have, cut, m->name, layers, want, cut);
    return err_set(EINVAL,
                   "%s holds %" PRIu64 " bytes of weights, %s than the %" PRIu64 " of %d layers of "
                   "%s: are these the weights of another model, or is the file damaged?",
                   path, have, have < want ? "fewer" : "more", want, layers, m->name);
}

static int read_part(void *arg, size_t offset, void *data, size_t bytes)
{
    const struct input *in = arg;
    return read_at(in, in->offset + offset, data, bytes);
}

static int load_layers(const struct model *m, struct input *in, int layers)
{
    for (int i = 0; i < layers && i < m->to; i++) {
        const struct layer *l = m->layer[i];
        int n;
        const int *order = file_order(l, &n);
        for (int j = 0; j < n; j++) {
            const struct param *p = &l->param[order[j]];
            int ret = i < m->from ? 0 : param_load(m, p, in->block, read_part, in);
            if (ret < 0)
                return ret;
            in->offset += tensor_bytes(&p->value);
        }
    }
    return 0;
}

static int load(struct model *m, struct input *in, int layers)
{
    uint64_t have = 0;
    in->block = malloc(PARAM_BLOCK_BYTES);
    int ret = in->block ? 0 : err_set(ENOMEM, "no memory to read %s", in->path);
    if (ret == 0)
        ret = read_header(in, &in->offset, &have);
    if (ret == 0)
        ret = check_size(m, in->path, layers, have);
    if (ret == 0)
        ret = load_layers(m, in, layers);
    m->origin = ORIGIN_DARKNET;
    free(in->block);
    return ret;
}

/* Its size is known from here on. */
static int check_file(struct input *in)
{
    struct stat sb;
    if (fstat(in->fd, &sb) < 0)
        return err_set(errno, "cannot read %s: %s", in->path, strerror(errno));
    if (!S_ISREG(sb.st_mode))
        return err_set(EINVAL, "cannot read %s: a .weights file was wanted, it is none", in->path);
    in->bytes = (uint64_t)sb.st_size;
    return 0;
}

int darknet_weights_load(struct model *m, const char *path)
{
    struct input in = {.path = path};
    int layers = layers_of(m, path);
    if (layers < 0)
        return layers;
    in.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in.fd < 0)
        return err_set(errno, "cannot open %s: %s", path, strerror(errno));
    int ret = check_file(&in);
    if (ret == 0)
        ret = load(m, &in, layers);
    close(in.fd);
    return ret;
}

int darknet_weights_load_bytes(struct model *m, const char *name, const void *file, size_t bytes)
{
    struct input in = {.path = name, .fd = -1, .file = file, .bytes = bytes};
    return load(m, &in, m->nlayer);
}

static int write_part(void *arg, size_t offset, void *data, size_t bytes)
{
    const struct file_out *out = arg;
    return file_out_write(out, data, bytes);
}

static int save_layers(const struct model *m, struct file_out *out, int layers, void *block)
{
    static const struct {
        int32_t version[VERSION_INTS];
        uint32_t seen[2]; /* one 64-bit number, not aligned */
    } header = {{0, 2, 0}, {0, 0}};
    int ret = file_out_reserve(out, sizeof(header) + bytes_before(m, layers));
    if (ret == 0)
        ret = file_out_write(out, &header, sizeof(header));
    for (int i = 0; i < layers; i++) {
        int n;
        const int *order = file_order(m->layer[i], &n);
        for (int j = 0; j < n && ret == 0; j++)
            ret = param_save(m, &m->layer[i]->param[order[j]], block, write_part, out);
    }
    return ret;
}

int darknet_weights_save(const struct model *m, const char *path)
{
    int layers = layers_of(m, path);
    if (layers < 0)
        return layers;
    CHECK(!m->folded);
    if (m->from > 0 || m->to < layers)
        return err_set(EINVAL,
                       "%s would hold layers 0:%d of %s, here are %d:%d: save them as "
                       ".safetensors, which has names",
                       path, layers, m->name, m->from, m->to);
    struct file_out out = FILE_OUT_NONE;
    void *block = malloc(PARAM_BLOCK_BYTES);
    int ret = block ? file_out_begin(&out, path) : err_set(ENOMEM, "no memory to write %s", path);
    /* What is still queued on the device may be the last update of these very bytes. */
    if (ret == 0 && m->dev)
        ret = device_sync(m->dev);
    if (ret == 0)
        ret = save_layers(m, &out, layers, block);
    if (ret == 0)
        ret = file_out_commit(&out);
    file_out_close(&out);
    free(block);
    return ret;
}
