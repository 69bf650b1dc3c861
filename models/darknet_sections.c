/*
 * What the sections of a darknet .cfg mean, with darknet's own defaults. Options that only training
 * reads are passed over; a value that would change what the network computes, and that this program
 * does not know, is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "models/darknet.h"
#include "models/darknet_cfg.h"

/* A file being built into a model. */
struct reading {
    struct cfg cfg;
    struct darknet_builder b;
    const struct model_options *opt;
};

/* One section; the number of its layer is r->b.m->nlayer. */
typedef int section_fn(struct reading *r, const struct cfg_section *s);

/* A number that must be what it is without the option. */
static int want_only(const struct reading *r, const struct cfg_section *s, const char *key,
                     int only)
{
    int value;
    return cfg_int(&r->cfg, s, key, only, &value, only, only);
}

/* activation=NAME */
static int activation(const struct reading *r, const struct cfg_section *s, enum act missing,
                      enum act *out)
{
    const struct cfg_option *o;
    int ret = cfg_find(&r->cfg, s, "activation", &o);
    *out = missing;
    if (ret < 0 || !o)
        return ret;
    for (int a = 0; a < ACT_COUNT; a++) {
        *out = (enum act)a;
        if (!strcmp(o->value, darknet_act_name(*out)))
            return 0;
    }
    return cfg_refuse(&r->cfg, o->line,
                      "[%s] activation=%.40s: linear, relu, leaky or logistic was wanted", s->name,
                      o->value);
}

static int convolutional(struct reading *r, const struct cfg_section *s)
{
    const struct cfg *c = &r->cfg;
    struct darknet_conv_dims d = {0};
    int pad = 0, padding = 0, batch_normalize = 0;
    int ret = want_only(r, s, "groups", 1);
    if (ret == 0)
        ret = want_only(r, s, "binary", 0);
    if (ret == 0)
        ret = want_only(r, s, "xnor", 0);
    if (ret == 0)
        ret = want_only(r, s, "flipped", 0);
    if (ret == 0)
        ret = want_only(r, s, "dilation", 1);
    if (ret == 0)
        ret = cfg_int(c, s, "batch_normalize", 0, &batch_normalize, 0, 1);
    if (ret == 0)
        ret = cfg_int(c, s, "filters", 1, &d.filters, 1, DARKNET_MAX_CHANNELS);
    if (ret == 0)
        ret = cfg_int(c, s, "size", 1, &d.size, 1, DARKNET_MAX_KERNEL);
    if (ret == 0)
        ret = cfg_int(c, s, "stride", 1, &d.stride, 1, DARKNET_MAX_KERNEL);
    if (ret == 0)
        ret = cfg_int(c, s, "pad", 0, &pad, 0, 1);
    if (ret == 0)
        ret = cfg_int(c, s, "padding", 0, &padding, 0, DARKNET_MAX_KERNEL);
    if (ret == 0)
        ret = activation(r, s, ACT_SIGMOID, &d.act);
    if (ret < 0)
        return ret;
    d.pad = pad ? d.size / 2 : padding;
    d.batch_normalize = batch_normalize;
    return darknet_add_convolutional(&r->b, &d);
}

static int maxpool(struct reading *r, const struct cfg_section *s)
{
    int size = 0, stride = 0, padding = 0;
    int ret = cfg_int(&r->cfg, s, "stride", 1, &stride, 1, DARKNET_MAX_POOL);
    if (ret == 0)
        ret = cfg_int(&r->cfg, s, "size", stride, &size, 1, DARKNET_MAX_POOL);
    /* with more, a window could lie outside the image */
    if (ret == 0)
        ret = cfg_int(&r->cfg, s, "padding", size - 1, &padding, 0, 2 * (size - 1));
    return ret != 0 ? ret : darknet_add_maxpool(&r->b, size, stride, padding);
}

static int upsample(struct reading *r, const struct cfg_section *s)
{
    int factor = 0;
    int ret = cfg_int(&r->cfg, s, "stride", 2, &factor, 1, 64);
    if (ret == 0)
        ret = want_only(r, s, "scale", 1);
    return ret != 0 ? ret : darknet_add_upsample(&r->b, factor);
}

/* A layer that the file names: counted from this one where negative. */
static int layer_named(const struct reading *r, const struct cfg_section *s, const char *key,
                       int number, int *out)
{
    int here = r->b.m->nlayer;
    *out = number < 0 ? here + number : number;
    if (*out >= 0 && *out < here)
        return 0;
    const struct cfg_option *o;
    cfg_find(&r->cfg, s, key, &o);
    if (here == 0)
        return cfg_refuse(&r->cfg, o->line, "[%s] %s: there is no layer before this first one",
                          s->name, key);
    return cfg_refuse(&r->cfg, o->line,
                      "[%s] %s: layer %d was wanted by layer %d, which may read layers 0 to %d, or "
                      "-%d to -1 counted from itself",
                      s->name, key, number, here, here - 1, here);
}

