/*
 * The MNIST family in IDX files (yann.lecun.com/exdb/mnist), plain or gzipped: one file of 28 x 28
 * bytes a picture, one of labels. Pixels become x / 255, as PyTorch's ToTensor does; nothing else.
 * Read whole into memory at open.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/err.h"
#include "datasets/kinds.h"

enum {
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    CLASSES = 10,
    MAX_DIM = 3,
    GZIP_MOST = 1032, /* deflate makes of a byte at most so many */
    CHUNK_BYTES = 1 << 20
};

struct idx_kind {
    struct dataset_kind kind;
    const char *folder[5]; /* with a slash in front as they are, else in the data folder */
    const char *get;
    const char *const *class_name;
};

static const char *const images_file[2] = {"train-images", "t10k-images"};
static const char *const labels_file[2] = {"train-labels", "t10k-labels"};

/* path = folder/file-idxN-ubyte, with a dot for the first dash and with .gz as they are found. */
static bool locate_in(const char *folder, const char *file, int ndim, char *path, size_t path_bytes)
{
    static const char *const spelling[] = {"%s/%s-idx%d-ubyte", "%s/%s.idx%d-ubyte",
                                           "%s/%s-idx%d-ubyte.gz", "%s/%s.idx%d-ubyte.gz"};
    for (int i = 0; i < 4; i++) {
        snprintf(path, path_bytes, spelling[i], folder, file, ndim);
        if (access(path, F_OK) == 0)
            return true;
    }
    snprintf(path, path_bytes, spelling[0], folder, file, ndim);
    return false;
}

/* The first folder that holds the split's pictures; false, and the first folder of all, where none
 * does. */
static bool locate_folder(const struct idx_kind *k, const struct dataset_want *want, char *folder,
                          size_t folder_bytes)
{
    char path[PATH_MAX];
    for (int i = 0; k->folder[i]; i++) {
        bool absolute = k->folder[i][0] == '/';
        snprintf(folder, folder_bytes, "%s%s%s", absolute ? "" : want->data_dir,
                 absolute ? "" : "/", k->folder[i]);
        if (locate_in(folder, images_file[want->split], 3, path, sizeof(path)))
            return true;
    }
    snprintf(folder, folder_bytes, "%s/%s", want->data_dir, k->folder[0]);
    return false;
}

static bool idx_found(const struct dataset_kind *kind, const struct dataset_want *want)
{
    char folder[PATH_MAX];
    return locate_folder((const struct idx_kind *)kind, want, folder, sizeof(folder));
}

struct idx_file {
    gzFile gz;
    const char *path;
    uint64_t file_bytes; /* as it lies on the disk */
    uint32_t dim[MAX_DIM];
};

/* Exactly so many bytes, or -EINVAL (or the file's errno) and a sentence. */
static int idx_read(const struct idx_file *f, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        size_t chunk = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        int n = gzread(f->gz, (char *)to + done, (unsigned)chunk), status = Z_OK;
        const char *text = gzerror(f->gz, &status);
        if (n < 0 && status == Z_ERRNO)
            return err_set(errno, "cannot read %s: %s", f->path, strerror(errno));
        if (n < 0 && status != Z_BUF_ERROR)
            return err_set(status == Z_MEM_ERROR ? ENOMEM : EINVAL, "%s is damaged: %s", f->path,
                           text);
        if (n <= 0)
            return err_set(EINVAL, "%s is cut short", f->path);
        done += (size_t)n;
    }
    return 0;
}

/* Opens and reads the head: 0, 0, 8 (unsigned bytes), the number of dimensions, then each,
 * big-endian. */
