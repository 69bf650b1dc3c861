/* Streams, events and captures of the emulated GPU: what emu_stream.cpp and emu_graph.cpp share. */
#ifndef TESTS_EMU_EMU_STREAM_H
#define TESTS_EMU_EMU_STREAM_H

#include <time.h>

#include "cuda_runtime.h"
#include "emu.h"

namespace emu
{
/* A graph's nodes: work, and the nodes that must have run before. */
struct node {
    work w;
    std::vector<size_t> after;
};
using nodes = std::vector<node>;

struct capture_state {
    nodes all;
    cudaStream_t origin;
    bool spoilt; /* a call was made that no capture allows */
};

/* Of a captured event: its capture, and the nodes that it stands behind. */
struct captured {
    std::shared_ptr<capture_state> of;
    std::vector<size_t> after;
};

/* One record of an event: who waits for it does not wait for another of the same event. */
struct event_record {
    bool done = true; /* as of an event that was never recorded */
    cudaStream_t stream = nullptr;
    struct timespec time = {};
};

const std::vector<cudaStream_t> &all_streams();
void capture(cudaStream_t s, work w);
cudaError_t spoil(cudaStream_t s);
cudaError_t capture_record(cudaEvent_t event, cudaStream_t s);
cudaError_t capture_wait(cudaStream_t s, cudaEvent_t event);
size_t dynamic_limit(const void *function);
} // namespace emu

struct CUstream_st {
    std::deque<emu::work> queue;
    std::shared_ptr<emu::capture_state> capture; /* under way, or NULL */
    std::vector<size_t> after;                   /* the nodes that the next stands behind */
    int host_functions = 0;                      /* queued */
    int number = 0;                              /* of all that were made, from 1 */
};

struct CUevent_st {
    std::shared_ptr<emu::event_record> last = std::make_shared<emu::event_record>();
    std::shared_ptr<emu::captured> capture; /* last recorded in a capture, or NULL */
};

#endif
