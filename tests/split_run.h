/*
 * Runs a model's training, or its inference, split over processes on loopback, through the real
 * sockets: the parent is the node that reads the data, each child a worker. Gives every step's loss
 * and the weights of all parts in one file, or the predictions, for comparing with a run in one
 * process. Include after cmocka.h.
 */
#ifndef TESTS_SPLIT_RUN_H
#define TESTS_SPLIT_RUN_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/upstream.h"
#include "engine/worker.h"
#include "models/weights.h"

enum { SPLIT_MAX_NODES = 4, SPLIT_MAX_STEPS = 8 };

/* cut[0] is where the node that reads the data ends: 0 for one without layers. */
struct split_run {
    const char *model, *isa;      /* isa "cuda": the GPU */
    bool cudnn;                   /* of a GPU: all that cuDNN can do goes through it */
    enum math math;               /* of a GPU */
    struct model *(*build)(void); /* a model of the test's own, or NULL: by name */
    int codec;
    float dropout;
    int ncut, cut[SPLIT_MAX_NODES - 1]; /* ncut 0: all in this process */
    int batch, micro_batches, steps;
    size_t samples; /* of the data set: the last batch may be short */
    enum dtype wire;
    enum net_transport transport;
    struct sgd sgd;
    const char *dir;

    /* > 0: inference of `steps` requests, so many at once; sgd and micro_batches play no part */
    int in_flight;
    float *predictions; /* of all requests, in order: the caller frees them */
    size_t npredictions;

    double loss[SPLIT_MAX_STEPS];
    uint64_t copied_bytes;
    void (*after_step)(void *arg, int step); /* NULL: none */
    void *after_step_arg;
};

static struct net *split_worker_net; /* of a child, for its signal handler */
static volatile sig_atomic_t split_stopped;
static _Atomic bool
    split_held; /* a worker thread keeps its net open: somebody may be stopping it */

static void split_stop(int number)
{
    (void)number;
    split_stopped = 1;
    if (split_worker_net)
        net_stop(split_worker_net);
}

static inline struct model *split_model(const struct split_run *r, int from, int to)
{
    struct model_options opt = model_options_default();
    opt.codec = r->codec;
    opt.dropout = r->dropout;
    struct model *m = r->build ? r->build() : NULL;
    if ((!m && model_open(&m, r->model, &opt) < 0) ||
        model_slice(m, from, to < 0 ? m->nlayer : to) < 0)
        fail_msg("%s", err_text());
    return m;
}

static inline void split_node_open(struct node *node, const struct split_run *r, int from, int to)
{
    *node = (struct node){.sgd = r->sgd, .input_timeout_ms = 60000, .answer_timeout_ms = 60000};
    if ((strcmp(r->isa, "cuda") ? device_cpu_open(&node->dev, 1, r->isa)
                                : device_cuda_open(&node->dev, 0)) < 0)
        fail_msg("%s", err_text());
    if (r->cudnn && !strcmp(r->isa, "cuda") && device_cuda_use_cudnn(node->dev, NULL) < 0)
        fail_msg("%s", err_text());
    if (r->math != MATH_FP32 && device_cuda_use_math(node->dev, r->math) < 0)
        fail_msg("%s", err_text());
    node->model = split_model(r, from, to);
    int ret = r->in_flight ? model_bind(node->model, node->dev, RUN_EVAL, MODEL_GRADS_NONE)
                           : model_bind(node->model, node->dev, RUN_TRAIN,
                                        sgd_grads(&r->sgd, r->micro_batches));
    if (ret < 0)
        fail_msg("%s", err_text());
    model_init(node->model, 1);
    struct net_options opt = net_options_default();
    opt.transport = r->transport;
    opt.thread = true;
    opt.retry_ms = 20; /* the workers are being started */
    if (net_open(&node->net, &opt) < 0)
        fail_msg("%s", err_text());
}

static inline void split_node_close(struct node *node)
{
    net_close(node->net);
    model_close(node->model);
    device_close(node->dev);
}

/* A port that was free a moment ago. */
static inline int split_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &bytes) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static inline char *split_part(const struct split_run *r, int i, char *path, size_t bytes)
{
    snprintf(path, bytes, "%s/part%d.safetensors", r->dir, i);
    return path;
}

/* Worker i, until its net is stopped. */
static inline int split_worker(const struct split_run *r, int i, const int port[])
{
    char path[512];
    struct node node;
    split_node_open(&node, r, r->cut[i - 1], i < r->ncut ? r->cut[i] : -1);
    split_worker_net = node.net;
    if (split_stopped)
        net_stop(node.net);
    struct worker_options opt = {
        .listen_host = "127.0.0.1",
        .listen_port = port[i],
        .next_host = i < r->ncut ? "127.0.0.1" : NULL,
        .next_port = i < r->ncut ? port[i + 1] : 0,
        .wire = -1,
        .codec = r->codec,
        .infers = r->in_flight > 0,
        .save = r->in_flight ? NULL : split_part(r, i, path, sizeof(path)),
    };
    int ret = worker_run(&node, &opt);
    if (ret < 0)
        fprintf(stderr, "worker %d: %s\n", i, err_text());
    while (split_held)
        usleep(1000);
    split_node_close(&node);
    return ret;
}

static inline pid_t split_fork_worker(const struct split_run *r, int i, const int port[])
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, split_stop);
    _exit(split_worker(r, i, port) < 0);
}

