/* Lines, fields and numbers of small text files. */
#include "engine/machine_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_under(const char *root, const char *path)
{
    char full[1024];
    if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
        return NULL;
    return fopen(full, "re");
}

bool machine_line(char *text, size_t bytes, const char *root, const char *path)
{
    FILE *f = open_under(root, path);
    *text = 0;
    bool got = f && fgets(text, (int)bytes, f);
    text[strcspn(text, "\n")] = 0;
    if (f)
        fclose(f);
    return got;
}

static bool begins_with_key(const char *line, const char *const keys[])
{
    for (; *keys; keys++)
        if (!strncmp(line, *keys, strlen(*keys)) && strchr(" \t:", line[strlen(*keys)]))
            return true;
    return false;
}

bool machine_field(char *text, size_t bytes, const char *root, const char *path,
                   const char *const keys[])
{
    FILE *f = open_under(root, path);
    char *line = NULL;
    size_t room = 0;
    bool got = false;
    *text = 0;
    while (f && !got && getline(&line, &room, f) > 0) {
        const char *colon = strchr(line, ':');
        if (!colon || !begins_with_key(line, keys))
            continue;
        colon++;
        snprintf(text, bytes, "%s", colon + strspn(colon, " \t"));
        text[strcspn(text, "\n")] = 0;
        got = true;
    }
    free(line);
    if (f)
        fclose(f);
    return got;
}

int64_t machine_number(const char *root, const char *path, int64_t otherwise)
{
    char text[64], *end;
    if (!machine_line(text, sizeof(text), root, path))
        return otherwise;
    long long v = strtoll(text, &end, 10);
    return end == text ? otherwise : v;
}
