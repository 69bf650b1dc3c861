/* The words of a call: spellings, prefixes, values, operands, refusals with their sentence, help.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "engine/options.h"

enum { MAX_WORDS = 8 };

/* Words separated by one space, "" kept; parsed as the words after the subcommand. */
static char line[256], *argv[MAX_WORDS];

static int parse(struct words *w, enum command c, const char *words)
{
    int argc = 0;
    strcpy(line, words);
    for (char *p = *line ? line : NULL; p;) {
        char *space = strchr(p, ' ');
        if (space)
            *space++ = 0;
        assert_true(argc < MAX_WORDS);
        argv[argc++] = p;
        p = space;
    }
    return options_parse(w, c, argc, argv);
}

static void test_spellings(void **state)
{
    static const struct {
        enum command command;
        const char *words;
        enum option option;
        const char *value;
    } row[] = {
        {CMD_TRAIN, "--epochs 3", OPT_EPOCHS, "3"},
        {CMD_TRAIN, "--epochs=3", OPT_EPOCHS, "3"},
        {CMD_TRAIN, "--epochs=", OPT_EPOCHS, ""},
        {CMD_TRAIN, "--epochs 3 --epochs 4", OPT_EPOCHS, "4"},
        {CMD_TRAIN, "--ep 3", OPT_EPOCHS, "3"},
        {CMD_TRAIN, "--ep=3", OPT_EPOCHS, "3"},
        {CMD_TRAIN, "--suite offload_final", OPT_ROLE, "offload_final"},
        {CMD_TRAIN, "--su aio", OPT_ROLE, "aio"},
        {CMD_TRAIN, "--model-name VGG_unsplit", OPT_MODEL, "VGG_unsplit"},
        {CMD_TRAIN, "--model VGG_server", OPT_MODEL, "VGG_server"},
        {CMD_TRAIN, "--mod small", OPT_MODEL,
         "small"}, /* begins --model and its alias: one option */
        {CMD_TRAIN, "--batch-size 2", OPT_BATCH_SIZE, "2"},
        {CMD_TRAIN, "--batches 2", OPT_BATCHES, "2"},
        {CMD_TRAIN, "--lr -1", OPT_LR, "-1"},
        {CMD_TRAIN, "--save=--odd", OPT_SAVE, "--odd"},
        {CMD_TRAIN, "--save a=b", OPT_SAVE, "a=b"},
        {CMD_TRAIN, "--shuffle", OPT_SHUFFLE, ""},
        {CMD_INFER, "--inferences-to-be-run 7", OPT_INFERENCES, "7"},
        {CMD_INFER, "--inferences 7", OPT_INFERENCES, "7"},
        {CMD_INFER, "--inferences-to 7", OPT_INFERENCES, "7"},
        {CMD_INFER, "--js", OPT_JSON, ""},
        {CMD_MERGE, "a b --save c", OPT_SAVE, "c"},
        {CMD_INSPECT, "--batch 1", OPT_BATCH_SIZE, "1"}, /* there is no --batches here */
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        struct words w;
        if (parse(&w, row[i].command, row[i].words) < 0)
            fail_msg("\"%s\": %s", row[i].words, err_text());
        if (!w.value[row[i].option] || strcmp(w.value[row[i].option], row[i].value))
            fail_msg("\"%s\": %s", row[i].words, w.value[row[i].option]);
        for (int o = 0; o < OPT_COUNT; o++)
            assert_true(o == (int)row[i].option || !w.value[o]);
    }
}

static void test_operands(void **state)
{
    struct words w;
    assert_int_equal(parse(&w, CMD_MERGE, "a --save c b -- --d -e"), 0);
    assert_int_equal(w.noperand, 4);
    assert_string_equal(w.operand[0], "a");
    assert_string_equal(w.operand[1], "b");
    assert_string_equal(w.operand[2], "--d");
    assert_string_equal(w.operand[3], "-e");
    assert_string_equal(w.value[OPT_SAVE], "c");
    assert_int_equal(parse(&w, CMD_MERGE, "-"), 0);
    assert_int_equal(w.noperand, 1);
    assert_int_equal(parse(&w, CMD_TRAIN, ""), 0);
    assert_int_equal(w.noperand, 0);
}

