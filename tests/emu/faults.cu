/*
 * Kernels that are wrong, each beside one that is right, for test_emu.c: what the emulated GPU must
 * not let pass. Called in a child process; on a stream of its own.
 */
#include "tests/emu/faults.h"

#include <mma.h>

#include "kernels/cuda/cuda.h"

enum { THREADS = 96, WIDTH = 100 };

/* Each thread takes its right neighbour's number. */
static __global__ void neighbours(int *out, int barrier)
{
    __shared__ int number[THREADS];
    number[threadIdx.x] = (int)threadIdx.x;
    if (barrier)
        __syncthreads();
    out[threadIdx.x] = number[(threadIdx.x + 1) % THREADS];
}

static __global__ void unset(float *out)
{
    __shared__ float number[THREADS];
    out[threadIdx.x] = number[threadIdx.x];
}

static __global__ void half_a_barrier(int threads)
{
    if ((int)threadIdx.x < threads)
        __syncthreads();
    else
        __syncwarp();
}

static __global__ void shuffle_mask(int *out, unsigned mask)
{
    out[threadIdx.x] = __shfl_xor_sync(mask, (int)threadIdx.x, 1);
}

/* Sums of segments of 8 lanes, in lane 0 of each. */
static __global__ void segments(int *out)
{
    int x = (int)threadIdx.x;
    for (int by = 4; by > 0; by /= 2)
        x += __shfl_down_sync(0xffffffffu, x, (unsigned)by, 8);
    out[threadIdx.x] = x;
}

static __global__ void touch(float *out, size_t index)
{
    if (threadIdx.x == 0)
        out[index] = 1;
}

static __global__ void touch_shared(float *out, int index)
{
    __shared__ float number[THREADS];
    number[threadIdx.x] = 0;
    float *p = number; /* an index of the array itself would be UBSan's */
    if (threadIdx.x == 0)
        p[index] = 1;
    __syncthreads();
    out[threadIdx.x] = number[threadIdx.x];
}

static __global__ void touch_dynamic(float *out, int index)
{
    DYNAMIC_SHARED(float, number);
    if (threadIdx.x == 0)
        number[index] = 1;
    __syncthreads();
    out[0] = number[index];
}

static __global__ void follow(float *out, const float *const *p)
{
    out[0] = **p;
}

static __global__ void add_one(int *x)
{
    *x += 1;
}

static __global__ void votes(int *out)
{
    int even = threadIdx.x % 2 == 0;
    out[0] = __syncthreads_count(even);
    unsigned in_warp = __ballot_sync(0xffffffffu, even);
    if (threadIdx.x == 0)
        out[1] = (int)in_warp;
}

static __device__ void as_element(float *to, float v)
{
    *to = v; /* whether it is rounded is the caller's business */
}

static __device__ void as_element(__half *to, float v)
{
    *to = __float2half_rn(v);
}

/* out (16, 16) = A (16, K) * B (K, 16), A (m, k) = m + k + more, B (k, n) = k - n; one warp. Both
 * lie in shared memory as rows of k. */
template <class T, class E, int K> static __global__ void matrix(float *out, int how, float more)
{
    using namespace nvcuda::wmma;
    enum { ROW = 24 };
    __shared__ __align__(32) E a[K * ROW + 16], b[K * ROW];
    const int lane = (int)threadIdx.x;
    for (int i = lane; i < K * 16; i += 32) {
        int k = i / 16, j = i % 16;
        as_element(&a[k * ROW + j], (float)(j + k) + more);
        as_element(&b[k * ROW + j], (float)(k - j));
    }
    __syncthreads();
    fragment<matrix_a, 16, 16, K, T, col_major> x;
    fragment<matrix_b, 16, 16, K, T, row_major> y;
    fragment<accumulator, 16, 16, K, float> sum;
    if (how != MATRIX_UNSET)
        fill_fragment(sum, 0.0f);
    if (how == MATRIX_ENDED && lane == 5)
        return;
    if (how != MATRIX_HALF_A_WARP || lane < 16)
        load_matrix_sync(x,
                         a + (how == MATRIX_ADDRESS ? 16 / sizeof(E) : 0) +
                             (how == MATRIX_ADDRESSES ? lane / 16 * 16 : 0),
                         how == MATRIX_ROW ? 18 : ROW);
    load_matrix_sync(y, b, ROW);
    mma_sync(sum, x, y, sum);
    store_matrix_sync(out, sum, 16, how == MATRIX_TURNED ? mem_col_major : mem_row_major);
}

static struct device *device_of(struct device_cuda *c, cudaStream_t stream)
{
    *c = device_cuda();
    c->stream = stream;
    return &c->dev;
}

/* One block, and what the launch said. */
#define QUEUE(stream, kernel, threads, shared, ...)                              \
    do {                                                                         \
        struct device_cuda c_;                                                   \
        LAUNCH(device_of(&c_, stream), kernel, 1, threads, shared, __VA_ARGS__); \
        return c_.error;                                                         \
    } while (0)

cudaError_t faults_neighbours(cudaStream_t stream, int *out, int barrier)
{
    QUEUE(stream, neighbours, THREADS, 0, out, barrier);
}

cudaError_t faults_unset(cudaStream_t stream, float *out)
{
    QUEUE(stream, unset, THREADS, 0, out);
}

cudaError_t faults_half_a_barrier(cudaStream_t stream, int threads)
{
    QUEUE(stream, half_a_barrier, 64, 0, threads);
}

cudaError_t faults_shuffle(cudaStream_t stream, int *out, unsigned mask)
{
    QUEUE(stream, shuffle_mask, 32, 0, out, mask);
}

cudaError_t faults_segments(cudaStream_t stream, int *out)
{
    QUEUE(stream, segments, 64, 0, out);
}

cudaError_t faults_touch(cudaStream_t stream, float *out, size_t index)
{
    QUEUE(stream, touch, 32, 0, out, index);
}

cudaError_t faults_touch_shared(cudaStream_t stream, float *out, int index)
{
    QUEUE(stream, touch_shared, THREADS, 0, out, index);
}

cudaError_t faults_touch_dynamic(cudaStream_t stream, float *out, int index, size_t bytes)
{
    QUEUE(stream, touch_dynamic, 32, bytes, out, index);
}

cudaError_t faults_raise_shared(size_t bytes)
{
    return cudaFuncSetAttribute((const void *)touch_dynamic,
                                cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
}

cudaError_t faults_follow(cudaStream_t stream, float *out, const float *const *p)
{
    QUEUE(stream, follow, 1, 0, out, p);
}

cudaError_t faults_add_one(cudaStream_t stream, int *x)
{
    QUEUE(stream, add_one, 1, 0, x);
}

cudaError_t faults_too_many(cudaStream_t stream, int *x)
{
    QUEUE(stream, add_one, 1025, 0, x);
}

cudaError_t faults_votes(cudaStream_t stream, int *out)
{
    QUEUE(stream, votes, 64, 0, out);
}

cudaError_t faults_matrix(cudaStream_t stream, float *out, int halves, enum faults_matrix how,
                          float more)
{
    if (halves)
        QUEUE(stream, (matrix<__half, __half, 16>), 32, 0, out, how, more);
    QUEUE(stream, (matrix<nvcuda::wmma::precision::tf32, float, 8>), 32, 0, out, how, more);
}

float faults_tf32(float v)
{
    return nvcuda::wmma::__float_to_tf32(v);
}