static int idx_open_file(struct idx_file *f, const char *path, int ndim)
{
    struct stat sb;
    *f = (struct idx_file){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &sb) < 0) {
        int ret = err_set(errno, "cannot open %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ret;
    }
    f->gz = S_ISREG(sb.st_mode) ? gzdopen(fd, "rb") : NULL;
    if (!f->gz) {
        close(fd);
        return S_ISREG(sb.st_mode)
                   ? err_set(ENOMEM, "no memory to read %s", path)
                   : err_set(EINVAL, "%s is not a file: an IDX file was wanted", path);
    }
    f->file_bytes = (uint64_t)sb.st_size;
    uint8_t magic[4], size[4];
    int ret = idx_read(f, magic, sizeof(magic));
    if (ret == 0 && (magic[0] || magic[1] || magic[2] != 8 || magic[3] != ndim))
        ret = err_set(EINVAL, "%s begins with %02x%02x%02x%02x, an IDX file of %s with 000008%02x",
                      path, magic[0], magic[1], magic[2], magic[3],
                      ndim == 3 ? "pictures" : "labels", ndim);
    for (int i = 0; i < ndim && ret == 0; i++) {
        ret = idx_read(f, size, sizeof(size));
        f->dim[i] =
            (uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 | (uint32_t)size[2] << 8 | size[3];
    }
    return ret;
}

/* Reads the rest: dim[0] items of item_bytes, to be freed. Memory is asked for only if the file can
 * hold so many. */
static int idx_read_items(const struct idx_file *f, size_t item_bytes, uint8_t **items)
{
    uint64_t bytes = (uint64_t)f->dim[0] * item_bytes;
    if (bytes == 0)
        return err_set(EINVAL, "%s holds no samples", f->path);
    if (bytes > f->file_bytes * (gzdirect(f->gz) ? 1 : GZIP_MOST))
        return err_set(EINVAL,
                       "%s is cut short: it says %u samples, and its %llu bytes cannot hold them",
                       f->path, f->dim[0], (unsigned long long)f->file_bytes);
    *items = malloc(bytes);
    if (!*items)
        return err_set(ENOMEM, "no memory for the %u samples of %s", f->dim[0], f->path);
    int ret = idx_read(f, *items, bytes);
    if (ret < 0)
        return ret;
    /* One byte too many; and the end is where gzip's checksum is compared. */
    uint8_t more;
    int n = gzread(f->gz, &more, 1), status = Z_OK;
    if (n > 0)
        return err_set(EINVAL, "%s goes on after its %u samples", f->path, f->dim[0]);
    const char *text = gzerror(f->gz, &status);
    return n < 0 || status == Z_BUF_ERROR ? err_set(EINVAL, "%s is damaged: %s", f->path, text) : 0;
}

static int read_images(struct stored *s, const char *path)
{
    struct idx_file f;
    int ret = idx_open_file(&f, path, 3);
    if (ret == 0 && (f.dim[1] != SIDE || f.dim[2] != SIDE))
        ret = err_set(EINVAL, "%s holds pictures of %ux%u, %dx%d was wanted", path, f.dim[1],
                      f.dim[2], SIDE, SIDE);
    if (ret == 0)
        ret = idx_read_items(&f, PIXELS, &s->image_bytes);
    s->image = s->image_bytes;
    s->image_stride = PIXELS;
    s->ds.count = f.dim[0];
    if (f.gz)
        gzclose(f.gz);
    return ret;
}

static int read_labels(struct stored *s, const char *path)
{
    struct idx_file f;
    int ret = idx_open_file(&f, path, 1);
    if (ret == 0 && f.dim[0] != s->ds.count)
        ret = err_set(EINVAL, "%s holds %u labels for %zu pictures", path, f.dim[0], s->ds.count);
    if (ret == 0)
        ret = idx_read_items(&f, 1, &s->label_bytes);
    s->label = s->label_bytes;
    s->label_stride = 1;
    if (f.gz)
        gzclose(f.gz);
    return ret < 0 ? ret : stored_check_labels(s, 0, path);
}

static int idx_open(const struct dataset_kind *kind, const struct dataset_want *want,
                    struct dataset **ds)
{
    static const float mean[1] = {0.0f}, std[1] = {1.0f};
    const struct idx_kind *k = (const struct idx_kind *)kind;
    char folder[PATH_MAX], path[PATH_MAX];
    bool there = locate_folder(k, want, folder, sizeof(folder));
    locate_in(folder, images_file[want->split], 3, path, sizeof(path));
    if (!there)
        return err_set(ENOENT,
                       "%s is not in %s (%s was wanted, or with .gz): get it with %s, or take "
                       "--dataset shapes",
                       kind->name, want->data_dir, path, k->get);
    struct stored *s = stored_new(kind, mean, std);
    if (!s)
        return -ENOMEM;
    s->ds.classes = CLASSES;
    s->ds.class_name = k->class_name;
    int ret = read_images(s, path);
    if (ret == 0) {
        locate_in(folder, labels_file[want->split], 1, path, sizeof(path));
        ret = read_labels(s, path);
    }
    if (ret < 0) {
        dataset_close(&s->ds);
        return ret;
    }
    *ds = &s->ds;
    return 0;
}

static const char *const fashion_name[CLASSES] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                  "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                  "Bag",         "Ankle boot"};
static const char *const digit_name[CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

static const struct idx_kind fashion_mnist = {
    .kind = {.name = "fashion-mnist",
             .c = 1,
             .h = SIDE,
             .w = SIDE,
             .found = idx_found,
             .open = idx_open},
    /* The last is where Debian's package puts it. */
    .folder = {"fashion-mnist", "FashionMNIST/raw", "FashionMNIST",
               "/usr/share/datasets/fashion-mnist"},
    .get = "scripts/fetch_data.sh fashion-mnist or Debian's package dataset-fashion-mnist",
    .class_name = fashion_name};

static const struct idx_kind mnist = {
    .kind = {.name = "mnist", .c = 1, .h = SIDE, .w = SIDE, .found = idx_found, .open = idx_open},
    .folder = {"mnist", "MNIST/raw", "MNIST"},
    .get = "scripts/fetch_data.sh mnist",
    .class_name = digit_name};

const struct dataset_kind *const idx_kinds[] = {&fashion_mnist.kind, &mnist.kind, NULL};
