/* The bar looks like tqdm's; the plain line holds the same numbers in words. */
#include "engine/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

static const uint64_t REDRAW_NS = 100000000, PLAIN_NS = 5000000000;
enum { DEFAULT_COLUMNS = 80, NUMBER_BYTES = 32 };

static bool locale_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *v = getenv(names[i]);
        if (v && *v)
            return strstr(v, "UTF-8") || strstr(v, "utf8") || strstr(v, "UTF8");
    }
    return false;
}

void progress_open(struct progress *p, FILE *to, const char *unit, uint64_t total)
{
    uint64_t now = clock_now_ns();
    *p = (struct progress){.to = to, .unit = unit, .total = total};
    p->tty = to && isatty(fileno(to));
    p->utf8 = locale_utf8();
    p->start_ns = now;
    p->shown_ns = p->tty ? now - REDRAW_NS : now; /* a bar is there at once */
}

/* 950, 9.50k, 95.0k, 9.50M: three digits that count, as tqdm's unit_scale. */
static char *scaled(char text[NUMBER_BYTES], double v)
{
    static const char suffix[] = " kMGT";
    size_t i = 0;
    for (; v >= 999.5 && i + 2 < sizeof(suffix); i++)
        v /= 1000;
    int digits = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
    if (!i && v == floor(v))
        digits = 0;
    snprintf(text, NUMBER_BYTES, "%.*f%.*s", digits, v, i > 0, suffix + i);
    return text;
}

/* 01:05, 1:01:05 */
static char *clock_text(char text[NUMBER_BYTES], double seconds)
{
    if (!(seconds < 1e8))
        return strcpy(text, "?");
    unsigned s = (unsigned)seconds;
    if (s >= 3600)
        snprintf(text, NUMBER_BYTES, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, NUMBER_BYTES, "%02u:%02u", s / 60, s % 60);
    return text;
}

static int columns(FILE *to)
{
    struct winsize w;
    if (!ioctl(fileno(to), TIOCGWINSZ, &w) && w.ws_col)
        return w.ws_col;
    return DEFAULT_COLUMNS;
}

static double fraction(const struct progress *p)
{
    double f = p->total ? (double)p->done / (double)p->total : 1;
    return f > 1 ? 1 : f;
}

static double seconds_left(const struct progress *p, double seconds)
{
    return p->done ? seconds / (double)p->done * (double)p->total - seconds : (double)INFINITY;
}

/* `width` cells, in eighths of a cell where the terminal shows them. */
static void draw_cells(const struct progress *p, int width)
{
    static const char *const eighth[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = (int)(fraction(p) * 8 * width);
    for (int i = 0; i < width; i++) {
        int part = filled - 8 * i;
        if (part >= 8)
            fputs(p->utf8 ? "█" : "#", p->to);
        else
            fputs(p->utf8 && part > 0 ? eighth[part] : " ", p->to);
    }
}

static void draw_bar(struct progress *p, double seconds)
{
    char a[NUMBER_BYTES], b[NUMBER_BYTES], c[NUMBER_BYTES], d[NUMBER_BYTES], e[NUMBER_BYTES];
    char tail[192];
    double rate = seconds > 0 ? (double)p->done / seconds : 0;
    int used = snprintf(tail, sizeof(tail), "| %s/%s [%s<%s, %s%s/s", scaled(a, (double)p->done),
                        scaled(b, (double)p->total), clock_text(c, seconds),
                        clock_text(d, seconds_left(p, seconds)), scaled(e, rate), p->unit);
    size_t room = sizeof(tail) - (size_t)used;
    if (p->has_loss)
        snprintf(tail + used, room, ", loss=%.4g]", p->loss);
    else
        snprintf(tail + used, room, "]");
    int width = columns(p->to) - 1 - (int)strlen("100%|") - (int)strlen(tail);
    fprintf(p->to, "\r%3.0f%%|", floor(100 * fraction(p)));
    if (width > 0)
        draw_cells(p, width);
    fprintf(p->to, "%s\033[K", tail);
    fflush(p->to);
    p->drawn = true;
}

static void write_plain(const struct progress *p, double seconds)
{
    char a[NUMBER_BYTES], b[NUMBER_BYTES], c[NUMBER_BYTES];
    fprintf(p->to, "%3.0f %%, %llu of %llu %s, %s %s/s", floor(100 * fraction(p)),
            (unsigned long long)p->done, (unsigned long long)p->total, p->unit,
            scaled(a, seconds > 0 ? (double)p->done / seconds : 0), p->unit);
    if (p->has_loss)
        fprintf(p->to, ", loss %.4g", p->loss);
    fprintf(p->to, ", %s gone, %s left\n", clock_text(b, seconds),
            clock_text(c, seconds_left(p, seconds)));
    fflush(p->to);
}

static void show(struct progress *p, uint64_t now)
{
    double seconds = 1e-9 * (double)(now - p->start_ns);
    p->shown_ns = now;
    if (p->tty)
        draw_bar(p, seconds);
    else
        write_plain(p, seconds);
}

void progress_loss(struct progress *p, double loss)
{
    p->loss = loss;
    p->has_loss = true;
}

void progress_update(struct progress *p, uint64_t done)
{
    p->done = done;
    if (!p->to)
        return;
    uint64_t now = clock_now_ns();
    if (now - p->shown_ns >= (p->tty ? REDRAW_NS : PLAIN_NS))
        show(p, now);
}

void progress_say(struct progress *p, const char *fmt, ...)
{
    if (!p->to)
        return;
    if (p->drawn)
        fputs("\r\033[K", p->to);
    p->drawn = false;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(p->to, fmt, ap);
    va_end(ap);
    fputc('\n', p->to);
    fflush(p->to);
}

void progress_close(struct progress *p)
{
    if (p->to && p->tty) {
        show(p, clock_now_ns());
        fputc('\n', p->to);
        fflush(p->to);
    }
    p->to = NULL;
}
