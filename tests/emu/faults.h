/* Launches of faults.cu's kernels: each queues one kernel of one block. */
#ifndef TESTS_EMU_FAULTS_H
#define TESTS_EMU_FAULTS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out (96): out[i] = i + 1, and 0 at the end; without the barrier only by luck. */
cudaError_t faults_neighbours(cudaStream_t stream, int *out, int barrier);
/* out (96): shared memory that nobody set. */
cudaError_t faults_unset(cudaStream_t stream, float *out);
/* 64 threads, of which so many reach the barrier. */
cudaError_t faults_half_a_barrier(cudaStream_t stream, int threads);
/* out (32): out[i] = i ^ 1, given all lanes' mask. */
cudaError_t faults_shuffle(cudaStream_t stream, int *out, unsigned mask);
/* out (64): out[8 i] = 8 i + ... + 8 i + 7. */
cudaError_t faults_segments(cudaStream_t stream, int *out);
/* out[index] = 1 */
cudaError_t faults_touch(cudaStream_t stream, float *out, size_t index);
/* The same in an array of 96 in shared memory, and in one of `bytes`. */
cudaError_t faults_touch_shared(cudaStream_t stream, float *out, int index);
cudaError_t faults_touch_dynamic(cudaStream_t stream, float *out, int index, size_t bytes);
cudaError_t faults_raise_shared(size_t bytes); /* how much touch_dynamic may ask for */
/* out[0] = **p */
cudaError_t faults_follow(cudaStream_t stream, float *out, const float *const *p);
cudaError_t faults_add_one(cudaStream_t stream, int *x);  /* *x += 1 */
cudaError_t faults_too_many(cudaStream_t stream, int *x); /* a block of 1025 threads */
/* out (2): of 64 threads the even ones; the mask of those of the first warp. */
cudaError_t faults_votes(cudaStream_t stream, int *out);

/* out (16, 16): element (m, n) = the sum of (m + k + more) * (k - n), k below 16 of halves, below 8
 * of TF32. How it is done, or done wrong: */
enum faults_matrix {
    MATRIX_RIGHT,
    MATRIX_TURNED,      /* stored by columns */
    MATRIX_HALF_A_WARP, /* comes to the first load */
    MATRIX_ENDED,       /* a lane has */
    MATRIX_ROW,         /* a length that is no multiple of 16 bytes */
    MATRIX_ADDRESS,     /* 16-byte aligned, no more */
    MATRIX_ADDRESSES,   /* not of all lanes the same */
    MATRIX_UNSET        /* sums that nobody filled */
};
cudaError_t faults_matrix(cudaStream_t stream, float *out, int halves, enum faults_matrix how,
                          float more);
float faults_tf32(float v); /* rounded as the stand-in rounds */

#ifdef __cplusplus
}
#endif
#endif
