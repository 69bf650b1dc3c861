/* A flag that a handler sets. */
#include "engine/signals.h"

#include <signal.h>
#include <stddef.h>

/* Process-wide on purpose, as signal handlers are. */
static volatile sig_atomic_t pending;
static void (*volatile call)(void *arg);
static void *volatile call_arg;

static void on_signal(int number)
{
    pending = number;
    if (call)
        call(call_arg);
}

void signals_catch(void)
{
    /* no SA_RESTART: a wait in a system call ends too; SA_RESETHAND: the second signal is not
     * caught */
    struct sigaction ask = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    pending = 0;
    sigaction(SIGINT, &ask, NULL);
    sigaction(SIGTERM, &ask, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

void signals_release(void)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(SIGINT, &usual, NULL);
    sigaction(SIGTERM, &usual, NULL);
    sigaction(SIGPIPE, &usual, NULL);
}

int signals_pending(void)
{
    return pending;
}

void signals_call(void (*fn)(void *arg), void *arg)
{
    call = NULL; /* never the new function with the old argument */
    call_arg = arg;
    call = fn;
    if (fn && pending)
        fn(arg);
}
