/* The emulated driver's settings, errors and what devices there are. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

namespace emu
{
static thread_local cudaError_t last_error;
static thread_local int this_device;
static cudaError_t broken_error;
static uint64_t random_state;

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("emulated GPU: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    abort();
}

/* "name" or "name=value" is `word`; value points behind the '=', else at "1". */
static bool is(const char *word, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) != 0 || (word[n] && word[n] != '='))
        return false;
    *value = word[n] ? word + n + 1 : "1";
    return true;
}

static void read_word(settings *s, const char *word)
{
    const char *v;
    if (is(word, "threads", &v))
        s->threads = !strcmp(v, "fwd")   ? order::forward
                     : !strcmp(v, "rev") ? order::reverse
                                         : order::random;
    else if (is(word, "streams", &v))
        s->streams = !strcmp(v, "lazy")    ? settings::LAZY
                     : !strcmp(v, "eager") ? settings::EAGER
                                           : settings::RANDOM;
    else if (is(word, "seed", &v))
        s->seed = strtoull(v, NULL, 10);
    else if (is(word, "devices", &v))
        s->devices = atoi(v);
    else if (is(word, "old-driver", &v))
        s->old_driver = true;
    else if (is(word, "cc", &v))
        s->capability = atoi(v);
    else if (is(word, "compiled", &v))
        s->compiled_for = atoi(v);
    else if (is(word, "integrated", &v))
        s->integrated = true;
    else if (is(word, "no-register", &v))
        s->register_supported = false;
    else if (is(word, "fail-register", &v))
        s->register_fails = true;
    else if (is(word, "elsewhere", &v))
        s->register_elsewhere = true;
    else if (is(word, "fail-host-alloc", &v))
        s->host_alloc_fails = true;
    else if (is(word, "memory", &v))
        s->memory_bytes = strtoull(v, NULL, 10) << 20;
    else if (is(word, "fail-malloc", &v))
        s->fail_malloc = atoi(v);
    else if (is(word, "cudnn", &v))
        s->cudnn = atoi(v);
    else if (is(word, "fail-cudnn", &v))
        s->fail_cudnn = atoi(v);
    else if (is(word, "fail-work", &v))
        s->fail_work = atoi(v);
    else if (is(word, "fail-stream", &v))
        s->fail_stream = atoi(v);
    else if (is(word, "trace", &v))
        snprintf(s->trace, sizeof(s->trace), "%s", v);
    else
        die("CUDA_EMU: there is no setting \"%s\", see tests/emu/emu.h", word);
}

static settings read_settings()
{
    settings s;
    const char *text = getenv("CUDA_EMU");
    char words[256];
    snprintf(words, sizeof(words), "%s", text ? text : "");
    char *rest = words;
    for (char *word; (word = strsep(&rest, ",")) != NULL;)
        if (*word)
            read_word(&s, word);
    random_state = s.seed;
    return s;
}

const settings &set()
{
    static const settings s = read_settings();
    return s;
}

/* Knuth's MMIX generator; the high bits are the good ones. */
unsigned random_below(unsigned n)
{
    set();
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((random_state >> 32) * n >> 32);
}

std::recursive_mutex &mutex()
{
    static std::recursive_mutex m;
    return m;
}

cudaError_t fail(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

cudaError_t broken()
{
    return broken_error;
}

void break_device(cudaError_t error)
{
    broken_error = error;
}

int capability()
{
    return set().capability;
}

int compiled_for()
{
    return set().compiled_for;
}

int device_now()
{
    return this_device;
}

/* Why no call can succeed, or cudaSuccess. */
static cudaError_t no_device()
{
    return set().old_driver     ? cudaErrorInsufficientDriver
           : set().devices == 0 ? cudaErrorNoDevice
                                : cudaSuccess;
}

static cudaError_t check_device(int device)
{
    if (no_device() != cudaSuccess)
        return fail(no_device());
    return fail(device < 0 || device >= set().devices ? cudaErrorInvalidDevice : cudaSuccess);
}
} // namespace emu

using namespace emu;

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "the capture was not begun in this stream, or has streams that were not joined"},
};

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &e : errors)
        if (e.error == error)
            return e.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &e : errors)
        if (e.error == error)
            return e.text;
    return "unrecognized error code";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = set().old_driver ? 10020 : CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    if (no_device() != cudaSuccess)
        return fail(no_device());
    *count = set().devices;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    if (check_device(device) != cudaSuccess)
        return check_device(device);
    snprintf(prop->name, sizeof(prop->name), "emulated GPU %d", device);
    prop->totalGlobalMem = set().memory_bytes;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (check_device(device) != cudaSuccess)
        return check_device(device);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = 48 << 10;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = 96 << 10; /* as the smallest GPU that we build for, sm_72 */
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = 2; /* few, so that grids loop */
        break;
    case cudaDevAttrIntegrated:
        *value = set().integrated;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = set().capability / 10;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = set().capability % 10;
        break;
    case cudaDevAttrHostRegisterSupported:
        *value = set().register_supported;
        break;
    case cudaDevAttrCanUseHostPointerForRegisteredMem:
        *value = !set().register_elsewhere;
        break;
    case cudaDevAttrClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrL2CacheSize:
        *value = 512 << 10;
        break;
    case cudaDevAttrMemoryPoolsSupported:
        *value = 0;
        break;
    default:
        return fail(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    if (check_device(device) != cudaSuccess)
        return check_device(device);
    this_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = this_device;
    return fail(no_device());
}
