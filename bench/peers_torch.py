#!/usr/bin/env python3
"""The rival's side of bench/peers.sh: PyTorch training or inference of one model, steps timed one by one as
bench_train does (forward, loss, backward, update; loss.item() waits). Prints one JSON line.

    peers_torch.py --model vgg11 --batch 64 [--infer] [--seconds 5] [--threads 2]"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "peers"))
import networks  # noqa: E402


def blas():
    """The BLAS that is really loaded, and what it reaches: with the reference one PyTorch is ten times slower."""
    a, b = torch.rand(1024, 1024), torch.rand(1024, 1024)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "blas" in line}
    return sorted(os.path.basename(os.path.realpath(f)) for f in files), 2 * 1024 ** 3 / min(times) / 1e9


def timed(step, seconds):
    for _ in range(2):
        step()
    times, end, cpu = [], time.perf_counter() + seconds, time.process_time()
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return times, 1e3 * (time.process_time() - cpu) / len(times)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", default="vgg11")
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--infer", action="store_true")
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    a = arguments.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    libraries, matmul = blas()

    model = networks.network(a.model)
    x = torch.rand(a.batch, *networks.input_shape(a.model)) * 2 - 1
    y = torch.randint(0, 10, (a.batch,))
    if a.infer:
        model.eval()

        def step():
            with torch.inference_mode():
                model(x)
    else:
        sgd = torch.optim.SGD(model.parameters(), lr=1e-3)

        def step():
            loss = F.cross_entropy(model(x), y)
            sgd.zero_grad(set_to_none=a.model == "small")  # VGG's 531 MB of gradients are better kept
            loss.backward()
            sgd.step()
            loss.item()

    times, cpu = timed(step, a.seconds)
    median = statistics.median(times)
    print(json.dumps({
        "bench": "infer" if a.infer else "train", "model": a.model, "batch": a.batch, "torch": torch.__version__,
        "wait": os.environ.get("OMP_WAIT_POLICY", ""),
        "threads": a.threads, "runs": len(times), "median_ms": round(median, 4), "min_ms": round(min(times), 4),
        "cpu_ms": round(cpu, 4), "samples_per_s": round(1e3 * a.batch / median, 1), "blas": libraries,
        "matmul_gflops": round(matmul, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))


if __name__ == "__main__":
    main()
