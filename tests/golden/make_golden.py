#!/usr/bin/env python3
"""Writes the golden numbers beside this file: what PyTorch computes from weights and inputs that tests/test_golden*.c
draws by the same formula (base/rng.h, stream numbers below), so that only results are committed.

    /usr/bin/python3 tests/golden/make_golden.py       needs PyTorch and numpy, about a minute

Deterministic: one thread, no dropout. Each file says which PyTorch wrote it."""
import collections
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
import counter  # noqa: E402
import networks  # noqa: E402

STREAM_INPUT, STREAM_LABELS = 4096, 4097  # parameters are streams 0, 1, ... in state_dict order
SAMPLES = 64                              # elements kept of each trained tensor


def number(x):
    return float("%.9g" % x)


def numbers(t):
    return [number(x) for x in t.detach().numpy().reshape(-1)]


def write(name, what):
    what = {"torch": torch.__version__, **what}
    with open(os.path.join(HERE, name), "w") as f:
        json.dump(what, f, separators=(",", ":"))
        f.write("\n")
    print(name, os.path.getsize(os.path.join(HERE, name)), "bytes")


def init_scale(name, shape):
    """Bound of the uniform weights. What has inputs: kaiming; VGG's classifier as VGG does it, a deviation of 0.01,
    which keeps training tame enough for two summation orders to stay together. Biases: a little."""
    if name.startswith("classifier") and len(shape) > 1:
        return float(np.float32(0.01 * np.sqrt(3.0)))
    if len(shape) > 1:
        return float(np.float32(np.sqrt(6.0 / np.prod(shape[1:]))))
    return 1.0 if name == "encoder.1.weight" else float(np.float32(0.05))


def init(model, seed):
    """Fills the parameters in order and returns their starting values."""
    start = {}
    for i, (name, p) in enumerate(model.named_parameters()):
        start[name] = counter.uniform(seed, i, 0, tuple(p.shape), init_scale(name, p.shape))
        with torch.no_grad():
            p.copy_(torch.from_numpy(start[name]))
    return start


