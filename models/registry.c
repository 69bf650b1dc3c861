/* The models by name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "models/build.h"
#include "models/darknet.h"

struct entry {
    int (*build)(struct model *m, const struct model_options *opt);
    int in[TENSOR_MAX_DIM];
    int (*open)(struct model **m, const struct model_options *opt); /* instead of the two above */
};

static const char *const names[] = {"small",  "vgg11",       "vgg16",       "vgg19",
                                    "yolov3", "yolov3-tiny", "shapes-yolo", NULL};
static const struct entry entries[] = {
    {.build = small_build, .in = {1, 1, 28, 28}},
    {.build = vgg11_build, .in = {1, 3, 32, 32}},
    {.build = vgg16_build, .in = {1, 3, 32, 32}},
    {.build = vgg19_build, .in = {1, 3, 32, 32}},
    {.build = yolov3_build, .in = {1, 3, 416, 416}},
    {.build = yolov3_tiny_build, .in = {1, 3, 416, 416}},
    {.open = shapes_yolo_open},
};
_Static_assert(sizeof(names) / sizeof(names[0]) == sizeof(entries) / sizeof(entries[0]) + 1,
               "a name for every model");

const char *const *model_names(void)
{
    return names;
}

struct model_options model_options_default(void)
{
    struct model_options opt = {.dropout = 0.5f, .codec = 0, .classes = 0};
    return opt;
}

static int check_options(const char *name, const struct model_options *opt)
{
    if (!(opt->dropout >= 0 && opt->dropout < 1))
        return err_set(EINVAL, "a dropout of %g for %s: it is a probability, from 0 to below 1",
                       opt->dropout, name);
    if (opt->classes < 0)
        return err_set(EINVAL, "%d classes for %s: give 1 or more, or 0 for the model's own",
                       opt->classes, name);
    if (opt->codec < 0)
        return err_set(EINVAL, "a codec that divides the channels of %s by %d: give 1 or more",
                       name, opt->codec);
    return 0;
}

int model_open(struct model **out, const char *name, const struct model_options *opt)
{
    int ret = check_options(name, opt);
    if (ret < 0)
        return ret;
    const char *dot = strrchr(name, '.');
    if (dot && !strcmp(dot, ".cfg"))
        return darknet_cfg_open(out, name, opt);
    for (int i = 0; names[i]; i++) {
        if (strcmp(name, names[i]))
            continue;
        if (entries[i].open)
            return entries[i].open(out, opt);
        struct tensor in = tensor_f32(TENSOR_MAX_DIM, entries[i].in);
        struct model *m;
        ret = model_begin(&m, name, &in);
        if (ret < 0)
            return ret;
        ret = entries[i].build(m, opt);
        if (ret == 0)
            ret = model_finish(m);
        if (ret < 0) {
            model_close(m);
            return ret;
        }
        *out = m;
        return 0;
    }
    char known[256];
    size_t used = 0;
    for (int i = 0; names[i]; i++)
        used +=
            (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", names[i]);
    return err_set(EINVAL,
                   "there is no model \"%s\"; the models are %s, and paths to darknet .cfg files",
                   name, known);
}
