/* procfs: net/dev, stat, meminfo. Each file is read whole into a fixed buffer. */
#include "monitor/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "monitor/host_file.h"
#include "monitor/nvml.h"

enum { FILE_BYTES = 1 << 16 };

/* Adds up the counters of one interface, or of all; their names to `names`. False: none matched. */
static bool read_network(const struct host *h, struct host_sample *s, char *names, size_t bytes)
{
    static _Thread_local char text[FILE_BYTES];
    uint64_t sent = 0, recv = 0;
    bool found = false;
    if (host_file(text, sizeof(text), "%s/proc/net/dev", h->root) < 0)
        return false;
    for (char *save, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char name[HOST_INTERFACE_BYTES];
        uint64_t r, t;
        if (sscanf(line, " %15[^: ]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name, &r,
                   &t) != 3)
            continue;
        size_t used = strlen(names);
        snprintf(names + used, bytes - used, "%s%s", used ? ", " : "", name);
        if (*h->interface && strcmp(name, h->interface))
            continue;
        found = true;
        recv += r;
        sent += t;
    }
    if (found) {
        s->bytes_sent = sent;
        s->bytes_recv = recv;
    }
    return found;
}

/* user nice system idle iowait irq softirq steal: idle and iowait are not busy. */
static void read_cpu(struct host *h, struct host_sample *s)
{
    static _Thread_local char text[FILE_BYTES];
    uint64_t t[8] = {0}, all = 0;
    if (host_file(text, sizeof(text), "%s/proc/stat", h->root) < 0 ||
        sscanf(text,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return;
    for (int i = 0; i < 8; i++)
        all += t[i];
    uint64_t busy = all - t[3] - t[4];
    if (all > h->cpu_all && busy >= h->cpu_busy && h->cpu_all)
        s->cpu_percent = 100 * (double)(busy - h->cpu_busy) / (double)(all - h->cpu_all);
    h->cpu_busy = busy;
    h->cpu_all = all;
}

static uint64_t meminfo(const char *text, const char *name)
{
    const char *p = strstr(text, name);
    uint64_t kb = 0;
    if (!p || sscanf(p + strlen(name), " %" SCNu64, &kb) != 1)
        return 0;
    return kb;
}

static void read_memory(const struct host *h, struct host_sample *s)
{
    static _Thread_local char text[FILE_BYTES];
    if (host_file(text, sizeof(text), "%s/proc/meminfo", h->root) < 0)
        return;
    s->ram_total_kb = meminfo(text, "MemTotal:");
    s->ram_kb = s->ram_total_kb - meminfo(text, "MemAvailable:");
    s->swap_kb = meminfo(text, "SwapTotal:") - meminfo(text, "SwapFree:");
}

int host_open(struct host *h, const char *root, const char *interface)
{
    char names[512] = "";
    *h = (struct host){0};
    if (strlen(root) >= sizeof(h->root))
        return err_set(ENAMETOOLONG, "the folder %s has too long a name", root);
    strcpy(h->root, root);
    bool fits = interface && *interface && strlen(interface) < sizeof(h->interface);
    if (fits)
        strcpy(h->interface, interface);
    bool found = read_network(h, &h->last, names, sizeof(names));
    if (interface && !(fits && found))
        return err_set(ENODEV, "there is no network interface \"%s\", there are %s", interface,
                       *names ? names : "none");
    h->is_tegra = tegra_find(&h->tegra, root);
    if (!h->is_tegra && !*root)
        h->nvml = nvml_open();
    h->has_gpu = h->is_tegra || h->nvml;
    struct host_sample s;
    host_read(h, &s); /* the first reading of the CPU's ticks */
    return 0;
}

void host_close(struct host *h)
{
    nvml_close(h->nvml);
    *h = (struct host){0};
}

void host_read(struct host *h, struct host_sample *s)
{
    char names[512] = "";
    read_network(h, &h->last, names, sizeof(names));
    read_cpu(h, &h->last);
    read_memory(h, &h->last);
    if (h->is_tegra)
        tegra_read(&h->tegra, &h->last.gpu_percent, &h->last.power_mw);
    if (h->nvml)
        nvml_read(h->nvml, &h->last.gpu_percent, &h->last.power_mw);
    *s = h->last;
}
