/*
 * GPU load and power of NVIDIA's Jetsons, from sysfs: the GPU's load file, and the rails of the
 * INA3221 power monitors as JetPack 4 (iio) and JetPack 5 and 6 (hwmon) name them.
 */
#ifndef MONITOR_TEGRA_H
#define MONITOR_TEGRA_H

#include <stdbool.h>

enum { TEGRA_PATH_BYTES = 320, TEGRA_MAX_RAILS = 12 };

/* power is the path of a file of milliwatts; or volt and current of millivolts and milliamperes. */
struct tegra_rail {
    char power[TEGRA_PATH_BYTES], volt[TEGRA_PATH_BYTES], current[TEGRA_PATH_BYTES];
};

struct tegra {
    char load[TEGRA_PATH_BYTES]; /* "": none */
    struct tegra_rail rail[TEGRA_MAX_RAILS];
    int nrail; /* one where a rail feeds the whole module, else all of them */
};

/* Looks once for what there is. False: this is no Jetson. */
bool tegra_find(struct tegra *t, const char *root);

/* Percent, milliwatts; unchanged where a file cannot be read now, as of a GPU that sleeps. */
void tegra_read(const struct tegra *t, double *gpu_percent, double *power_mw);

#endif