static inline void split_infer(struct split_run *r, struct stream *s, const struct model *m,
                               struct loader *loader)
{
    const struct tensor row = model_crossing(m, m->nlayer, 1);
    r->npredictions = 0;
    r->predictions = malloc((size_t)(r->steps * r->batch) * tensor_bytes(&row));
    CHECK(r->predictions);
    int32_t *labels = malloc((size_t)r->batch * sizeof(*labels));
    for (int sent = 0, done = 0; done < r->steps;) {
        struct stream_answer answer;
        if (sent < r->steps && sent - done < r->in_flight) {
            float *in;
            uint64_t batch = (uint64_t)sent % loader->batches;
            int n = loader_samples(loader, batch);
            if (stream_request(s, &in) < 0)
                fail_msg("request %d: %s", sent, err_text());
            loader_read(loader, 0, batch, 0, n, in, labels);
            if (stream_send(s, (uint32_t)sent, n) < 0)
                fail_msg("request %d: %s", sent, err_text());
            sent++;
            continue;
        }
        if (stream_answer(s, &answer) < 0)
            fail_msg("answer %d: %s", done, err_text());
        assert_int_equal(answer.number, done);
        memcpy(r->predictions + r->npredictions, tensor_floats(&answer.out),
               tensor_bytes(&answer.out));
        r->npredictions += tensor_count(&answer.out);
        stream_answer_done(s);
        if (r->after_step)
            r->after_step(r->after_step_arg, done);
        done++;
    }
    free(labels);
}

static inline void split_train(struct split_run *r, struct upstream *u, struct loader *loader)
{
    for (int i = 0; i < r->steps; i++) {
        struct feed feed = {.loader = loader,
                            .epoch = (uint64_t)i / loader->batches,
                            .batch = (uint64_t)i % loader->batches,
                            .epochs = ((uint64_t)r->steps + loader->batches - 1) / loader->batches,
                            .step = (uint32_t)i};
        struct step_result result;
        int ret =
            r->ncut ? upstream_step(u, &feed, &result) : stream_step(u->stream, &feed, &result);
        if (ret < 0)
            fail_msg("step %d: %s", i, err_text());
        r->loss[i] = result.loss_sum / result.samples;
        if (r->after_step)
            r->after_step(r->after_step_arg, i);
    }
}

/* Saves its part as the workers do. */
static inline void split_read_data(struct split_run *r, const int port[])
{
    struct node node;
    struct stream *s = NULL;
    struct dataset *ds;
    struct loader loader;
    char path[512];
    split_node_open(&node, r, 0, r->ncut ? r->cut[0] : -1);
    const struct tensor *in = &node.model->in;
    struct dataset_want want = {.name = "shapes", .split = DATASET_TRAIN, .seed = 1};
    want.c = in->dim[1];
    want.h = in->dim[2];
    want.w = in->dim[3];
    if (dataset_open(&ds, &want) < 0)
        fail_msg("%s", err_text());
    ds->count = r->samples;
    struct stream_plan plan = {.batch = r->batch,
                               .micro_batches = r->micro_batches,
                               .in_flight = r->in_flight,
                               .wire = r->wire,
                               .to_next = r->ncut > 0,
                               .seed = 1};
    if (loader_open(&loader, ds, r->batch, 0, false, 1) < 0 || stream_open(&s, &node, &plan) < 0)
        fail_msg("%s", err_text());
    struct upstream u = {.node = &node,
                         .stream = s,
                         .plan = &plan,
                         .host = "127.0.0.1",
                         .port = r->ncut ? port[1] : 0,
                         .codec = r->codec};
    if (r->ncut && upstream_connect(&u, 0) < 0)
        fail_msg("%s", err_text());
    if (r->in_flight)
        split_infer(r, s, node.model, &loader);
    else
        split_train(r, &u, &loader);
    upstream_close(&u);
    r->copied_bytes = stream_copied_bytes(s);
    if (!r->in_flight && weights_save(node.model, split_part(r, 0, path, sizeof(path))) < 0)
        fail_msg("%s", err_text());
    stream_close(s);
    loader_close(&loader);
    dataset_close(ds);
    split_node_close(&node);
}

static inline void split_run(struct split_run *r)
{
    int port[SPLIT_MAX_NODES] = {0};
    pid_t pid[SPLIT_MAX_NODES] = {0};
    for (int i = 1; i <= r->ncut; i++)
        port[i] = split_free_port();
    for (int i = 1; i <= r->ncut; i++)
        pid[i] = split_fork_worker(r, i, port);
    split_read_data(r, port);
    for (int i = 1; i <= r->ncut; i++) {
        int status;
        kill(pid[i], SIGTERM);
        CHECK(waitpid(pid[i], &status, 0) == pid[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("worker %d ended with status 0x%x", i, (unsigned)status);
    }
    if (r->in_flight)
        return;
    char path[SPLIT_MAX_NODES][512], whole[512];
    const char *part[SPLIT_MAX_NODES];
    for (int i = 0; i <= r->ncut; i++)
        part[i] = split_part(r, i, path[i], sizeof(path[i]));
    snprintf(whole, sizeof(whole), "%s/whole.safetensors", r->dir);
    if (weights_merge(part, r->ncut + 1, whole) < 0)
        fail_msg("%s", err_text());
}

static inline bool split_same_files(const char *a, const char *b)
{
    int fd[2] = {open(a, O_RDONLY | O_CLOEXEC), open(b, O_RDONLY | O_CLOEXEC)};
    CHECK(fd[0] >= 0 && fd[1] >= 0);
    static char block[2][1 << 16];
    bool same = true;
    for (ssize_t n = 1; same && n > 0;) {
        n = read(fd[0], block[0], sizeof(block[0]));
        same = n >= 0 && read(fd[1], block[1], sizeof(block[1])) == n &&
               !memcmp(block[0], block[1], (size_t)n);
    }
    close(fd[0]);
    close(fd[1]);
    return same;
}

#endif
