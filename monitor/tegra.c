/* sysfs of the Jetsons. A rail that feeds the whole module counts alone, else their sum. */
#include "monitor/tegra.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/host_file.h"

/* Nano, TX2, Xavier, Orin; gpu.0 is a link that most of them have. */
static const char *const load_pattern[] = {
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/class/devfreq/*.gpu/device/load",
    "sys/class/devfreq/*.gp10b/device/load",
    "sys/class/devfreq/*.gv11b/device/load",
    "sys/class/devfreq/*.ga10b/device/load",
};

static const char *const whole_module[] = {"VDD_IN", "POM_5V_IN"};

/* Calls fn with each path that matches, until it returns false. */
static void each_path(const char *root, const char *pattern,
                      bool (*fn)(void *arg, const char *path), void *arg)
{
    char full[TEGRA_PATH_BYTES];
    glob_t found;
    int n = snprintf(full, sizeof(full), "%s/%s", root, pattern);
    if (n < 0 || (size_t)n >= sizeof(full) || glob(full, 0, NULL, &found))
        return;
    bool more = true;
    for (size_t i = 0; i < found.gl_pathc && more; i++)
        more = strlen(found.gl_pathv[i]) + 32 > TEGRA_PATH_BYTES || fn(arg, found.gl_pathv[i]);
    globfree(&found);
}

static bool read_number(double *out, const char *path)
{
    char text[64], *end;
    if (host_file(text, sizeof(text), "%s", path) < 0)
        return false;
    double v = strtod(text, &end);
    if (end == text)
        return false;
    *out = v;
    return true;
}

static bool take_load(void *arg, const char *path)
{
    struct tegra *t = arg;
    double load;
    if (!read_number(&load, path))
        return true;
    strcpy(t->load, path);
    return false;
}

/* True once `name` is the rail that counts alone. */
static bool add_rail(struct tegra *t, const char *name, const struct tegra_rail *rail)
{
    size_t length = strcspn(name, "\n");
    for (size_t i = 0; i < sizeof(whole_module) / sizeof(*whole_module); i++)
        if (strlen(whole_module[i]) == length && !strncmp(name, whole_module[i], length)) {
            t->rail[0] = *rail;
            t->nrail = 1;
            return true;
        }
    bool connected = length && strncmp(name, "NC", 2) != 0 && strncmp(name, "sum of", 6) != 0;
    if (connected && t->nrail < TEGRA_MAX_RAILS)
        t->rail[t->nrail++] = *rail;
    return false;
}

/* JetPack 4: .../rail_name_0 to _2 beside in_power0_input. */
static bool take_iio(void *arg, const char *path)
{
    char name[64];
    struct tegra_rail rail = {.volt = ""};
    int length = (int)(strlen(path) - strlen("rail_name_0"));
    snprintf(rail.power, sizeof(rail.power), "%.*sin_power%c_input", length, path,
             path[strlen(path) - 1]);
    return host_file(name, sizeof(name), "%s", path) < 0 || !add_rail(arg, name, &rail);
}

/* JetPack 5 and 6: .../in1_label to in3_label beside in1_input and curr1_input; the chip's name
 * tells it from others. */
static bool take_hwmon(void *arg, const char *path)
{
    char name[64], label[64];
    struct tegra_rail rail = {.power = ""};
    int length = (int)(strlen(path) - strlen("in1_label"));
    char number = path[length + 2];
    if (host_file(name, sizeof(name), "%.*sname", length, path) < 0 || strncmp(name, "ina3221", 7))
        return true;
    snprintf(rail.volt, sizeof(rail.volt), "%.*sin%c_input", length, path, number);
    snprintf(rail.current, sizeof(rail.current), "%.*scurr%c_input", length, path, number);
    return host_file(label, sizeof(label), "%s", path) < 0 || !add_rail(arg, label, &rail);
}

bool tegra_find(struct tegra *t, const char *root)
{
    *t = (struct tegra){.nrail = 0};
    for (size_t i = 0; i < sizeof(load_pattern) / sizeof(*load_pattern) && !*t->load; i++)
        each_path(root, load_pattern[i], take_load, t);
    each_path(root, "sys/bus/iio/devices/iio:device*/rail_name_[0-2]", take_iio, t);
    if (!t->nrail)
        each_path(root, "sys/class/hwmon/hwmon*/in[1-3]_label", take_hwmon, t);
    return *t->load || t->nrail;
}

static bool read_rail(double *mw, const struct tegra_rail *r)
{
    double volt, current;
    if (*r->power)
        return read_number(mw, r->power);
    if (!read_number(&volt, r->volt) || !read_number(&current, r->current))
        return false;
    *mw = volt * current / 1000;
    return true;
}

void tegra_read(const struct tegra *t, double *gpu_percent, double *power_mw)
{
    double load, sum = 0, mw;
    if (*t->load && read_number(&load, t->load))
        *gpu_percent = load / 10; /* it is of a thousand */
    for (int i = 0; i < t->nrail; i++) {
        if (!read_rail(&mw, &t->rail[i]))
            return;
        sum += mw;
    }
    if (t->nrail)
        *power_mw = sum;
}
