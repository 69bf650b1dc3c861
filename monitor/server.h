/*
 * The monitor: takes the events of any number of runs and writes each run's statistics as CSV, a
 * row at each sample. A run begins with its first event that says a prefix, and ends with its stop
 * or so long after its last message. One thread runs it; monitor_server_stop may come from a signal
 * handler.
 *
 *     struct monitor_server *s;
 *     if (monitor_server_open(&s, &opt) < 0) ...
 *     int ret = monitor_server_run(s);
 *     monitor_server_close(s);
 */
#ifndef MONITOR_SERVER_H
#define MONITOR_SERVER_H

struct monitor_server;

struct monitor_server_options {
    const char *data_dir;
    const char *interface; /* whose bytes count; NULL: all */
    const char *root;      /* of the machine's files; "" */
    double rate;           /* samples a second */
    double timeout_seconds;
    const char *http_host; /* where the runs can be watched, see http.h */
    int http_port;         /* 0: the kernel chooses; -1: nowhere */
};

/* Listens. -EADDRINUSE where another monitor serves this folder; a socket that a dead one left is
 * replaced. -errno and a sentence. */
int monitor_server_open(struct monitor_server **s, const struct monitor_server_options *opt);

int monitor_server_http_port(const struct monitor_server *s);

/* Until it is stopped, then 0; what is wrong with one run or one message is logged. */
int monitor_server_run(struct monitor_server *s);
void monitor_server_stop(struct monitor_server *s);

void monitor_server_close(struct monitor_server *s); /* ends the runs, removes the socket */

#endif