static void test_refusals(void **state)
{
    static const struct {
        enum command command;
        const char *words, *sentence;
    } row[] = {
        {CMD_TRAIN, "--nosuch", "has no option --nosuch"},
        {CMD_TRAIN, "--nosuch=1", "has no option --nosuch:"},
        {CMD_TRAIN, "--epochsx 1", "has no option --epochsx"},
        {CMD_TRAIN, "-e 1", "two dashes"},
        {CMD_TRAIN, "--batch 1", "--batch-size, --batches"},
        {CMD_TRAIN, "--m 1", "--model, --momentum, --micro-batches"},
        {CMD_INFER, "--d 1", "--dataset, --data-dir, --device"},
        {CMD_INFER, "--lr 1", "infer takes no --lr"},
        {CMD_TRAIN, "--in-flight 2", "train takes no --in-flight"},
        {CMD_TRAIN, "--epochs", "--epochs wants a value (N)"},
        {CMD_TRAIN, "--epochs --quiet", "there is --quiet"},
        {CMD_TRAIN, "--quiet=1", "--quiet takes no value"},
        {CMD_TRAIN, "--json", "train takes no --json"},
        {CMD_TRAIN, "--inferences 3", "train takes no --inferences"},
        {CMD_DOCTOR, "--model small", "doctor takes no --model"},
        {CMD_TRAIN, "word", "there is \"word\""},
        {CMD_TRAIN, "-- --epochs", "there is \"--epochs\""},
        {CMD_TRAIN, "--", NULL},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        struct words w;
        int ret = parse(&w, row[i].command, row[i].words);
        if (ret != (row[i].sentence ? -EINVAL : 0))
            fail_msg("\"%s\": %d", row[i].words, ret);
        if (row[i].sentence && !strstr(err_text(), row[i].sentence))
            fail_msg("\"%s\": %s", row[i].words, err_text());
    }
}

/* Help wins over what stands after it, not over what stands before it, as in argparse. */
static void test_help_word(void **state)
{
    struct words w;
    assert_int_equal(parse(&w, CMD_TRAIN, "--help --nosuch"), 0);
    assert_true(w.help);
    assert_int_equal(parse(&w, CMD_TRAIN, "-h"), 0);
    assert_true(w.help);
    assert_int_equal(parse(&w, CMD_TRAIN, "--epochs 1 --hel"), 0);
    assert_true(w.help);
    assert_int_equal(parse(&w, CMD_TRAIN, "--nosuch --help"), -EINVAL);
    assert_int_equal(parse(&w, CMD_TRAIN, "--epochs 1"), 0);
    assert_false(w.help);
}

/* Each option stands in the help of the commands that take it, and of no other; no line is too
 * long. */
static void test_help_text(void **state)
{
    for (int c = 0; c < CMD_COUNT; c++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *to = open_memstream(&text, &bytes);
        assert_non_null(to);
        options_help(to, (enum command)c);
        fclose(to);
        assert_non_null(strstr(text, command_name((enum command)c)));
        for (int o = 0; o < OPT_COUNT; o++) {
            const struct option_spec *s = option_spec((enum option)o);
            char begin[64];
            snprintf(begin, sizeof(begin), "\n  --%s%s", s->name, s->arg ? " " : "");
            if (!!strstr(text, begin) != !!(s->commands & 1u << c))
                fail_msg("%s --help and --%s", command_name((enum command)c), s->name);
        }
        for (char *l = text; *l; l += strcspn(l, "\n") + 1)
            if (strcspn(l, "\n") > 100)
                fail_msg("%s: %.120s", command_name((enum command)c), l);
        free(text);
    }
}

/* The table itself: every option has a name of its own, a help text, and somebody who takes it. */
static void test_table(void **state)
{
    for (int o = 0; o < OPT_COUNT; o++) {
        const struct option_spec *s = option_spec((enum option)o);
        assert_true(s->name && s->help && s->commands);
        for (int other = 0; other < o; other++) {
            const struct option_spec *t = option_spec((enum option)other);
            const char *a[] = {s->name, s->alias[0], s->alias[1]};
            const char *b[] = {t->name, t->alias[0], t->alias[1]};
            for (int i = 0; i < 9; i++)
                if (a[i / 3] && b[i % 3])
                    assert_string_not_equal(a[i / 3], b[i % 3]);
        }
    }
}

/* The manual page describes each option and each command. */
static void test_manual(void **state)
{
    FILE *f = fopen("docs/sparse-engine.1", "r");
    static char page[1 << 16];
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = 0;
    fclose(f);
    for (int o = 0; o < OPT_COUNT; o++) {
        const char *names[] = {option_spec((enum option)o)->name,
                               option_spec((enum option)o)->alias[0],
                               option_spec((enum option)o)->alias[1]};
        for (int i = 0; i < 3 && names[i]; i++) {
            char want[64];
            snprintf(want, sizeof(want), "Fl -%s", names[i]);
            const char *at = strstr(page, want);
            while (at && !strchr(" \n", at[strlen(want)]))
                at = strstr(at + 1, want);
            if (!at)
                fail_msg("the manual says nothing of --%s", names[i]);
        }
    }
    for (int c = 0; c < CMD_COUNT; c++) {
        char want[64];
        snprintf(want, sizeof(want), "\n.It Cm %s\n", command_name((enum command)c));
        if (!strstr(page, want))
            fail_msg("the manual says nothing of %s", command_name((enum command)c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_operands),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_help_word),
        cmocka_unit_test(test_help_text), cmocka_unit_test(test_table),
        cmocka_unit_test(test_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
