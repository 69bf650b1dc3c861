/*
 * A monitor in a thread of this process, in a folder of its own, and the raw bytes that clients
 * send it. The machine that it watches is a folder of files that the test writes. Include after
 * cmocka.h.
 */
#ifndef TESTS_MONITOR_TALK_H
#define TESTS_MONITOR_TALK_H

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "monitor/address.h"
#include "monitor/server.h"

enum { TALK_PATH_BYTES = 512, TALK_CSV_BYTES = 1 << 16 };

struct talk {
    char dir[32];
    struct monitor_server *server;
    pthread_t thread;
};

static inline void talk_sleep(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

static inline void talk_write(const struct talk *t, const char *name, const char *text)
{
    char path[TALK_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", t->dir, name);
    for (char *p = path + strlen(t->dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(path, 0777);
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* What /proc/net/dev says, in the form that Linux gives it. */
static inline void talk_network(const struct talk *t, unsigned recv, unsigned sent)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "Inter-|   Receive                                                |  Transmit\n"
             " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets "
             "errs drop fifo colls carrier compressed\n"
             "    lo: 1000 9 0 0 0 0 0 0 1000 9 0 0 0 0 0 0\n"
             "  eth0: %u 7 0 0 0 0 0 2 %u 8 0 0 0 0 0 0\n",
             recv, sent);
    talk_write(t, "root/proc/net/dev", text);
}

static inline void talk_folder(struct talk *t)
{
    *t = (struct talk){.dir = "/tmp/sparse-talk-XXXXXX"};
    assert_non_null(mkdtemp(t->dir));
    talk_network(t, 5000, 7000);
}

static inline struct monitor_server_options talk_options(const struct talk *t)
{
    static _Thread_local char root[TALK_PATH_BYTES];
    snprintf(root, sizeof(root), "%s/root", t->dir);
    return (struct monitor_server_options){
        .data_dir = t->dir, .root = root, .rate = 20, .timeout_seconds = 30, .http_port = -1};
}

static inline void *talk_serve(void *arg)
{
    struct talk *t = arg;
    CHECK(monitor_server_run(t->server) == 0);
    return NULL;
}

static inline void talk_begin(struct talk *t, const struct monitor_server_options *opt)
{
    if (monitor_server_open(&t->server, opt) < 0)
        fail_msg("%s", err_text());
    assert_int_equal(pthread_create(&t->thread, NULL, talk_serve, t), 0);
}

static inline void talk_end(struct talk *t)
{
    monitor_server_stop(t->server);
    pthread_join(t->thread, NULL);
    monitor_server_close(t->server);
}

static inline void talk_remove(struct talk *t)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", t->dir);
    assert_int_equal(system(command), 0);
}

static inline int talk_connect(const struct talk *t)
{
    struct sockaddr_un a;
    assert_int_equal(monitor_address(&a, t->dir), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* What the monitor answers until it closes, as a string. */
static inline const char *talk_answer(int fd)
{
    static char answer[16];
    size_t used = 0;
    ssize_t n;
    while (used < sizeof(answer) - 1 &&
           (n = recv(fd, answer + used, sizeof(answer) - 1 - used, 0)) > 0)
        used += (size_t)n;
    answer[used] = 0;
    close(fd);
    return answer;
}

static inline const char *talk_bytes(const struct talk *t, const void *bytes, size_t n)
{
    int fd = talk_connect(t);
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, (const char *)bytes + at, n - at, MSG_NOSIGNAL);
        if (sent < 0)
            break; /* it had enough */
        at += (size_t)sent;
    }
    shutdown(fd, SHUT_WR);
    return talk_answer(fd);
}

static inline const char *talk_say(const struct talk *t, const char *text)
{
    return talk_bytes(t, text, strlen(text));
}

/* The i-th statistics file, by name, that begins with prefix, whole; NULL if there is none. */
static inline char *talk_csv(const struct talk *t, const char *prefix, int i)
{
    static char text[TALK_CSV_BYTES];
    char path[TALK_PATH_BYTES];
    struct dirent **entry;
    snprintf(path, sizeof(path), "%s/stats", t->dir);
    int n = scandir(path, &entry, NULL, alphasort), matched = 0, fd = -1;
    for (int k = 0; k < n; k++) {
        if (entry[k]->d_name[0] != '.' && !strncmp(entry[k]->d_name, prefix, strlen(prefix)) &&
            matched++ == i) {
            snprintf(path, sizeof(path), "%s/stats/%s", t->dir, entry[k]->d_name);
            fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        free(entry[k]);
    }
    if (n >= 0)
        free(entry);
    if (fd < 0)
        return NULL;
    ssize_t bytes = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(bytes >= 0 && bytes < (ssize_t)sizeof(text) - 1);
    text[bytes] = 0;
    return text;
}

static inline int talk_files(const struct talk *t, const char *prefix)
{
    int n = 0;
    while (talk_csv(t, prefix, n))
        n++;
    return n;
}

struct talk_row {
    double timestamp;
    unsigned long long sent, recv, samples, tasks;
};

/* The last row; checks the head, that the first row is nothing and that all rows grow. *rows: how
 * many there are. */
static inline struct talk_row talk_last(const struct talk *t, const char *prefix, int i, int *rows)
{
    static const char head[] =
        "timestamp,bytes_sent,bytes_recv,samples_processed,tasks_processed\n";
    char *text = talk_csv(t, prefix, i);
    struct talk_row last = {0};
    assert_non_null(text);
    *rows = 0;
    if (!*text) /* made this moment: its head is yet to come */
        return last;
    assert_int_equal(strncmp(text, head, strlen(head)), 0);
    for (char *save, *line = strtok_r(text + strlen(head), "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        struct talk_row r;
        int used = 0;
        if (sscanf(line, "%lf,%llu,%llu,%llu,%llu%n", &r.timestamp, &r.sent, &r.recv, &r.samples,
                   &r.tasks, &used) != 5 ||
            line[used])
            fail_msg("row \"%s\"", line);
        if (*rows == 0)
            assert_true(r.timestamp == 0 && !r.sent && !r.recv && !r.samples && !r.tasks);
        assert_true(r.timestamp >= last.timestamp && r.sent >= last.sent && r.recv >= last.recv &&
                    r.samples >= last.samples && r.tasks >= last.tasks);
        last = r;
        (*rows)++;
    }
    return last;
}

#endif
