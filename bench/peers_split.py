#!/usr/bin/env python3
"""The original's way of splitting, for bench/peers_split.sh: PyTorch in three processes, a task at a time, each over
a TCP connection of its own that carries one pickle forth and one back and ends with a half-close. Trains `small` or
`vgg11`, batch 64, and prints one JSON line with the source's samples/s (the median step).

    peers_split.py --model small --suite source-intermediate-final [--seconds 4] [--threads 2]"""
import argparse
import asyncio
import json
import multiprocessing
import os
import pickle
import socket
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "peers"))
import networks  # noqa: E402

CUT = {"small": 3, "vgg11": 6}


def modules(model):
    if model == "small":
        net = networks.Small()
        return [net.flatten, *net.linear_relu_stack]
    net = networks.Vgg(networks.VGG[model], 0.5)
    return [*net.features, net.avgpool, torch.nn.Flatten(), *net.classifier]


def part(model, begin, end):
    torch.manual_seed(1)
    return torch.nn.Sequential(*modules(model)[begin:end])


async def task(port, message):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(pickle.dumps(message))
    writer.write_eof()
    answer = pickle.loads(await reader.read())
    writer.close()
    return answer


async def serve(ready, port, net, next_port):
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)

    async def handle(reader, writer):
        message = pickle.loads(await reader.read())
        x = message["activation"].requires_grad_(True)
        y = net(x)
        optimizer.zero_grad()
        if next_port:
            answer = await task(next_port, {"activation": y.detach(), "labels": message["labels"]})
            y.backward(answer["gradient"])
            loss = answer["loss"]
        else:
            loss_tensor = F.cross_entropy(y, message["labels"])
            loss_tensor.backward()
            loss = loss_tensor.item()
        optimizer.step()
        writer.write(pickle.dumps({"gradient": x.grad, "loss": loss}))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    ready.set()
    await server.serve_forever()


def worker(ready, port, model, begin, end, next_port, threads):
    torch.set_num_threads(threads)
    net = part(model, begin, end)
    asyncio.run(serve(ready, port, net, next_port))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def source(model, port, seconds):
    shape = (64, 1, 28, 28) if model == "small" else (64, 3, 32, 32)
    x, labels = torch.rand(shape), torch.randint(0, 10, (64,))

    async def run():
        times, end = [], time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            await task(port, {"activation": x, "labels": labels})
            times.append(time.perf_counter() - start)
        return times[2:]
    return asyncio.run(run())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", default="small")
    p.add_argument("--suite", default="source-intermediate-final", choices=["source-final", "source-intermediate-final"])
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    last, first, cut = free_port(), free_port(), CUT[a.model]
    count = len(modules(a.model))
    three = a.suite == "source-intermediate-final"
    work = [(last, cut if three else 0, count, 0)] + ([(first, 0, cut, last)] if three else [])
    context = multiprocessing.get_context("spawn")
    children = []
    for port, begin, end, next_port in work:
        ready = context.Event()
        children.append(context.Process(target=worker, args=(ready, port, a.model, begin, end, next_port, a.threads)))
        children[-1].start()
        ready.wait(60)
    times = source(a.model, first if three else last, a.seconds)
    for child in children:
        child.kill()
    median = statistics.median(times)
    print(json.dumps({"bench": f"split train {a.model} {a.suite}", "rival": "pickle over asyncio, one connection a task",
                      "torch": torch.__version__, "batch": 64, "runs": len(times),
                      "samples_per_s": round(64 / median, 1), "ms_per_batch": round(1e3 * median, 3)}))


if __name__ == "__main__":
    main()
