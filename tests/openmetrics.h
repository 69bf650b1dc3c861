/*
 * Checks a text against OpenMetrics 1.0, as far as gauges and counters go: families in one piece
 * with type, help and unit before their samples; names, labels and values by the grammar; no series
 * twice; the end marked. NULL, or what is wrong with which line.
 */
#ifndef TESTS_OPENMETRICS_H
#define TESTS_OPENMETRICS_H

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OM_NAME = 128, OM_FAMILIES = 64, OM_SERIES = 1024, OM_LINE = 1024 };

struct openmetrics {
    char family[OM_FAMILIES][OM_NAME];
    int nfamily;
    char series[OM_SERIES][OM_LINE];
    int nseries;
    bool counter, typed, helped, united, sampled; /* of the last family */
    char what[OM_LINE + 64];
};

static inline size_t om_name(const char *p)
{
    size_t n = 0;
    if (!isalpha((unsigned char)*p) && *p != '_' && *p != ':')
        return 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == ':')
        n++;
    return n;
}

/* The family that metadata or a sample is of: the last one, or a new one. */
static inline const char *om_family(struct openmetrics *m, const char *name, size_t n)
{
    char *last = m->nfamily ? m->family[m->nfamily - 1] : NULL;
    if (n >= OM_NAME || m->nfamily == OM_FAMILIES)
        return "a name is too long, or there are too many families";
    if (last && strlen(last) == n && !strncmp(last, name, n))
        return m->sampled ? "metadata after a sample" : NULL;
    if (m->nfamily && !m->sampled)
        return "the family before has no sample";
    for (int i = 0; i < m->nfamily; i++)
        if (strlen(m->family[i]) == n && !strncmp(m->family[i], name, n))
            return "a family in two pieces";
    memcpy(m->family[m->nfamily], name, n);
    m->family[m->nfamily++][n] = '\0';
    m->typed = m->helped = m->united = m->sampled = m->counter = false;
    return NULL;
}

static inline const char *om_metadata(struct openmetrics *m, const char *line)
{
    static const char *const word[] = {"# HELP ", "# TYPE ", "# UNIT "};
    int w = 0;
    while (w < 3 && strncmp(line, word[w], 7) != 0)
        w++;
    size_t n = w < 3 ? om_name(line + 7) : 0;
    if (!n || line[7 + n] != ' ')
        return "neither HELP, TYPE nor UNIT of a name";
    const char *wrong = om_family(m, line + 7, n), *rest = line + 7 + n + 1;
    if (wrong)
        return wrong;
    bool *seen = w == 0 ? &m->helped : w == 1 ? &m->typed : &m->united;
    if (*seen)
        return "metadata twice";
    *seen = true;
    if (w == 0 && !*rest)
        return "a help of no words";
    if (w == 1 && strcmp(rest, "counter") != 0 && strcmp(rest, "gauge") != 0)
        return "another type than counter and gauge";
    if (w == 1)
        m->counter = *rest == 'c';
    size_t unit = strlen(rest);
    if (w == 2 && (unit + 1 > n || line[7 + n - unit - 1] != '_' ||
                   strncmp(line + 7 + n - unit, rest, unit) != 0))
        return "the unit is not the name's end";
    return NULL;
}

/* name="value",...} */
static inline const char *om_labels(const char **p)
{
    while (**p != '}') {
        size_t n = om_name(*p);
        if (!n || memchr(*p, ':', n) || (*p)[n] != '=' || (*p)[n + 1] != '"')
            return "a label is not name=\"value\"";
        for (*p += n + 2; **p && **p != '"'; ++*p)
            if (**p == '\\' && !strchr("\\n\"", *++*p))
                return "an escape that there is not";
        if (*(*p)++ != '"')
            return "a label's value has no end";
        if (**p == ',')
            ++*p;
        else if (**p != '}')
            return "labels without a comma between";
    }
    ++*p;
    return NULL;
}

static inline const char *om_sample(struct openmetrics *m, const char *line)
{
    size_t n = om_name(line), family = m->nfamily ? strlen(m->family[m->nfamily - 1]) : 0;
    const char *p = line + n, *suffix = m->counter ? "_total" : "";
    if (!n || !family || strncmp(line, m->family[m->nfamily - 1], family) != 0 ||
        n != family + strlen(suffix) || strncmp(line + family, suffix, strlen(suffix)) != 0)
        return "a sample of no family before it";
    if (!m->typed || !m->helped)
        return "a sample without TYPE and HELP";
    m->sampled = true;
    if (*p == '{') {
        p++;
        const char *wrong = om_labels(&p);
        if (wrong)
            return wrong;
    }
    size_t length = (size_t)(p - line);
    for (int i = 0; i < m->nseries; i++)
        if (strlen(m->series[i]) == length && !strncmp(m->series[i], line, length))
            return "a series twice";
    if (m->nseries == OM_SERIES || length >= OM_LINE)
        return "too many series";
    memcpy(m->series[m->nseries], line, length);
    m->series[m->nseries++][length] = '\0';
    char *end = NULL;
    double v = *p == ' ' && !isspace((unsigned char)p[1]) ? strtod(p + 1, &end) : 0;
    if (!end || end == p + 1 || *end)
        return "a value that is no number";
    return m->counter && !(v >= 0 && isfinite(v)) ? "a counter that does not count" : NULL;
}

static inline const char *openmetrics_wrong(struct openmetrics *m, const char *text)
{
    *m = (struct openmetrics){.nfamily = 0};
    for (bool ended = false; *text;) {
        char line[OM_LINE];
        size_t n = strcspn(text, "\n");
        const char *wrong = NULL;
        if (n >= sizeof(line) || text[n] != '\n') {
            wrong = "a line is too long, or has no end";
            n = n < sizeof(line) ? n : sizeof(line) - 1;
        }
        memcpy(line, text, n);
        line[n] = '\0';
        if (!wrong && ended)
            wrong = "a line after the end";
        if (!wrong && !strcmp(line, "# EOF"))
            wrong = (ended = true) && !m->sampled ? "the last family has no sample" : NULL;
        else if (!wrong)
            wrong = *line == '#' ? om_metadata(m, line) : om_sample(m, line);
        if (wrong) {
            snprintf(m->what, sizeof(m->what), "%s: %s", wrong, line);
            return m->what;
        }
        text += n + 1;
        if (!*text && !ended)
            return "the end is not marked";
    }
    return m->nfamily ? NULL : "nothing";
}

#endif
