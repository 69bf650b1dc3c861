#!/usr/bin/env python3
"""The other rival of bench/peers.sh: inference in darknet itself, Debian's library, pictures of 416 x 416 one by one.
Prints one JSON line.

    peers_darknet.py MODEL CFG WEIGHTS SECONDS"""
import ctypes
import json
import os
import random
import resource
import statistics
import sys
import time

RUNS_MIN, FLOATS = 3, 3 * 416 * 416


def main():
    model, cfg, weights, seconds = sys.argv[1:]
    said = os.dup(1)
    os.dup2(2, 1)  # darknet talks on stdout
    lib = ctypes.CDLL("/usr/lib/darknet/libdarknet.so")
    lib.load_network.restype = ctypes.c_void_p
    lib.network_predict.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)]
    net = lib.load_network(cfg.encode(), weights.encode(), 0)
    lib.set_batch_network(ctypes.c_void_p(net), 1)
    random.seed(1)
    picture = (ctypes.c_float * FLOATS)(*(random.random() for _ in range(FLOATS)))
    lib.network_predict(net, picture)
    times, end, cpu = [], time.perf_counter() + float(seconds), time.process_time()
    while len(times) < RUNS_MIN or time.perf_counter() < end:
        start = time.perf_counter()
        lib.network_predict(net, picture)
        times.append(1e3 * (time.perf_counter() - start))
    cpu = 1e3 * (time.process_time() - cpu) / len(times)
    line = {"bench": "infer", "model": model, "batch": 1, "darknet": "Debian's", "threads": 1, "runs": len(times),
            "median_ms": round(statistics.median(times), 4), "min_ms": round(min(times), 4), "cpu_ms": round(cpu, 4),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    os.write(said, (json.dumps(line) + "\n").encode())


if __name__ == "__main__":
    main()
