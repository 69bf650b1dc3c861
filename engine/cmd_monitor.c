/* `monitor`: serves until a signal ends it. */
#include "base/err.h"
#include "engine/command.h"
#include "engine/setup.h"
#include "engine/signals.h"
#include "monitor/server.h"

static void stop(void *arg)
{
    monitor_server_stop(arg);
}

int cmd_monitor(const struct config *c)
{
    struct monitor_server_options opt = {.data_dir = c->data_dir,
                                         .interface = c->interface,
                                         .root = "",
                                         .rate = (double)c->rate,
                                         .timeout_seconds = (double)c->timeout,
                                         .http_host = c->http.host,
                                         .http_port = c->http.port};
    struct monitor_server *s;
    signals_catch();
    int ret = setup_not_words(monitor_server_open(&s, &opt));
    if (!ret) {
        signals_call(stop, s);
        ret = setup_not_words(monitor_server_run(s));
        signals_call(NULL, NULL);
        monitor_server_close(s);
    }
    int signal = signals_pending();
    signals_release();
    return ret < 0 ? ret : signal ? 128 + signal : 0;
}