static int route(struct reading *r, const struct cfg_section *s)
{
    int from[LAYER_MAX_IN], n = 0;
    int ret = cfg_ints(&r->cfg, s, "layers", from, LAYER_MAX_IN, &n);
    if (ret == 0 && n == 0)
        ret = cfg_refuse(&r->cfg, s->line, "[%s] wants layers=, as in layers=-1,8", s->name);
    if (ret == 0)
        ret = want_only(r, s, "groups", 1);
    for (int i = 0; i < n && ret == 0; i++)
        ret = layer_named(r, s, "layers", from[i], &from[i]);
    return ret != 0 ? ret : darknet_add_route(&r->b, n, from);
}

static int shortcut(struct reading *r, const struct cfg_section *s)
{
    enum act act = ACT_NONE;
    int from = 0, n = 0;
    int ret = cfg_ints(&r->cfg, s, "from", &from, 1, &n);
    if (ret == 0 && n == 0)
        ret = cfg_refuse(&r->cfg, s->line, "[%s] wants from=, as in from=-3", s->name);
    if (ret == 0)
        ret = layer_named(r, s, "from", from, &from);
    if (ret == 0)
        ret = activation(r, s, ACT_NONE, &act);
    return ret != 0 ? ret : darknet_add_shortcut(&r->b, from, act);
}

/* The anchors that mask= chooses; all of them where it is not there. */
static int anchors(const struct reading *r, const struct cfg_section *s,
                   float out[YOLO_MAX_ANCHORS][2], int *n)
{
    enum { ALL = 64 };
    float all[2 * ALL];
    int mask[YOLO_MAX_ANCHORS], nall = 0, num = 0;
    int ret = cfg_int(&r->cfg, s, "num", 1, &num, 1, ALL);
    if (ret == 0)
        ret = cfg_floats(&r->cfg, s, "anchors", all, 2 * num, &nall);
    if (ret == 0)
        ret = cfg_ints(&r->cfg, s, "mask", mask, YOLO_MAX_ANCHORS, n);
    if (ret < 0)
        return ret;
    if (nall != 2 * num)
        return cfg_refuse(&r->cfg, s->line,
                          "[%s] num=%d wants %d numbers in anchors=, there are %d", s->name, num,
                          2 * num, nall);
    if (*n == 0 && num > YOLO_MAX_ANCHORS)
        return cfg_refuse(&r->cfg, s->line,
                          "[%s] %d anchors, at most %d are taken: choose by mask=", s->name, num,
                          YOLO_MAX_ANCHORS);
    for (int i = 0; *n == 0 && i < num; i++)
        mask[i] = i;
    *n = *n ? *n : num;
    for (int i = 0; i < *n; i++) {
        if (mask[i] < 0 || mask[i] >= num)
            return cfg_refuse(&r->cfg, s->line,
                              "[%s] mask= chooses anchor %d, there are 0 to %d (num=%d)", s->name,
                              mask[i], num - 1, num);
        memcpy(out[i], all + (size_t)2 * (size_t)mask[i], sizeof(out[i]));
    }
    return 0;
}

static bool last_section(const struct reading *r, const struct cfg_section *s)
{
    return s == &r->cfg.section[r->cfg.nsection - 1];
}

static int yolo(struct reading *r, const struct cfg_section *s)
{
    float anchor[YOLO_MAX_ANCHORS][2];
    int classes = 0, n = 0;
    const struct cfg_option *scaled = NULL;
    int ret = cfg_int(&r->cfg, s, "classes", 20, &classes, 1, DARKNET_MAX_CLASSES);
    if (ret == 0)
        ret = cfg_find(&r->cfg, s, "scale_x_y", &scaled);
    if (ret == 0 && scaled && strtof(scaled->value, NULL) != 1)
        ret = cfg_refuse(&r->cfg, scaled->line, "[%s] scale_x_y=%.40s: YOLOv3's boxes have none",
                         s->name, scaled->value);
    if (ret == 0)
        ret = want_only(r, s, "new_coords", 0);
    if (ret == 0)
        ret = anchors(r, s, anchor, &n);
    return ret != 0 ? ret : darknet_add_yolo(&r->b, classes, n, anchor, last_section(r, s));
}

/* The sections; options that are read above, or that only training reads. */
static const struct kind {
    const char *name, *alias;
    section_fn *fn;
    const char *options; /* a space around each */
} kinds[] = {
    {"convolutional", "conv", convolutional,
     " batch_normalize filters size stride pad padding activation groups binary xnor flipped "
     "dilation learning_rate dontload dontloadscales dontsave stopbackward "},
    {"maxpool", "max", maxpool, " size stride padding "},
    {"upsample", NULL, upsample, " stride scale "},
    {"route", NULL, route, " layers groups "},
    {"shortcut", NULL, shortcut, " from activation "},
    {"yolo", NULL, yolo,
     " mask anchors classes num scale_x_y new_coords jitter ignore_thresh truth_thresh random max "
     "map absolute "},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(name, kinds[i].name) || (kinds[i].alias && !strcmp(name, kinds[i].alias)))
            return &kinds[i];
    return NULL;
}

