#!/usr/bin/env python3
"""The rival's side of bench/peers.sh: PyTorch training or inference of one model, steps timed one by one as
bench_train does (forward, loss, backward, update; loss.item() waits). Prints one JSON line. --mode: how a detector is
run, as it is, channel-last, or traced, frozen and optimised (batch-norm folded).

    peers_torch.py --model vgg11 --batch 64 [--infer] [--mode eager] [--seconds 5] [--threads 2]"""
import argparse
import json
import os
import resource
import statistics
import sys
import time
import warnings

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "peers"))
import networks  # noqa: E402
import yolo_torch  # noqa: E402

SIDE = 416  # of a detector's pictures


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


def network(name):
    """The model and the shape of one input."""
    if not name.startswith("yolo"):
        return networks.network(name), networks.input_shape(name)
    with open(f"/usr/share/darknet/cfg/{name}.cfg") as f:
        return yolo_torch.Darknet(yolo_torch.resized(f.read(), SIDE)), (3, SIDE, SIDE)


def prepared(model, x, mode):
    """Model and input as PyTorch's users make them ready for inference."""
    model.eval()
    if mode == "channels_last":
        return model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if mode == "frozen":
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes become constants: they are
        with torch.no_grad():
            return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, x))), x
    return model, x


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
    arguments.add_argument("--mode", default="eager", choices=["eager", "channels_last", "frozen"])
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    a = arguments.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    libraries, matmul = blas()

    model, shape = network(a.model)
    x = torch.rand(a.batch, *shape) * 2 - 1
    y = torch.randint(0, 10, (a.batch,))
    if a.infer:
        model, x = prepared(model, x, a.mode)

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
        "wait": os.environ.get("OMP_WAIT_POLICY", ""), "mode": a.mode,
        "threads": a.threads, "runs": len(times), "median_ms": round(median, 4), "min_ms": round(min(times), 4),
        "cpu_ms": round(cpu, 4), "samples_per_s": round(1e3 * a.batch / median, 1), "blas": libraries,
        "matmul_gflops": round(matmul, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))


if __name__ == "__main__":
    main()
