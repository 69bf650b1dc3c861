/* Listing picture files, and drawing scenes. */
#include "engine/pictures.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/err.h"
#include "datasets/scene.h"

enum { SCENES = 8 };

static const char debian_samples[] = "/usr/share/darknet/data";

static int add(struct pictures *p, const char *folder, const char *name)
{
    char **more = realloc(p->path, (p->count + 1) * sizeof(*more)), *path;
    if (more)
        p->path = more;
    if (!more || asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
        return err_set(ENOMEM, "no memory for a list of pictures");
    p->path[p->count++] = path;
    return 0;
}

static int is_picture(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return dot && dot != e->d_name &&
           (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct pictures *p, const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, is_picture, by_name), ret = 0;
    if (n < 0)
        return err_set(errno, "cannot read folder %s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (ret == 0)
            ret = add(p, folder, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return ret;
}

static int add_named(struct pictures *p, const char *name)
{
    struct stat st;
    if (stat(name, &st) < 0)
        return err_set(errno, "cannot open picture %s: %s", name, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return add(p, "", name);
    size_t before = p->count;
    int ret = add_folder(p, name);
    if (ret == 0 && p->count == before)
        return err_set(ENOENT, "folder %s holds no .jpg, .jpeg or .png", name);
    return ret;
}

/* There may be none: a folder that lacks, or one that a fetch left empty. */
static int add_samples(struct pictures *p, const char *data_dir)
{
    char own[4096];
    snprintf(own, sizeof(own), "%s/samples", data_dir);
    const char *folder[] = {own, debian_samples};
    struct stat st;
    int ret = 0;
    for (int i = 0; i < 2 && ret == 0 && !p->count; i++)
        if (stat(folder[i], &st) == 0)
            ret = add_folder(p, folder[i]);
    return ret;
}

int pictures_open(struct pictures *p, const char *const *name, int nname, const char *data_dir,
                  uint64_t seed)
{
    int ret = 0;
    *p = (struct pictures){0};
    for (int i = 0; i < nname && ret == 0; i++)
        ret = add_named(p, name[i]);
    if (nname)
        return ret;
    ret = add_samples(p, data_dir);
    return ret == 0 && !p->count ? pictures_open_scenes(p, seed) : ret;
}

int pictures_open_scenes(struct pictures *p, uint64_t seed)
{
    int ret = 0;
    *p = (struct pictures){.scenes = true, .seed = seed};
    for (int i = 0; i < SCENES && ret == 0; i++) {
        char name[32];
        snprintf(name, sizeof(name), "scene%d", i);
        ret = add(p, "", name);
    }
    return ret;
}

int pictures_read(const struct pictures *p, size_t i, struct picture *out)
{
    if (!p->scenes)
        return picture_read(out, p->path[i]);
    struct scene_box box[SCENE_MAX_BOXES];
    uint32_t number = SCENE_HELD_OUT + (uint32_t)i;
    int w, h;
    scene_size(number, &w, &h);
    int ret = picture_new(out, w, h);
    if (ret == 0)
        scene_draw(out, box, p->seed, number);
    return ret;
}

void pictures_close(struct pictures *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->path[i]);
    free(p->path);
    *p = (struct pictures){0};
}
