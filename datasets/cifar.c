/*
 * CIFAR-10 and CIFAR-100 in the binary version (cs.toronto.edu/~kriz/cifar.html): records of one
 * label byte (CIFAR-100: two, the second is the fine one) and 3 x 32 x 32 bytes of picture, in the
 * order of the files. Read whole into memory at open.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "datasets/kinds.h"

enum { PIXELS = 3 * 32 * 32, MAX_FILES = 5 };

struct cifar_kind {
    struct dataset_kind kind;
    const char *folder[3];              /* in the data folder; "." is the data folder itself */
    const char *file[2][MAX_FILES + 1]; /* of the training and of the test split, NULL-terminated */
    int label_bytes;                    /* the last of them counts */
    size_t published[2];                /* samples of either split */
    int classes;
    const char *const *class_name;
};

/* "folder/file" of the first folder that holds `file`, or the first folder at all. True if it is
 * there. */
static bool locate(const struct cifar_kind *k, const char *data_dir, const char *file, char *path,
                   size_t path_bytes)
{
    for (int i = 0; i < 3; i++) {
        snprintf(path, path_bytes, "%s/%s/%s", data_dir, k->folder[i], file);
        if (access(path, F_OK) == 0)
            return true;
    }
    snprintf(path, path_bytes, "%s/%s/%s", data_dir, k->folder[0], file);
    return false;
}

static bool cifar_found(const struct dataset_kind *kind, const struct dataset_want *want)
{
    const struct cifar_kind *k = (const struct cifar_kind *)kind;
    char path[PATH_MAX];
    return locate(k, want->data_dir, k->file[want->split][0], path, sizeof(path));
}

static int read_all(int fd, const char *path, uint8_t *to, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = read(fd, to, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return err_set(EINVAL, "%s is cut short: it shrank while it was read", path);
        to += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Appends the records of one file. */
static int read_file(struct stored *s, const struct cifar_kind *k, const char *path)
{
    size_t record = (size_t)k->label_bytes + PIXELS, before = s->ds.count;
    struct stat sb;
    int ret = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &sb) < 0) {
        ret = err_set(errno, "cannot open %s: %s", path, strerror(errno));
        goto out;
    }
    size_t bytes = (size_t)sb.st_size, records = bytes / record;
    if (!S_ISREG(sb.st_mode) || records == 0 || bytes % record != 0) {
        ret = err_set(
            EINVAL,
            "%s is cut short or not %s: its %zu bytes are no whole number of records of %zu bytes",
            path, k->kind.name, bytes, record);
        goto out;
    }
    uint8_t *grown = realloc(s->image_bytes, (before + records) * record);
    if (!grown) {
        ret =
            err_set(ENOMEM, "no memory for the %zu samples of %s", before + records, k->kind.name);
        goto out;
    }
    s->image_bytes = grown;
    s->image = grown + k->label_bytes;
    s->label = grown + k->label_bytes - 1;
    ret = read_all(fd, path, grown + before * record, bytes);
    s->ds.count = before + records;
    if (ret == 0)
        ret = stored_check_labels(s, before, path);
out:
    if (fd >= 0)
        close(fd);
    return ret;
}

static int cifar_open(const struct dataset_kind *kind, const struct dataset_want *want,
                      struct dataset **ds)
{
    static const float mean[3] = {0.4914f, 0.4822f, 0.4465f}, std[3] = {0.2023f, 0.1994f, 0.2010f};
    const struct cifar_kind *k = (const struct cifar_kind *)kind;
    char path[PATH_MAX];
    if (!locate(k, want->data_dir, k->file[want->split][0], path, sizeof(path)))
        return err_set(ENOENT,
                       "%s is not in %s (%s was wanted, the binary version): get it with "
                       "scripts/fetch_data.sh %s, or "
                       "take --dataset shapes",
                       kind->name, want->data_dir, path, kind->name);
    struct stored *s = stored_new(kind, mean, std);
    if (!s)
        return -ENOMEM;
    s->image_stride = s->label_stride = (size_t)k->label_bytes + PIXELS;
    s->ds.classes = k->classes;
    s->ds.class_name = k->class_name;
    int ret = 0;
    for (const char *const *file = k->file[want->split]; *file && ret == 0; file++) {
        locate(k, want->data_dir, *file, path, sizeof(path));
        ret = read_file(s, k, path);
    }
    if (ret < 0) {
        dataset_close(&s->ds);
        return ret;
    }
    if (s->ds.count != k->published[want->split])
        log_warning("datasets", "%s in %s holds %zu samples, as published it holds %zu", kind->name,
                    want->data_dir, s->ds.count, k->published[want->split]);
    *ds = &s->ds;
    return 0;
}

static const char *const cifar10_name[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                             "dog",      "frog",       "horse", "ship", "truck"};

static const char *const cifar100_name[100] = {
    "apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
    "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
    "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
    "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
    "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
    "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
    "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
    "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
    "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
    "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
    "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
    "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
    "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
    "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
    "table",       "tank",          "telephone", "television", "tiger",        "tractor",
    "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
    "willow_tree", "wolf",          "woman",     "worm"};

static const struct cifar_kind cifar10 = {
    .kind = {.name = "cifar10", .c = 3, .h = 32, .w = 32, .found = cifar_found, .open = cifar_open},
    .folder = {"cifar-10-batches-bin", "cifar10", "."},
    .file = {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
              "data_batch_5.bin"},
             {"test_batch.bin"}},
    .label_bytes = 1,
    .published = {50000, 10000},
    .classes = 10,
    .class_name = cifar10_name};

static const struct cifar_kind cifar100 = {
    .kind =
        {.name = "cifar100", .c = 3, .h = 32, .w = 32, .found = cifar_found, .open = cifar_open},
    .folder = {"cifar-100-binary", "cifar100", "."},
    .file = {{"train.bin"}, {"test.bin"}},
    .label_bytes = 2,
    .published = {50000, 10000},
    .classes = 100,
    .class_name = cifar100_name};

const struct dataset_kind *const cifar_kinds[] = {&cifar10.kind, &cifar100.kind, NULL};
