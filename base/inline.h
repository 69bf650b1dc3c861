/* Small functions of headers that GPU kernels call too: CUDA wants both sides named. */
#ifndef BASE_INLINE_H
#define BASE_INLINE_H

#ifdef __CUDACC__
#define HOST_DEVICE_INLINE static __host__ __device__ inline
#else
#define HOST_DEVICE_INLINE static inline
#endif

#endif
