/* How far a run is: the bar of a terminal, the plain lines of a file, no more often than
 * promised. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/progress.h"

static const uint64_t second = 1000000000;

struct screen {
    FILE *to;
    char *text;
    size_t bytes;
};

static void screen_open(struct screen *s)
{
    s->to = open_memstream(&s->text, &s->bytes);
    assert_non_null(s->to);
}

static void screen_close(struct screen *s)
{
    fclose(s->to);
    free(s->text);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

/* As if the run had begun so many seconds ago and nothing had been shown for as long. */
static void age(struct progress *p, uint64_t seconds)
{
    p->start_ns = clock_now_ns() - seconds * second;
    p->shown_ns = p->start_ns;
}

static void test_bar(void **state)
{
    struct screen s;
    struct progress p;
    screen_open(&s);
    progress_open(&p, s.to, "samples", 4096);
    p.tty = true;
    p.utf8 = false;
    age(&p, 10);
    progress_loss(&p, 2.3456789);
    progress_update(&p, 1024);
    assert_non_null(strstr(s.text, "\r 25%|####"));
    assert_non_null(strstr(s.text, "# "));
    assert_non_null(strstr(s.text, "| 1.02k/4.10k [00:10<00:30, 102samples/s, loss=2.346]"));
    /* one line of the 80 columns that a stream without a terminal is taken for, less one */
    assert_int_equal(strcspn(s.text + 1, "\033"), 79);

    progress_say(&p, "a line of %d words", 5);
    assert_non_null(strstr(s.text, "\r\033[Ka line of 5 words\n"));
    progress_update(&p, 4096);
    progress_close(&p);
    assert_non_null(strstr(s.text, "\r100%|####"));
    assert_int_equal(s.text[s.bytes - 1], '\n');
    screen_close(&s);
}

static void test_bar_eighths(void **state)
{
    struct screen s;
    struct progress p;
    screen_open(&s);
    progress_open(&p, s.to, "inferences", 3);
    p.tty = p.utf8 = true;
    age(&p, 1);
    progress_update(&p, 1);
    assert_non_null(strstr(s.text, " 33%|█"));
    assert_true(strstr(s.text, "▎") || strstr(s.text, "▌") || strstr(s.text, "▋") ||
                strstr(s.text, "▏") || strstr(s.text, "▍") || strstr(s.text, "▊") ||
                strstr(s.text, "▉"));
    assert_non_null(strstr(s.text, "| 1/3 [00:01<00:02, 1.00inferences/s]"));
    screen_close(&s);
}

/* At most ten a second, and the last state for certain. */
static void test_bar_rate(void **state)
{
    struct screen s;
    struct progress p;
    screen_open(&s);
    uint64_t start = clock_now_ns();
    progress_open(&p, s.to, "samples", 1000);
    p.tty = true;
    p.shown_ns -= second;
    for (uint64_t i = 1; i <= 1000; i++)
        progress_update(&p, i);
    progress_close(&p);
    int most = 2 + (int)(clock_seconds_since(start) * 10);
    assert_in_range(count(s.text, "\r"), 2, most);
    assert_non_null(strstr(s.text, "100%|"));
    screen_close(&s);
}

static void test_plain(void **state)
{
    struct screen s;
    struct progress p;
    screen_open(&s);
    progress_open(&p, s.to, "samples", 200);
    assert_false(p.tty);
    progress_update(&p, 50);
    progress_say(&p, "Epoch 1 of 2");
    assert_string_equal(s.text, "Epoch 1 of 2\n");
    age(&p, 4);
    progress_update(&p, 60);
    assert_string_equal(s.text, "Epoch 1 of 2\n");
    age(&p, 5);
    progress_loss(&p, 0.5);
    progress_update(&p, 100);
    assert_non_null(strstr(s.text, "\n 50 %, 100 of 200 samples, 20.0 samples/s, loss 0.5, 00:05 "
                                   "gone, 00:05 left\n"));
    size_t bytes = s.bytes;
    progress_update(&p, 101); /* 5 s have not gone by again */
    progress_close(&p);
    fflush(s.to);
    assert_int_equal(s.bytes, bytes);
    assert_null(strchr(s.text, '\r'));
    screen_close(&s);
}

/* A loss that is no number is shown as what it is, and does not upset the rest. */
static void test_odd_values(void **state)
{
    struct screen s;
    struct progress p;
    screen_open(&s);
    progress_open(&p, s.to, "samples", 0);
    p.tty = true;
    age(&p, 100000);
    progress_loss(&p, (double)NAN);
    progress_update(&p, 0);
    assert_non_null(strstr(s.text, "nan]"));
    assert_non_null(strstr(s.text, "[27:46:40<?"));
    age(&p, 1);
    progress_loss(&p, (double)INFINITY);
    progress_update(&p, 123456789);
    assert_non_null(strstr(s.text, "100%|"));
    assert_non_null(strstr(s.text, "123M/0"));
    assert_non_null(strstr(s.text, "inf]"));
    screen_close(&s);
}

static void test_quiet(void **state)
{
    struct progress p;
    progress_open(&p, NULL, "samples", 10);
    progress_loss(&p, 1);
    progress_update(&p, 10);
    progress_say(&p, "nobody reads this");
    progress_close(&p);
    assert_int_equal(p.done, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bar),        cmocka_unit_test(test_bar_eighths),
        cmocka_unit_test(test_bar_rate),   cmocka_unit_test(test_plain),
        cmocka_unit_test(test_odd_values), cmocka_unit_test(test_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