def change(param, start):
    """What training added to a tensor: a sample of elements, the sum and the sum of squares."""
    d = (param.detach().numpy().astype(np.float64) - start.astype(np.float64)).reshape(-1)
    at = [i * d.size // min(SAMPLES, d.size) for i in range(min(SAMPLES, d.size))]
    return {"sum": number(d.sum()), "squares": number((d * d).sum()), "sample": [number(d[i]) for i in at]}


def train(name, seed, batch, steps, batches, lr, momentum=0.0, weight_decay=0.0):
    """SGD over `batches` different batches in turn."""
    model = networks.network(name)
    start = init(model, seed)
    sgd = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    losses = []
    for step in range(steps):
        b = step % batches
        x = torch.from_numpy(counter.uniform(seed, STREAM_INPUT, b, (batch, *networks.input_shape(name)), 1.0))
        y = torch.from_numpy(counter.labels(seed, STREAM_LABELS, b, batch, 10))
        loss = F.cross_entropy(model(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(number(loss.item()))
    print(name, batch, losses)
    params = [{"name": n, "shape": list(p.shape), "scale": number(init_scale(n, p.shape)), **change(p, start[n])}
              for n, p in model.named_parameters()]
    return {"model": name, "seed": seed, "batch": batch, "batches": batches, "lr": lr, "momentum": momentum,
            "weight_decay": weight_decay, "losses": losses, "params": params}


def drawn(seed, shape, stream, scale=1.0):
    return torch.from_numpy(counter.uniform(seed, stream, 0, shape, scale)).requires_grad_()


def conv(name, seed, n, c, h, w, k, kh, kw, sh, sw, ph, pw, transposed=False, bias=True):
    """inp, weight, bias, dout are streams 0, 1, 2, 3."""
    inp = drawn(seed, (n, c, h, w), 0)
    weight = drawn(seed, (c, k, kh, kw) if transposed else (k, c, kh, kw), 1, 0.5)
    b = drawn(seed, (k,), 2) if bias else None
    f = F.conv_transpose2d if transposed else F.conv2d
    out = f(inp, weight, b, (sh, sw), (ph, pw))
    out.backward(drawn(seed, tuple(out.shape), 3).detach())
    case = {"name": name, "op": "conv_transpose2d" if transposed else "conv2d", "seed": seed,
            "dims": [n, c, h, w, k, kh, kw, sh, sw, ph, pw, out.shape[2], out.shape[3]],
            "out": numbers(out), "dinp": numbers(inp.grad), "dweight": numbers(weight.grad)}
    if bias:
        case["dbias"] = numbers(b.grad)
    return case


def linear(name, seed, n, c, k):
    inp, weight, b = drawn(seed, (n, c), 0), drawn(seed, (k, c), 1, 0.5), drawn(seed, (k,), 2)
    out = F.linear(inp, weight, b)
    out.backward(drawn(seed, (n, k), 3).detach())
    return {"name": name, "op": "linear", "seed": seed, "dims": [n, c, k], "out": numbers(out),
            "dinp": numbers(inp.grad), "dweight": numbers(weight.grad), "dbias": numbers(b.grad)}


def batchnorm(name, seed, n, c, h, w, momentum, eps):
    """Training, then evaluation with the statistics that training moved. They start at 0.3 drawn and 1 + drawn / 2."""
    inp, weight, b = drawn(seed, (n, c, h, w), 0), drawn(seed, (c,), 1), drawn(seed, (c,), 2)
    mean = drawn(seed, (c,), 4, 0.3).detach()
    var = drawn(seed, (c,), 5, 0.5).detach() + 1
    out = F.batch_norm(inp, mean, var, weight, b, True, momentum, eps)
    out.backward(drawn(seed, (n, c, h, w), 3).detach())
    return {"name": name, "op": "batchnorm", "seed": seed, "dims": [n, c, h * w], "momentum": momentum, "eps": eps,
            "out": numbers(out), "dinp": numbers(inp.grad), "dweight": numbers(weight.grad), "dbias": numbers(b.grad),
            "mean": numbers(mean), "var": numbers(var),
            "eval": numbers(F.batch_norm(inp, mean, var, weight, b, False, momentum, eps))}


def maxpool(name, seed, n, c, h, w, k, s, p):
    """Few levels, so that most windows have ties: the first of equals gets the gradient."""
    inp = torch.from_numpy(counter.levels(seed, 0, 0, (n, c, h, w), 3)).requires_grad_()
    out = F.max_pool2d(inp, k, s, p)
    out.backward(drawn(seed, tuple(out.shape), 3).detach())
    return {"name": name, "op": "maxpool", "seed": seed, "dims": [n, c, h, w, k, s, p, out.shape[2], out.shape[3]],
            "out": numbers(out), "dinp": numbers(inp.grad)}


def avgpool(name, seed, n, c, h, w, oh, ow):
    inp = drawn(seed, (n, c, h, w), 0)
    out = F.adaptive_avg_pool2d(inp, (oh, ow))
    out.backward(drawn(seed, tuple(out.shape), 3).detach())
    return {"name": name, "op": "avgpool", "seed": seed, "dims": [n, c, h, w, oh, ow], "out": numbers(out),
            "dinp": numbers(inp.grad)}


def cross_entropy(name, seed, n, classes, scale):
    """Large logits too: the maximum must be taken off before the exponential."""
    logits = drawn(seed, (n, classes), 0, scale)
    y = torch.from_numpy(counter.labels(seed, 1, 0, n, classes))
    loss = F.cross_entropy(logits, y, reduction="none")
    loss.mean().backward()
    return {"name": name, "op": "cross_entropy", "seed": seed, "dims": [n, classes], "scale": scale,
            "out": numbers(loss), "dinp": numbers(logits.grad)}


def activation(name, seed, act, count):
    inp = drawn(seed, (count,), 0, 6.0)
    out = {"relu": torch.relu, "leaky": lambda x: F.leaky_relu(x, 0.1), "sigmoid": torch.sigmoid}[act](inp)
    out.backward(drawn(seed, (count,), 3).detach())
    return {"name": name, "op": act, "seed": seed, "dims": [count], "out": numbers(out), "dinp": numbers(inp.grad)}


def operations():
    return [
        conv("3x3, pad 1", 1, 2, 3, 6, 5, 4, 3, 3, 1, 1, 1, 1),
        conv("3x2, stride 2 and 1, pad 1 and 0", 2, 2, 3, 7, 6, 4, 3, 2, 2, 1, 1, 0),
        conv("5x3, stride 3 and 2, pad 2 and 3", 3, 1, 2, 11, 9, 3, 5, 3, 3, 2, 2, 3),
        conv("1x1, no bias", 4, 2, 5, 3, 4, 6, 1, 1, 1, 1, 0, 0, bias=False),
        conv("4x4 on 2x2, pad 2", 5, 2, 3, 2, 2, 2, 4, 4, 1, 1, 2, 2),
        conv("transposed 3x3, pad 1", 6, 2, 3, 4, 5, 4, 3, 3, 1, 1, 1, 1, transposed=True),
        conv("transposed 3x4, stride 2 and 3, pad 1 and 2", 7, 2, 3, 4, 3, 2, 3, 4, 2, 3, 1, 2, transposed=True),
        linear("7 x 13 -> 5", 8, 7, 13, 5),
        linear("1 x 33 -> 17", 9, 1, 33, 17),
        batchnorm("momentum 0.1", 10, 3, 4, 3, 2, 0.1, 1e-5),
        batchnorm("momentum 0.03, eps 1e-4", 11, 2, 3, 5, 3, 0.03, 1e-4),
        maxpool("2x2, stride 2, ties", 12, 2, 3, 6, 4, 2, 2, 0),
        maxpool("3x3, stride 2, pad 1, ties", 13, 2, 2, 7, 5, 3, 2, 1),
        maxpool("3x3, stride 1, overlapping, ties", 14, 1, 2, 5, 6, 3, 1, 0),
        avgpool("1x1 -> 7x7", 15, 2, 3, 1, 1, 7, 7),
        avgpool("5x7 -> 3x2", 16, 2, 3, 5, 7, 3, 2),
        avgpool("4x6 -> 7x7", 17, 1, 2, 4, 6, 7, 7),
        cross_entropy("10 classes", 18, 6, 10, 3.0),
        cross_entropy("37 classes, large logits", 19, 5, 37, 80.0),
        activation("relu", 20, "relu", 33),
        activation("leaky", 21, "leaky", 33),
        activation("sigmoid", 22, "sigmoid", 33),
    ]


def codec(factor, seed=30, n=2, h=8, w=8):
    """The two units around the cut, one training pass: parameters are streams 0 .. 5 in order, the encoder's first."""
    encoder, decoder = networks.encoder(128, factor), networks.decoder(128, factor)
    unit = torch.nn.Sequential(collections.OrderedDict(encoder=encoder, decoder=decoder))
    init(unit, seed + factor)
    inp = drawn(seed + factor, (n, 128, h, w), STREAM_INPUT)
    out = unit(inp)
    out.backward(drawn(seed + factor, tuple(out.shape), STREAM_LABELS).detach())

    def some(t):
        t = t.detach().numpy().astype(np.float64).reshape(-1)
        return change(torch.from_numpy(t), np.zeros(t.size))
    params = [{"name": name, "shape": list(p.shape), "scale": number(init_scale(name, p.shape)), **some(p.grad)}
              for name, p in unit.named_parameters()]
    return {"factor": factor, "seed": seed + factor, "dims": [n, 128, h, w], "crossing": some(encoder(inp)),
            "out": some(out), "dinp": some(inp.grad), "params": params}


def keys(name, codec=0):
    """What a weight file holds: floats alone, so without batch-norm's counter of batches."""
    with open(os.path.join(HERE, f"keys_{name}_codec{codec}.txt" if codec else f"keys_{name}.txt"), "w") as f:
        for key, value in networks.network(name, codec=codec).state_dict().items():
            if value.is_floating_point():
                f.write(f"{key} {' '.join(map(str, value.shape))}\n")


def main():
    torch.set_num_threads(1)
    write("operations.json", {"cases": operations()})
    write("small.json", {"runs": [
        train("small", 100, 64, 20, 4, 0.1),
        train("small", 101, 8, 20, 4, 0.1),
        train("small", 102, 64, 20, 4, 0.05, momentum=0.9, weight_decay=5e-4)]})
    write("codec.json", {"runs": [codec(1), codec(4)]})
    for name in ("small", "vgg11", "vgg16", "vgg19"):
        keys(name)
    keys("vgg11", codec=4)
    write("vgg11.json", {"runs": [train("vgg11", 103, 8, 5, 2, 0.001)]})


if __name__ == "__main__":
    main()
