/*
 * Graphs of the emulated GPU: work that a stream captures instead of queueing it, and its launches.
 * A launch is one thing on its stream; its nodes run in any order that their edges allow.
 */
#include <map>

#include "emu_stream.h"

struct CUgraph_st {
    emu::nodes all;
};
struct CUgraphExec_st {
    std::shared_ptr<const emu::nodes> all;
};

namespace emu
{
static std::map<const void *, size_t> dynamic_limits; /* by cudaFuncSetAttribute */

size_t dynamic_limit(const void *function)
{
    auto at = dynamic_limits.find(function);
    return at == dynamic_limits.end() ? 48 << 10 : at->second;
}

void capture(cudaStream_t s, work w)
{
    s->capture->all.push_back({std::move(w), s->after});
    s->after = {s->capture->all.size() - 1};
}

cudaError_t spoil(cudaStream_t s)
{
    s->capture->spoilt = true;
    return fail(cudaErrorStreamCaptureUnsupported);
}

cudaError_t capture_record(cudaEvent_t event, cudaStream_t s)
{
    event->capture = std::make_shared<captured>(captured{s->capture, s->after});
    return cudaSuccess;
}

/* A stream that waits for a captured event is captured too, from there on. */
cudaError_t capture_wait(cudaStream_t s, cudaEvent_t event)
{
    if (!s || !event->capture || (s->capture && s->capture != event->capture->of))
        return s && s->capture ? spoil(s) : fail(cudaErrorStreamCaptureUnsupported);
    if (!s->capture) {
        s->capture = event->capture->of;
        s->after.clear();
    }
    s->after.insert(s->after.end(), event->capture->after.begin(), event->capture->after.end());
    return cudaSuccess;
}

static void mark_before(const nodes &all, size_t n, std::vector<bool> &seen)
{
    if (seen[n])
        return;
    seen[n] = true;
    for (size_t before : all[n].after)
        mark_before(all, before, seen);
}

/* Whether the origin's end stands behind every node. */
static bool joined(const nodes &all, const std::vector<size_t> &ends)
{
    std::vector<bool> seen(all.size());
    for (size_t n : ends)
        mark_before(all, n, seen);
    return std::find(seen.begin(), seen.end(), false) == seen.end();
}

static void run_nodes(const nodes &all)
{
    std::vector<bool> done(all.size());
    for (size_t left = all.size(); left > 0; left--) {
        std::vector<size_t> able;
        for (size_t n = 0; n < all.size(); n++) {
            const auto &after = all[n].after;
            if (!done[n] && std::all_of(after.begin(), after.end(),
                                        [&](size_t before) { return (bool)done[before]; }))
                able.push_back(n);
        }
        size_t n = able[random_below((unsigned)able.size())];
        all[n].w.run();
        done[n] = true;
    }
}
} // namespace emu

using namespace emu;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    lock hold(mutex());
    (void)mode;
    if (!stream || stream->capture)
        return fail(cudaErrorInvalidValue);
    stream->capture = std::make_shared<capture_state>();
    stream->capture->origin = stream;
    stream->after.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    lock hold(mutex());
    *graph = NULL;
    auto c = stream->capture;
    if (!c || c->origin != stream)
        return fail(cudaErrorStreamCaptureUnmatched);
    bool whole = joined(c->all, stream->after);
    for (cudaStream_t s : all_streams())
        if (s->capture == c)
            s->capture.reset();
    if (c->spoilt)
        return fail(cudaErrorStreamCaptureInvalidated);
    if (!whole)
        return fail(cudaErrorStreamCaptureUnmatched);
    *graph = new CUgraph_st{std::move(c->all)};
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags)
{
    lock hold(mutex());
    (void)flags;
    *exec = new CUgraphExec_st{std::make_shared<const nodes>(graph->all)};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    lock hold(mutex());
    auto all = exec->all;
    return enqueue(stream, {[all] { run_nodes(*all); }, nullptr, "graph"});
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    lock hold(mutex());
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        int most;
        cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
        if (value < 0 || value > most)
            return fail(cudaErrorInvalidValue);
        dynamic_limits[function] = (size_t)value;
    }
    return cudaSuccess;
}
