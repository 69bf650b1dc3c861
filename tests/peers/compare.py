#!/usr/bin/env python3
"""The engine beside PyTorch, live: both start from one weight file and read the same pictures. Called by
tests/peers.sh. Parts: small vgg11 infer codec detectors (all by default). Each prints rows of a table; the last line counts
them. What must hold: losses within LOSS_LIMIT (relative), each trained tensor within TENSOR_LIMIT (NMSE), what training
added to each within CHANGE_LIMIT (NMSE; a tensor alone would hide an update that never happened: that is 1), predictions
within OUTPUT_LIMIT (NMSE of their differences from the mean prediction).

Where a tensor is farther from PyTorch's than TENSOR_LIMIT, float32 itself is the limit or we are wrong: PyTorch trains
once more in float64, and the tensor may be no farther from that than `scatter` times PyTorch's own in float32. This
happens to biases, which start at zero: of some 10 million activations in a step of 64 pictures one or another is so near
zero, or two in a pool so near each other, that roundings decide which way its gradient goes. Two runs in float32 differ
by such events, whoever computes. VGG11 at batch 64: 12 of 22 tensors are within 1.2e-9 of PyTorch's, the other 10, all
biases, within 7.5e-5; PyTorch's own are up to 6.2e-5 from float64, ours up to 4.7e-5, each 0.69 to 0.86 times as far as
PyTorch's. With other instruction sets or --no-fold it is 0.7 to 1.4 times: hence a scatter of 2. At batch 8 the events
are few and change single tensors more: with codec conv:4 0.02 to 4 times, hence 5. Without any, as in VGG11 at batch 8,
all tensors are within 1e-12."""
import argparse
import contextlib
import csv
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

import detectors
import networks
import pictures
import weightfile

LOSS_LIMIT, TENSOR_LIMIT, CHANGE_LIMIT, OUTPUT_LIMIT = 1e-4, 1e-6, 1e-3, 1e-8

NO_GRADIENT = "encoder.0.bias"  # batch-norm takes it off again: what is left is rounding, on both sides


class Failed(Exception):
    """A check that went wrong; its text is shown."""


