/* The parser and the help that follow from the table of options. */
#include "engine/options.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

/* 2: `text` of `length` is a spelling of s; 1: it begins one; 0: neither. */
static int spelling(const struct option_spec *s, const char *text, size_t length)
{
    const char *names[] = {s->name, s->alias[0], s->alias[1]};
    int best = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!names[i] || strncmp(names[i], text, length))
            continue;
        if (!names[i][length])
            return 2;
        best = 1;
    }
    return best;
}

static void append(char *list, size_t bytes, const char *name)
{
    size_t used = strlen(list);
    snprintf(list + used, bytes - used, "%s--%s", used ? ", " : "", name);
}

/* The option that these characters name; -EINVAL and a sentence. */
static int option_find(enum command c, const char *text, size_t length)
{
    int found = -1, nfound = 0;
    char candidates[512] = "";
    for (int o = 0; o < OPT_COUNT; o++) {
        if (!(option_spec((enum option)o)->commands & 1u << c))
            continue;
        int how = spelling(option_spec((enum option)o), text, length);
        if (how == 2)
            return o;
        if (how == 1) {
            found = o;
            nfound++;
            append(candidates, sizeof(candidates), option_spec((enum option)o)->name);
        }
    }
    if (nfound == 1)
        return found;
    if (nfound > 1)
        return err_set(EINVAL, "--%.*s may be any of %s: write more of it", (int)length, text,
                       candidates);
    for (int o = 0; o < OPT_COUNT; o++)
        if (spelling(option_spec((enum option)o), text, length) == 2)
            return err_set(EINVAL, "%s takes no --%s: see sparse-engine %s --help", command_name(c),
                           option_spec((enum option)o)->name, command_name(c));
    return err_set(EINVAL, "%s has no option --%.*s: see sparse-engine %s --help", command_name(c),
                   (int)length, text, command_name(c));
}

/* --images may be given many times, and many pictures may follow it: all are operands. */
static void option_value(struct words *w, enum option o, char *text)
{
    w->value[o] = text;
    if (o == OPT_IMAGES)
        w->operand[w->noperand++] = text;
}

/* One word that begins with "--", and its value; returns how many words it used, or -EINVAL. */
static int option_take(struct words *w, int left, char **argv)
{
    const char *text = argv[0] + 2, *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    int o = option_find(w->command, text, length);
    if (o < 0)
        return o;
    const struct option_spec *s = option_spec((enum option)o);
    if (o == OPT_HELP)
        w->help = true;
    if (!s->arg) {
        if (equals)
            return err_set(EINVAL, "--%s takes no value, there is \"%s\": leave it out", s->name,
                           equals + 1);
        w->value[o] = "";
        return 1;
    }
    if (equals) {
        option_value(w, (enum option)o, (char *)equals + 1);
        return 1;
    }
    if (left < 2 || !strncmp(argv[1], "--", 2))
        return err_set(EINVAL, "--%s wants a value (%s), there is %s: write --%s=VALUE", s->name,
                       s->arg, left < 2 ? "none" : argv[1], s->name);
    option_value(w, (enum option)o, argv[1]);
    return 2;
}

int options_parse(struct words *w, enum command c, int argc, char **argv)
{
    *w = (struct words){.command = c, .operand = argv};
    bool options = true;
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        if (options && !strcmp(word, "--")) {
            options = false;
            i++;
            continue;
        }
        if (!options || word[0] != '-' || !word[1]) {
            w->operand[w->noperand++] = argv[i++];
            continue;
        }
        w->help = !strcmp(word, "-h");
        if (word[1] != '-' && !w->help)
            return err_set(
                EINVAL,
                "%s has no option %s: options begin with two dashes, see sparse-engine %s --help",
                command_name(c), word, command_name(c));
        int used = w->help ? 1 : option_take(w, argc - i, argv + i);
        if (used < 0 || w->help)
            return used < 0 ? used : 0;
        i += used;
    }
    if (w->noperand && !*command_operands(c))
        return err_set(EINVAL,
                       "%s takes options only, there is \"%s\": see sparse-engine %s --help",
                       command_name(c), w->operand[0], command_name(c));
    return 0;
}

enum { HELP_COLUMN = 28, HELP_WIDTH = 100 };

/* Words of `text` from HELP_COLUMN on; the cursor stands at `column`. */
static void help_wrapped(FILE *to, const char *text, int column)
{
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            fputc('\n', to);
            column = 0;
        }
        int gap = column < HELP_COLUMN ? HELP_COLUMN - column : 1;
        column += fprintf(to, "%*s%.*s", gap, "", length, text);
        text += length + strspn(text + length, " ");
    }
    fputc('\n', to);
}

void options_help(FILE *to, enum command c)
{
    fprintf(to, "usage: sparse-engine %s%s [options]\n%s\n\n", command_name(c), command_operands(c),
            command_summary(c));
    for (int o = 0; o < OPT_COUNT; o++) {
        const struct option_spec *s = option_spec((enum option)o);
        if (!(s->commands & 1u << c))
            continue;
        int column = fprintf(to, "  --%s%s%s", s->name, s->arg ? " " : "", s->arg ? s->arg : "");
        if (column >= HELP_COLUMN) {
            fputc('\n', to);
            column = 0;
        }
        help_wrapped(to, option_help((enum option)o, c), column);
    }
    fputs("\nA name may be cut short where that leaves one option.\n"
          "Precedence: flag, environment, dotenv file, default.\n",
          to);
}

void options_overview(FILE *to)
{
    fputs("usage: sparse-engine COMMAND [options]\n\n", to);
    for (int c = 0; c < CMD_COUNT; c++)
        fprintf(to, "  %-10s%s\n", command_name((enum command)c), command_summary((enum command)c));
    fputs("\n  --version print the version and exit\n  --help    print this and exit\n\n"
          "sparse-engine COMMAND --help lists a command's options.\n"
          "Exit status: 0 done, 1 it failed, 2 the words of the call are off, 128+n ended by "
          "signal n.\n",
          to);
}
