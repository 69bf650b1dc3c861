/*
 * Streams, events, copies and launches of the emulated GPU. Nothing runs when it is queued: it
 * waits until a call must wait for it, and then other streams' work may run before, between or
 * after, as the settings say. Captures of graphs are emu_graph.cpp.
 */
#include "emu_stream.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

namespace emu
{
static std::vector<cudaStream_t> &streams = *new std::vector<cudaStream_t>; /* outlives all */
static int made;                                                            /* streams */
static int works;    /* kernels and copies that ran, of those that fail-work counts */
static bool calling; /* a host function runs, which must not call CUDA */

/*
 * Whoever queued a host function may wait for what it does, and for nothing of CUDA's: a thread of
 * the emulator's own drives the streams then.
 */
static std::condition_variable_any &called_for =
    *new std::condition_variable_any; /* outlives all */
static bool driver_runs;

const std::vector<cudaStream_t> &all_streams()
{
    return streams;
}

static bool runnable(cudaStream_t s)
{
    return !s->queue.empty() && (!s->queue.front().ready || s->queue.front().ready());
}

static cudaStream_t pick(cudaStream_t first)
{
    std::vector<cudaStream_t> able;
    for (cudaStream_t s : streams)
        if (runnable(s) && s != first)
            able.push_back(s);
    bool mine = first && runnable(first);
    switch (set().streams) {
    case settings::LAZY: /* nothing runs but what is waited for */
        while (first && !runnable(first))
            first = first->queue.empty() ? NULL : first->queue.front().awaited;
        return first ? first : able.empty() ? NULL : able[0];
    case settings::EAGER:
        return !able.empty() ? able[0] : mine ? first : NULL;
    default:
        if (mine)
            able.push_back(first);
        return able.empty() ? NULL : able[random_below((unsigned)able.size())];
    }
}

static void trace(cudaStream_t s, const char *name)
{
    static FILE *file = *set().trace ? fopen(set().trace, "a") : NULL;
    if (file) {
        fprintf(file, "%d %s\n", s->number, name);
        fflush(file);
    }
}

static void run_one(cudaStream_t s)
{
    work w = std::move(s->queue.front());
    s->queue.pop_front();
    bool counts = w.name && (!set().fail_stream || set().fail_stream == s->number);
    if (counts && ++works == set().fail_work)
        break_device(cudaErrorIllegalAddress);
    if (w.name && broken() == cudaSuccess)
        trace(s, w.name);
    if (!w.name || broken() == cudaSuccess)
        w.run();
}

void run_until(const std::function<bool()> &done, cudaStream_t first)
{
    if (calling)
        die("a host function called CUDA");
    if (done())
        return;
    memory_open open;
    while (!done()) {
        cudaStream_t s = pick(first);
        if (!s)
            die("a wait that never ends: no stream has work that could run");
        run_one(s);
    }
}

void run_all()
{
    run_until(
        [] {
            for (cudaStream_t s : streams)
                if (!s->queue.empty())
                    return false;
            return true;
        },
        NULL);
}

cudaError_t enqueue(cudaStream_t s, work w)
{
    if (!s)
        die("work on the default stream, which waits for all others: name a stream");
    if (broken() != cudaSuccess)
        return fail(broken());
    if (s->capture)
        capture(s, std::move(w));
    else
        s->queue.push_back(std::move(w));
    called_for.notify_all();
    return cudaSuccess;
}

static bool host_function_waits()
{
    return std::any_of(streams.begin(), streams.end(),
                       [](cudaStream_t s) { return s->host_functions > 0; });
}

static void drive()
{
    for (;;) {
        lock hold(mutex());
        cudaStream_t s = host_function_waits() ? pick(NULL) : NULL;
        if (s) {
            memory_open open;
            run_one(s);
        } else {
            called_for.wait(mutex());
        }
    }
}

static void wake_driver()
{
    if (!driver_runs) {
        driver_runs = true;
        std::thread(drive).detach();
    }
    called_for.notify_all();
}

static bool launchable(const shape &s)
{
    size_t threads = (size_t)s.block.x * s.block.y * s.block.z;
    return threads > 0 && threads <= 1024 && s.block.z <= 64 && s.grid.x > 0 && s.grid.y > 0 &&
           s.grid.z > 0 && s.grid.x <= 0x7fffffff && s.grid.y <= 65535 && s.grid.z <= 65535;
}

void launch(cudaStream_t stream, const shape &s, call c)
{
    lock hold(mutex());
    if (!launchable(s)) {
        fail(cudaErrorInvalidConfiguration);
        return;
    }
    if (s.dynamic_bytes > dynamic_limit(c.function)) {
        fail(cudaErrorInvalidValue);
        return;
    }
    if (!c.check())
        die("kernel %s got a pointer that no GPU can follow", c.name);
    enqueue(stream, {[s, c] {
                         if (!c.check())
                             die("kernel %s: memory was freed or unpinned before it ran", c.name);
                         run_grid(s, c);
                     },
                     nullptr, c.name});
}

/* A wait for a stream is a mistake while it is captured. */
static cudaError_t wait_for(cudaStream_t s, const std::function<bool()> &done)
{
    if (s && s->capture)
        return spoil(s);
    run_until(done, s);
    return fail(broken());
}

/* Copies that the driver makes at once do not wait in the stream. */
static cudaError_t copy(cudaStream_t s, void *dst, const void *src, size_t bytes, kind to,
                        kind from)
{
    if (to != kind::pageable && from != kind::pageable)
        return enqueue(s, {[=] {
                               if (kind_of(dst, bytes) != to || kind_of(src, bytes) != from)
                                   die("memory was freed or unpinned before its copy ran");
                               memmove(dst, src, bytes);
                           },
                           nullptr, "copy"});
    if (s->capture)
        return spoil(s);
    if (to == kind::device) { /* the driver keeps a copy of what it was given */
        auto held =
            std::make_shared<std::vector<char>>((const char *)src, (const char *)src + bytes);
        return enqueue(s, {[=] { memcpy(dst, held->data(), bytes); }, nullptr, "copy"});
    }
    cudaError_t error = enqueue(s, {[=] { memmove(dst, src, bytes); }, nullptr, "copy"});
    return error != cudaSuccess ? error : wait_for(s, [s] { return s->queue.empty(); });
}
} // namespace emu

