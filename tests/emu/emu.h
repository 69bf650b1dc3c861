/*
 * An emulated GPU and its driver, for MODE=emu alone: what the files emu_*.cpp share.
 *
 * Faithful in: order (work waits in its stream until somebody synchronises; streams run against
 * each other in a seeded order; events hold them), memory (the process cannot touch device memory
 * while no kernel runs, a kernel cannot touch host memory that is not pinned, ASan guards both
 * ends of each allocation), pageable and pinned copies, blocks and threads in several orders,
 * launch limits, errors that stick. Not in: time, memory order within a kernel, registers, the
 * rounding of fast functions. One lock is held by whoever is inside.
 *
 * CUDA_EMU sets it, words and name=value with commas between: settings below.
 */
#ifndef TESTS_EMU_EMU_H
#define TESTS_EMU_EMU_H

#include <stdint.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_runtime_api.h"

namespace emu
{
enum class order { forward, reverse, random };

struct call;
struct shape;

struct settings {
    order threads = order::random;                 /* threads=fwd|rev|rand: and blocks */
    enum { LAZY, EAGER, RANDOM } streams = RANDOM; /* streams=lazy|eager|rand */
    uint64_t seed = 1;                             /* seed=N */
    int devices = 1;                               /* devices=N; none: error 100 */
    bool old_driver = false;                       /* old-driver: error 35 */
    int capability = 72;                           /* cc=NN: 10 * compute capability */
    int compiled_for = 90;                         /* compiled=NN: the kernels, for which cc */
    bool integrated = false;                       /* integrated: as on a Jetson */
    bool register_supported = true;                /* no-register: as on a Jetson Nano */
    bool register_fails = false;                   /* fail-register: what it says it can do */
    bool register_elsewhere = false;               /* elsewhere: kernels see it where CPUs do not */
    bool host_alloc_fails = false;                 /* fail-host-alloc */
    size_t memory_bytes = (size_t)8 << 30;         /* memory=MIB, of a device */
    int fail_malloc = 0;                           /* fail-malloc=N: the N-th, and later */
    int cudnn = 90000;    /* cudnn=N: the version that its library tells; 0: there is none */
    int fail_cudnn = 0;   /* fail-cudnn=N: its N-th kernel, and later, are refused */
    int fail_work = 0;    /* fail-work=N: the N-th kernel or copy that runs ends in error 700 */
    int fail_stream = 0;  /* fail-stream=N: of those in the N-th stream that was made */
    char trace[128] = ""; /* trace=FILE: a line for each that runs, its stream's number and what */
};
const settings &set();

/* The next of a seeded run of numbers, below n. */
unsigned random_below(unsigned n);

/* Ends the process with a sentence on stderr: what a real GPU would hang on or quietly spoil. */
[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char *format, ...);

using lock = std::lock_guard<std::recursive_mutex>;
std::recursive_mutex &mutex();

/* Errors: last is cudaGetLastError's of this thread; broken is the device's and stays. */
cudaError_t fail(cudaError_t error);
cudaError_t broken();
void break_device(cudaError_t error);

/* Device memory can be touched while one of these lives. */
struct memory_open {
    memory_open();
    ~memory_open();
};
enum class kind { pageable, pinned, device };
kind kind_of(const void *p, size_t bytes);

/* One thing on a stream. A wait is ready once what it waits for was done. */
struct work {
    std::function<void()> run;
    std::function<bool()> ready;    /* NULL: at once */
    const char *name;               /* of a kernel, copy, graph; NULL: none of those */
    cudaStream_t awaited = nullptr; /* of a wait: where what it waits for is queued */
};
cudaError_t enqueue(cudaStream_t stream, work w);
/* Runs queued work until done() holds; `first` is who waits. */
void run_until(const std::function<bool()> &done, cudaStream_t first);
void run_all();

void run_grid(const struct shape &s, const struct call &c);
} // namespace emu
#endif