/* As darknet does: options that nobody reads are said, not refused; mostly a slip of the pen. */
static void warn_of_unused(const struct reading *r, const struct cfg_section *s,
                           const struct kind *kind)
{
    for (size_t i = s->first; i < s->first + s->noption; i++) {
        const struct cfg_option *o = &r->cfg.option[i];
        char key[64];
        snprintf(key, sizeof(key), " %.40s ", o->key);
        if (!strstr(kind->options, key))
            log_warning("cfg", "%s:%d: [%s] has no use for %.40s=", r->cfg.path, o->line, s->name,
                        o->key);
    }
}

static int add_section(struct reading *r, const struct cfg_section *s)
{
    const struct kind *kind = kind_of(s->name);
    if (!kind)
        return cfg_refuse(&r->cfg, s->line,
                          "section [%.40s] is not known here; convolutional, maxpool, upsample, "
                          "route, shortcut and yolo are",
                          s->name);
    warn_of_unused(r, s, kind);
    int ret = kind->fn(r, s);
    if (ret == -EINVAL) /* the layer does not fit: the file's fault, not the call's */
        ret = err_prefix(-EBADMSG, "%s:%d", r->cfg.path, s->line);
    return ret;
}

static bool is_net(const struct cfg_section *s)
{
    return !strcmp(s->name, "net") || !strcmp(s->name, "network");
}

/* "yolov3" of "cfg/yolov3.cfg": two nodes with the same file agree wherever it lies. */
static void name_of(const char *path, char name[LAYER_NAME_BYTES])
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    snprintf(name, LAYER_NAME_BYTES, "%s", base);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
}

static int begin(struct reading *r, struct model **m)
{
    const struct cfg *c = &r->cfg;
    int w = 0, h = 0, channels = 0;
    if (c->nsection == 0 || !is_net(&c->section[0]))
        return cfg_refuse(c, c->nsection ? c->section[0].line : 1,
                          "a .cfg begins with the section [net]");
    const struct cfg_section *net = &c->section[0];
    int ret = cfg_int(c, net, "width", 416, &w, 1, DARKNET_MAX_INPUT);
    if (ret == 0)
        ret = cfg_int(c, net, "height", 416, &h, 1, DARKNET_MAX_INPUT);
    if (ret == 0)
        ret = cfg_int(c, net, "channels", 3, &channels, 1, DARKNET_MAX_CHANNELS);
    if (ret == 0 && c->nsection == 1)
        ret = cfg_refuse(c, net->line, "there are no layers behind [%s]", net->name);
    if (ret < 0)
        return ret;
    if ((double)w * h * channels > DARKNET_MAX_VALUES)
        return cfg_refuse(c, net->line, "[%s] %dx%d pictures of %d channels are too large",
                          net->name, w, h, channels);
    char name[LAYER_NAME_BYTES];
    struct tensor in = tensor_f32(4, (int[]){1, channels, h, w});
    name_of(c->path, name);
    ret = model_begin(m, name, &in);
    if (ret == 0)
        darknet_begin(&r->b, *m);
    return ret;
}

static int build(struct reading *r, struct model **m)
{
    const struct cfg *c = &r->cfg;
    int ret = begin(r, m);
    CHECK(ret != 0 || *m);
    for (size_t i = 1; i < c->nsection && ret == 0; i++)
        ret = add_section(r, &c->section[i]);
    if (ret != 0)
        return ret;
    if (r->b.nyolo && r->b.yolo[r->b.nyolo - 1] != (*m)->nlayer - 1)
        return cfg_refuse(c, c->section[c->nsection - 1].line,
                          "a model with yolo layers ends with one, there is [%s]",
                          c->section[c->nsection - 1].name);
    darknet_end(&r->b);
    if (r->opt->classes && r->opt->classes != (*m)->classes)
        return err_set(EINVAL, "%s tells %d classes apart, %d are asked for", c->path,
                       (*m)->classes, r->opt->classes);
    return model_finish(*m);
}

/* text NULL: of the file. */
static int open_cfg(struct model **m, const char *path, const char *text, size_t bytes,
                    const struct model_options *opt)
{
    int ret = darknet_check_options(path, opt);
    if (ret < 0)
        return ret;
    struct reading *r = calloc(1, sizeof(*r));
    if (!r)
        return err_set(ENOMEM, "no memory to read %s", path);
    *m = NULL;
    r->opt = opt;
    ret = text ? cfg_open_text(&r->cfg, path, text, bytes) : cfg_open(&r->cfg, path);
    if (ret == 0)
        ret = build(r, m);
    if (ret < 0) {
        model_close(*m);
        *m = NULL;
    }
    cfg_close(&r->cfg);
    free(r);
    return ret;
}

int darknet_cfg_open(struct model **m, const char *path, const struct model_options *opt)
{
    return open_cfg(m, path, NULL, 0, opt);
}

int darknet_cfg_open_text(struct model **m, const char *name, const char *text, size_t bytes,
                          const struct model_options *opt)
{
    return open_cfg(m, name, text, bytes, opt);
}