using namespace emu;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    lock hold(mutex());
    int device;
    if (cudaGetDevice(&device) != cudaSuccess)
        return cudaPeekAtLastError();
    if (!(flags & cudaStreamNonBlocking))
        die("a stream that waits for the default stream: pass cudaStreamNonBlocking");
    *stream = new CUstream_st();
    (*stream)->number = ++made;
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    lock hold(mutex());
    run_until([stream] { return stream->queue.empty(); }, stream);
    for (auto s = streams.begin(); s != streams.end(); ++s)
        if (*s == stream) {
            streams.erase(s);
            delete stream;
            return cudaSuccess;
        }
    die("a stream that is none was destroyed");
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    lock hold(mutex());
    if (!stream)
        die("the default stream: name a stream");
    return wait_for(stream, [stream] { return stream->queue.empty(); });
}

cudaError_t cudaDeviceSynchronize(void)
{
    lock hold(mutex());
    run_all();
    return fail(broken());
}

/* Whoever polls lets one thing run, or at random none: a GPU may have come no further. */
static cudaError_t query(cudaStream_t stream, const std::function<bool()> &done)
{
    if (!done() && (set().streams != settings::RANDOM || random_below(2))) {
        cudaStream_t s = pick(stream);
        if (!s)
            die("a query of what never comes: no stream has work that could run");
        memory_open open;
        run_one(s);
    }
    if (broken() != cudaSuccess)
        return fail(broken());
    return done() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    lock hold(mutex());
    return query(stream, [stream] { return stream->queue.empty(); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    lock hold(mutex());
    (void)flags;
    int device;
    if (cudaGetDevice(&device) != cudaSuccess)
        return cudaPeekAtLastError();
    *event = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    lock hold(mutex());
    run_until([event] { return event->last->done; }, NULL);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    lock hold(mutex());
    if (stream && stream->capture)
        return capture_record(event, stream);
    auto record = event->last = std::make_shared<event_record>();
    record->done = false;
    record->stream = stream;
    event->capture.reset();
    return enqueue(stream, {[record] {
                                clock_gettime(CLOCK_MONOTONIC, &record->time);
                                record->done = true;
                            },
                            nullptr, nullptr});
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    lock hold(mutex());
    (void)flags;
    if (event->capture || (stream && stream->capture))
        return capture_wait(stream, event);
    auto record = event->last; /* what was recorded before this call */
    return enqueue(stream, {[] {}, [record] { return record->done; }, nullptr, record->stream});
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    lock hold(mutex());
    auto record = event->last;
    return query(record->stream, [record] { return record->done; });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    lock hold(mutex());
    auto record = event->last;
    run_until([record] { return record->done; }, record->stream);
    return fail(broken());
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    lock hold(mutex());
    const struct timespec &a = start->last->time, &b = end->last->time;
    *ms = (float)((double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *data)
{
    lock hold(mutex());
    cudaError_t error = enqueue(stream, {[=] {
                                             calling = true;
                                             fn(data);
                                             calling = false;
                                             stream->host_functions--;
                                         },
                                         nullptr, nullptr});
    if (error == cudaSuccess) {
        stream->host_functions++;
        wake_driver();
    }
    return error;
}

/* The kind that the caller names must be true. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind named,
                            cudaStream_t stream)
{
    lock hold(mutex());
    if (bytes == 0)
        return cudaSuccess;
    kind to = kind_of(dst, bytes), from = kind_of(src, bytes);
    bool to_device = named == cudaMemcpyHostToDevice || named == cudaMemcpyDeviceToDevice;
    bool from_device = named == cudaMemcpyDeviceToHost || named == cudaMemcpyDeviceToDevice;
    if (named != cudaMemcpyDefault &&
        (to_device != (to == kind::device) || from_device != (from == kind::device)))
        return fail(cudaErrorInvalidValue);
    if (!stream)
        die("a copy on the default stream: name a stream");
    return copy(stream, dst, src, bytes, to, from);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    lock hold(mutex());
    if (bytes == 0)
        return cudaSuccess;
    if (kind_of(p, bytes) == kind::pageable)
        return fail(cudaErrorInvalidValue);
    return enqueue(stream, {[=] { memset(p, value, bytes); }, nullptr, "memset"});
}