class Comparison:
    def __init__(self, engine, folder):
        self.engine, self.folder = engine, folder
        self.passed = self.failed = 0
        pictures.write_cifar(folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def call(self, *words, folder=None):
        """What a program prints; Failed where it ends with another status than 0."""
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=900, cwd=folder)
        if done.returncode:
            raise Failed(f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def run(self, *words):
        return self.call(self.engine, *words)

    @contextlib.contextmanager
    def serving(self, *words):
        """A worker while the block runs; gives HOST:PORT."""
        with subprocess.Popen([self.engine, *map(str, words), "--role", "final", "--listen", "127.0.0.1:0",
                               "--no-monitor"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
            try:
                said = []
                for line in p.stdout:
                    said.append(line)
                    if "RX pipe listening" in line:
                        yield line.split()[-1]
                        return
                raise Failed(f"{' '.join(map(str, words))}: {''.join(said)[-400:]}")
            finally:
                p.terminate()

    def row(self, what, check):
        """check() returns what to show, or raises."""
        try:
            text, good = check(), True
        except (Failed, OSError, RuntimeError, ValueError, KeyError, subprocess.TimeoutExpired) as e:
            text, good = f"{e}", False
        self.passed += good
        self.failed += not good
        print(f"{'  ok' if good else 'FAIL'} {what:72} {text}", flush=True)
        return good


def lively(network, seed):
    """Weights that keep the signal's size through all layers, so that outputs depend on the picture."""
    torch.manual_seed(seed)
    for name, p in network.named_parameters():
        if p.dim() > 1:
            torch.nn.init.kaiming_normal_(p, nonlinearity="relu")
            if name.startswith("classifier"):
                p.data.mul_(0.5)
        else:
            torch.nn.init.uniform_(p, *((1, 4) if name == "encoder.1.weight" else (0, 0.1)))
    for name, p in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            p.add_(0.1 * torch.rand(p.shape))
    return network


def data(model, folder, split):
    images, labels = pictures.fashion(split) if model == "small" else pictures.cifar(folder, split)
    return torch.from_numpy(images), torch.from_numpy(labels)


def data_words(model, folder):
    return ["--dataset", "fashion-mnist" if model == "small" else "cifar10", "--data-dir", folder]


def nmse(got, want):
    difference = got.astype(np.float64) - want.astype(np.float64)
    return float((difference ** 2).sum() / max((want.astype(np.float64) ** 2).sum(), 1e-300))


def within(value, limit, what):
    if not value <= limit:
        raise Failed(f"{what} {value:.2g}, wanted {limit:.0e} at most")
    return f"{what} {value:.1e}"


def torch_train(network, x, y, batch, steps, sgd):
    losses = []
    for step in range(steps):
        part = slice(step * batch, (step + 1) * batch)
        loss = F.cross_entropy(network(x[part]), y[part])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return losses


def train(c, model, batch, steps, lr, momentum=0.0, decay=0.0, codec=0, scatter=2):
    name = f"{model}{f' codec conv:{codec}' if codec else ''}, batch {batch}, lr {lr}" \
        f"{f', momentum {momentum}, decay {decay}' if momentum else ''}"
    start, end, log = c.path("start.safetensors"), c.path("end.safetensors"), c.path("losses.csv")
    codec_words = ["--codec", f"conv:{codec}"] if codec else []
    state = {}

    def torch_trained(dtype):
        network = networks.network(model, codec=codec).to(dtype).train()
        network.load_state_dict({k: torch.from_numpy(v).to(dtype) for k, v in weightfile.load(start).items()})
        sgd = torch.optim.SGD(network.parameters(), lr=lr, momentum=momentum, weight_decay=decay)
        x, y = data(model, c.folder, "train")
        losses = torch_train(network, x[:batch * steps].to(dtype), y, batch, steps, sgd)
        return {k: v.numpy() for k, v in network.state_dict().items()
                if v.is_floating_point() and k != NO_GRADIENT}, losses

    def losses_agree():
        c.run("init", "--model", model, "--seed", 7, "--save", start, *codec_words)
        c.run("train", "--role", "aio", "--model", model, *data_words(model, c.folder), "--batch-size", batch,
              "--batches", steps, "--lr", lr, "--momentum", momentum, "--weight-decay", decay, "--dropout", 0,
              "--weights", start, "--save", end, "--log", log, "--no-monitor", "--quiet", *codec_words)
        with open(log) as f:
            got = [float(r["loss"]) for r in csv.DictReader(f)]
        state["torch"], want = torch_trained(torch.float32)
        if len(got) != steps:
            raise Failed(f"{len(got)} losses, wanted {steps}")
        if not abs(want[0] - want[-1]) > 1e-3 * want[0]:
            raise Failed(f"PyTorch's loss went from {want[0]:.6g} to {want[-1]:.6g}: this shows nothing")
        worst = max(abs(g / w - 1) for g, w in zip(got, want))
        return f"{within(worst, LOSS_LIMIT, 'worst')}  ({want[0]:.4f} -> {want[-1]:.4f})"

    def tensors_agree():
        ours, theirs = weightfile.load(end), state["torch"]
        apart = {k: nmse(ours[k], theirs[k]) for k in theirs}
        far = [k for k in apart if not apart[k] <= TENSOR_LIMIT]
        worst = max(apart, key=apart.get)
        text = f"NMSE {apart[worst]:.1e} ({worst})"
        if not far:
            return text
        exact, _ = torch_trained(torch.float64)
        mine, own = ({k: nmse(some[k], exact[k]) for k in far} for some in (ours, theirs))
        for k in far:
            if not mine[k] <= max(TENSOR_LIMIT, scatter * own[k]):
                raise Failed(f"{k}: {apart[k]:.1e} from PyTorch, {mine[k]:.1e} from PyTorch in float64, which its own "
                             f"float32 meets within {own[k]:.1e}")
        near = [k for k in apart if k not in far]
        ratio = [mine[k] / own[k] for k in far]
        return f"{len(near)} {max(apart[k] for k in near):.1e}, {len(far)} {text}; these from float64 " \
            f"{max(mine.values()):.1e}, PyTorch's own {max(own.values()):.1e}, ratio {min(ratio):.2f} to {max(ratio):.2f}"

    def changes_agree():
        before, after, worst, at = weightfile.load(start), weightfile.load(end), 0.0, ""
        for key, value in state["torch"].items():
            base = before[key].astype(np.float64)
            worst, at = max((worst, at), (nmse(after[key] - base, value - base), key))
        return f"{within(worst, CHANGE_LIMIT, 'NMSE')} ({at})"

    def loads_in_torch():
        fresh = networks.network(model, codec=codec)
        fresh.load_state_dict({k: torch.from_numpy(v) for k, v in weightfile.load(end).items()}, strict=True)
        return "no key renamed, none missing"

    if c.row(f"{name}: {steps} losses", losses_agree):
        c.row(f"{name}: trained tensors", tensors_agree)
        c.row(f"{name}: what training added", changes_agree)
        c.row(f"{name}: load_state_dict takes our file", loads_in_torch)


def infer(c, model, batch, requests, codec=0):
    """Weights that PyTorch initialised and saved; the engine's raw outputs on the test split, in order."""
    name = f"{model}{f' codec conv:{codec}' if codec else ''}: predictions of {batch * requests} from PyTorch's weights"
    start, out = c.path("start.safetensors"), c.path("predictions.safetensors")

    def predictions_agree():
        network = lively(networks.network(model, codec=codec), 3)
        weightfile.save(start, {k: v.numpy() for k, v in network.state_dict().items()})
        c.run("infer", "--role", "aio", "--model", model, *data_words(model, c.folder), "--batch-size", batch,
              "--inferences", requests, "--weights", start, "--output", out, "--no-monitor", "--quiet",
              *(["--codec", f"conv:{codec}"] if codec else []))
        x, _ = data(model, c.folder, "test")
        with torch.no_grad():
            want = network.eval()(x[:batch * requests]).numpy()
        got = weightfile.load(out)["predictions"]
        if got.shape != want.shape:
            raise Failed(f"shape {got.shape}, wanted {want.shape}")
        if not np.ptp(want, axis=0).max() > 0:
            raise Failed("PyTorch's rows are all the same: this shows nothing")
        return within(nmse(got - want.mean(axis=0), want - want.mean(axis=0)), OUTPUT_LIMIT, "NMSE")

    c.row(name, predictions_agree)


def part_small(c):
    train(c, "small", 64, 20, 0.1)
    train(c, "small", 8, 20, 0.1)
    train(c, "small", 64, 20, 0.05, momentum=0.9, decay=5e-4)


def part_vgg11(c):
    train(c, "vgg11", 8, 5, 0.01)
    train(c, "vgg11", 64, 5, 0.01)


def part_infer(c):
    infer(c, "small", 64, 3)
    for model in ("vgg11", "vgg16", "vgg19"):
        infer(c, model, 4, 2)


def part_codec(c):
    train(c, "vgg11", 8, 3, 0.05, codec=1, scatter=5)
    train(c, "vgg11", 8, 3, 0.05, codec=4, scatter=5)
    infer(c, "vgg11", 4, 2, codec=4)


PARTS = {"small": part_small, "vgg11": part_vgg11, "infer": part_infer, "codec": part_codec,
         "detectors": detectors.run}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--engine", default="build/sparse-engine")
    arguments.add_argument("part", nargs="*", help=" ".join(PARTS))
    a = arguments.parse_args()
    unknown = set(a.part) - set(PARTS)
    if unknown:
        arguments.error(f"no part {', '.join(sorted(unknown))}; there are: {' '.join(PARTS)}")
    torch.set_num_threads(os.cpu_count())
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; {a.engine}")
    with tempfile.TemporaryDirectory(prefix="sparse-peers-") as folder:
        c = Comparison(a.engine, folder)
        for part in a.part or PARTS:
            PARTS[part](c)
    print(f"{c.passed} passed, {c.failed} failed")
    return 1 if c.failed or not c.passed else 0


if __name__ == "__main__":
    sys.exit(main())
