/* What a GPU's multiply-adds reach, measured: the ceiling that benches print beside their own. */
#ifndef BENCH_GPU_CEILING_H
#define BENCH_GPU_CEILING_H

#include "base/clock.h"
#include "base/err.h"
#include "bench/cuda_peak.h"
#include "kernels/buffer.h"

/* Operations a second, the best of a few runs; 0 where the device's error prevents it. */
static inline double gpu_ceiling_flops(struct device *d)
{
    struct buffer out;
    double best = 0;
    if (buffer_open(&out, d, PLACE_DEVICE, cuda_peak_floats(d) * sizeof(float), "ceiling") < 0)
        return 0;
    for (int run = 0; run < 6; run++) {
        uint64_t start = clock_now_ns();
        double flops = cuda_peak_run(d, out.base);
        if (device_sync(d) < 0)
            break;
        double rate = flops / clock_seconds_since(start);
        best = run && rate > best ? rate : best; /* the first one warms up */
    }
    buffer_close(&out);
    return best;
}

#endif
