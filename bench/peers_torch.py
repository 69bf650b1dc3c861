#!/usr/bin/env python3
"""The rival's side of bench/peers.sh and of scripts/gpu_check.sh: PyTorch training or inference of one model, steps
timed one by one as bench_train does (forward, loss, backward, update; loss.item() waits, and after an inference on a
GPU torch.cuda.synchronize()). Prints one JSON line. On a GPU in float32 as the engine computes: no TF32.
--mode: how it is run, as it is, channel-last, traced, frozen and optimised (batch-norm folded), or by torch.compile,
on a GPU with CUDA graphs, after as many unmeasured steps as it compiles and records in.

    peers_torch.py --model vgg11 --batch 64 [--infer] [--mode eager] [--device cpu] [--seconds 5] [--threads 2]"""
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
import yolo_cfg  # noqa: E402
import yolo_torch  # noqa: E402

SIDE = 416  # of a detector's pictures
WARM_UP = {"compiled": 6}  # others 2: compiling, then recording, take the first few


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def blas(device):
    """The BLAS that is really loaded, and what it reaches: with the reference one PyTorch is ten times slower."""
    size = 1024 if device.type == "cpu" else 4096
    a, b = torch.rand(size, size, device=device), torch.rand(size, size, device=device)
    times = []
    for _ in range(7):
        wait(device)
        start = time.perf_counter()
        a @ b
        wait(device)
        times.append(time.perf_counter() - start)
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "blas" in line}
    return sorted(os.path.basename(os.path.realpath(f)) for f in files), 2 * size ** 3 / min(times) / 1e9


def network(name):
    """The model and the shape of one input."""
    if not name.startswith("yolo"):
        return networks.network(name), networks.input_shape(name)
    return yolo_torch.Darknet(yolo_cfg.text(name, SIDE)), (3, SIDE, SIDE)


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


def compiled(model, device):
    if not hasattr(torch, "compile"):
        sys.exit(f"--mode compiled wants PyTorch 2, this is {torch.__version__}")
    return torch.compile(model, mode="reduce-overhead" if device.type == "cuda" else "default")


def timed(step, seconds, warm_up):
    for _ in range(warm_up):
        step()
    times, end, cpu = [], time.perf_counter() + seconds, time.process_time()
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return times, 1e3 * (time.process_time() - cpu) / len(times)


def device_named(name):
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            sys.exit(f"--device {name}: this PyTorch ({torch.__version__}) has no CUDA, or sees no GPU")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True  # sizes do not change: the fastest algorithm of each
    return device


def parsed():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", default="vgg11")
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--infer", action="store_true")
    arguments.add_argument("--mode", default="eager", choices=["eager", "channels_last", "frozen", "compiled"])
    arguments.add_argument("--device", default="cpu", help="cpu or cuda[:N]")
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    return arguments.parse_args()


def step_of(a, device):
    """One step, as a function."""
    model, shape = network(a.model)
    model = model.to(device)
    x = (torch.rand(a.batch, *shape) * 2 - 1).to(device)
    y = torch.randint(0, 10, (a.batch,)).to(device)
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3)
    if a.infer:
        model, x = prepared(model, x, a.mode)
    if a.mode == "compiled":
        model = compiled(model, device)

    def infer():
        with torch.inference_mode():
            model(x)
        wait(device)

    def train():
        loss = F.cross_entropy(model(x), y)
        sgd.zero_grad(set_to_none=a.model == "small")  # VGG's 531 MB of gradients are better kept
        loss.backward()
        sgd.step()
        loss.item()

    return infer if a.infer else train


def main():
    a = parsed()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    device = device_named(a.device)
    libraries, matmul = blas(device)
    times, cpu = timed(step_of(a, device), a.seconds, WARM_UP.get(a.mode, 2))
    median = statistics.median(times)
    line = {
        "bench": "infer" if a.infer else "train", "model": a.model, "batch": a.batch, "torch": torch.__version__,
        "wait": os.environ.get("OMP_WAIT_POLICY", ""), "mode": a.mode,
        "threads": a.threads, "runs": len(times), "median_ms": round(median, 4), "min_ms": round(min(times), 4),
        "cpu_ms": round(cpu, 4), "samples_per_s": round(1e3 * a.batch / median, 1), "blas": libraries,
        "matmul_gflops": round(matmul, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    if device.type == "cuda":
        line["gpu"] = torch.cuda.get_device_name(device)
        line["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
