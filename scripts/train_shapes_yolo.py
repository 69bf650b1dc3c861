#!/usr/bin/env python3
"""usage: scripts/train_shapes_yolo.py [--steps N] [--seed S] [--threads N] [--out FILE]
       scripts/train_shapes_yolo.py --measure PROGRAM [--scenes N] [ARGUMENT...]

Trains shapes-yolo, the detector that is shipped with the program: models/shapes-yolo.cfg into
models/shapes-yolo.weights, on scenes that datasets/scene.c draws, brought to the network's size as the program does,
or letterboxed. Wants PyTorch, Pillow and a C compiler (Debian: python3-torch, python3-pil, gcc); the program itself
wants none of them. Run from the repository's root. The shipped weights are those of the defaults (seed 1, 2500 steps,
two threads of an AVX2 machine, PyTorch 1.13), after 14 minutes of processor time; --measure says of them:
    500 scenes, 1980 figures; 1970 boxes, 1940 of them right: recall 0.9798, precision 0.9848; mAP@0.5 0.9971

With --measure: what build/sparse-engine finds of scenes that training never saw (500 of many sizes; every other one a
JPEG of quality 60), at its default thresholds, and the mean average precision at an overlap of a half. ARGUMENTs,
after --, are the program's: -- --letterbox, -- --weights FILE.

The loss is YOLOv3's (Redmon, Farhadi, 2018): a figure belongs to the anchor whose shape is nearest, in the cell of its
middle; boxes that overlap a figure by more than a half are not told that there is none.
"""
import argparse
import io
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

sys.path.insert(0, "tests/peers")
from scenes import HELD_OUT, Scenes  # noqa: E402
from yolo_torch import Darknet, anchors  # noqa: E402

POOL = 2000      # scenes at hand; REFRESH of them are drawn anew each step
REFRESH = 4
BATCH = 32
RATE = 3e-3      # the highest; a half cosine to nothing, after WARM_UP steps
WARM_UP = 100


def worn(picture, chance):
    """As pictures come: compressed, now and then not sharp."""
    if chance.random() < 0.15:
        picture = picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.3, 1.2) * picture.width / 160))
    if chance.random() < 0.5:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=chance.randint(30, 95))
        picture = Image.open(file).convert("RGB")
    return picture


def fitted(picture, boxes, w, h, letterbox):
    """Planes of bytes (3, h, w), boxes as label, middle, size in the network's pixels."""
    left = top = 0
    inner_w, inner_h = w, h
    if letterbox:
        ratio = min(w / picture.width, h / picture.height)
        inner_w, inner_h = int(picture.width * ratio), int(picture.height * ratio)
        left, top = (w - inner_w) // 2, (h - inner_h) // 2
    scale = np.array([inner_w / picture.width, inner_h / picture.height] * 2, np.float32)
    out = np.full((h, w, 3), 128, np.uint8)
    out[top:top + inner_h, left:left + inner_w] = picture.resize((inner_w, inner_h), Image.BILINEAR)
    corners = boxes[:, 1:] * scale + np.array([left, top] * 2, np.float32)
    middle, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    return out.transpose(2, 0, 1), np.concatenate([boxes[:, :1], middle, size], 1)


class Pool:
    """Scenes at the network's size, some of them drawn anew each step."""
    def __init__(self, scenes, size, seed):
        self.scenes, self.size, self.chance = scenes, size, random.Random(seed)
        self.images = np.empty((POOL, 3, size, size), np.uint8)
        self.boxes = [None] * POOL
        self.drawn = 0
        for _ in range(POOL):
            self.draw()

    def draw(self):
        side = 112 * (420 / 112) ** self.chance.random()
        aspect = 2 ** self.chance.uniform(-0.5, 0.5)  # 1:2 to 2:1
        rgb, boxes = self.scenes.draw(self.drawn, int(side * aspect), int(side / aspect))
        at = self.drawn % POOL
        self.images[at], self.boxes[at] = fitted(worn(Image.fromarray(rgb), self.chance), boxes, self.size, self.size,
                                                 self.chance.random() < 0.3)
        self.drawn += 1

    def batch(self):
        """Images (n, 3, h, w) in 0 to 1; boxes as rows of picture, label, middle, size."""
        for _ in range(REFRESH):
            self.draw()
        chosen = self.chance.sample(range(POOL), BATCH)
        images = torch.from_numpy(self.images[chosen]).float() / 255
        rows = []
        for i, at in enumerate(chosen):
            boxes = self.boxes[at].copy()
            if self.chance.random() < 0.5:
                images[i] = images[i].flip(2)
                boxes[:, 1] = self.size - boxes[:, 1]
            light, contrast = self.chance.uniform(-0.1, 0.1), self.chance.uniform(0.75, 1.25)
            images[i] = ((images[i] - 0.5) * contrast + 0.5 + light).clamp(0, 1)
            rows.append(np.concatenate([np.full((len(boxes), 1), i, np.float32), boxes], 1))
        return images, torch.from_numpy(np.concatenate(rows))


class Trained(Darknet):
    """Keeps what the heads get."""
    def forward(self, x):
        self.raw = []
        return super().forward(x)

    def decode(self, x, o):
        self.raw.append((x, o))
        return super().decode(x, o)


def overlap(a, b):
    """(n, 4), (m, 4) of middle, size -> (n, m)"""
    low = torch.maximum((a[:, :2] - a[:, 2:] / 2)[:, None], (b[:, :2] - b[:, 2:] / 2)[None])
    high = torch.minimum((a[:, :2] + a[:, 2:] / 2)[:, None], (b[:, :2] + b[:, 2:] / 2)[None])
    both = (high - low).clamp(min=0).prod(2)
    return both / (a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None] - both + 1e-9)


def shape_overlap(size, anchor):
    both = torch.minimum(size[:, None], anchor[None]).prod(2)
    return both / (size.prod(1)[:, None] + anchor.prod(1)[None] - both)


def loss_of(network, out, truth):
    """Sums over boxes, a picture."""
    n = out.shape[0]
    every = torch.tensor([a for _, o in network.raw for a in anchors(o)])
    best = shape_overlap(truth[:, 4:], every).argmax(1)
    far = torch.ones(out.shape[:2], dtype=torch.bool)  # from every figure: there is none
    with torch.no_grad():
        for i in range(n):
            mine = truth[truth[:, 0] == i][:, 2:]
            far[i] = overlap(out[i, :, :4].detach(), mine).max(1)[0] < 0.5
    total, first, first_box = 0, 0, 0
    for x, o in network.raw:
        chosen = torch.tensor(anchors(o))
        a, h, w = len(chosen), *x.shape[2:]
        x = x.view(n, a, -1, h, w).permute(0, 1, 3, 4, 2)
        mine = (best >= first) & (best < first + a)
        t, b = truth[mine], best[mine] - first
        stride = torch.tensor([network.width / w, network.height / h])
        at = t[:, 2:4] / stride
        cell = at.long().clamp(min=0)
        cell = torch.minimum(cell, torch.tensor([w - 1, h - 1]))
        index = (t[:, 0].long(), b, cell[:, 1], cell[:, 0])
        p = x[index]
        weight = 2 - t[:, 4] * t[:, 5] / (network.width * network.height)
        middle = F.binary_cross_entropy_with_logits(p[:, :2], at - cell, reduction="none").sum(1)
        size = ((p[:, 2:4] - torch.log(t[:, 4:] / chosen[b])) ** 2).sum(1)
        label = F.one_hot(t[:, 1].long(), p.shape[1] - 5).float()
        total = total + ((middle + 2 * size) * weight).sum()
        total = total + F.binary_cross_entropy_with_logits(p[:, 5:], label, reduction="sum")
        wanted = torch.zeros(x.shape[:4])
        wanted[index] = 1
        counts = far[:, first_box:first_box + a * h * w].view(n, a, h, w).float()
        counts[index] = 2  # so that objectness is sure of itself: the program's threshold is 0.95
        total = total + (F.binary_cross_entropy_with_logits(x[..., 4], wanted, reduction="none") * counts).sum()
        first, first_box = first + a, first_box + a * h * w
    return total / n


def found(out, limit, nms=0.3):
    """Rows of score, label, middle, size of one picture: the program's suppression without its merging."""
    out = out[out[:, 4] >= limit]
    score, label = out[:, 5:].max(1)
    rows = torch.cat([(out[:, 4] * score)[:, None], label[:, None].float(), out[:, :4]], 1)
    rows = rows[rows[:, 0].argsort(descending=True)]
    kept = []
    while len(rows):
        kept.append(rows[0])
        same = (rows[:, 1] == rows[0, 1]) & (overlap(rows[:1, 2:], rows[:, 2:])[0] > nms)
        rows = rows[~same]
    return kept


def measure(network, images, boxes, limit=0.95):
    """Recall and precision at an overlap of a half."""
    network.eval()
    right = told = there = 0
    with torch.no_grad():
        out = torch.cat([network(torch.from_numpy(part).float() / 255) for part in np.array_split(images, 8)])
    for i in range(len(images)):
        truth = torch.from_numpy(boxes[i])
        free = [True] * len(truth)
        there += len(truth)
        for row in found(out[i], limit):
            told += 1
            for j, t in enumerate(truth):
                if free[j] and t[0] == row[1] and overlap(row[None, 2:], t[None, 1:])[0, 0] > 0.5:
                    free[j] = False
                    right += 1
                    break
    network.train()
    return right / there, right / max(told, 1)


def save(network, path):
    """darknet's .weights: of each convolution bias, then batch-norm's scale, mean and variance, then the kernel."""
    with open(path + ".new", "wb") as f:
        np.array([0, 2, 0, 0, 0], "<i4").tofile(f)
        for module in network.module_list:
            if not len(module):
                continue
            conv = module[0]
            parts = [conv.bias]
            if len(module) > 1:
                norm = module[1]  # PyTorch adds eps to the variance, darknet 1e-6 to its root
                variance = (torch.sqrt(norm.running_var + norm.eps) - 1e-6) ** 2
                parts = [norm.bias, norm.weight, norm.running_mean, variance]
            for part in (*parts, conv.weight):
                part.detach().numpy().astype("<f4").tofile(f)
    os.replace(path + ".new", path)


def program_found(program, folder, words):
    """Of each picture in the folder, by its number: rows of score, label, corners."""
    call = [program, "infer", "--model", "shapes-yolo", "--images", folder, "--inferences", "0", "--json", "--quiet"]
    lines = subprocess.run(call + words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [[(b["objectness"] * b["class_score"], b["class"], b["x1"], b["y1"], b["x2"], b["y2"])
             for b in json.loads(line)["boxes"]] for line in lines[:-1]]


def matched(told, truth):
    """(score, label, right) of each box of all pictures, the likeliest first: each figure is found once."""
    rows = []
    for boxes, figures in zip(told, truth):
        free = [True] * len(figures)
        for score, label, *corners in sorted(boxes, reverse=True):
            best, at = 0.5, -1
            for j, (want, x1, y1, x2, y2) in enumerate(figures):
                both = max(0, min(x2, corners[2]) - max(x1, corners[0])) * \
                    max(0, min(y2, corners[3]) - max(y1, corners[1]))
                every = (x2 - x1) * (y2 - y1) + (corners[2] - corners[0]) * (corners[3] - corners[1]) - both
                if free[j] and want == label and both / every >= best:
                    best, at = both / every, j
            if at >= 0:
                free[at] = False
            rows.append((score, label, at >= 0))
    return sorted(rows, reverse=True)


def average_precision(rows, there):
    """The area under precision over recall, precision made to fall (as PASCAL VOC has it since 2010)."""
    right = np.cumsum([r[2] for r in rows])
    precision = np.maximum.accumulate((right / np.arange(1, len(rows) + 1))[::-1])[::-1] if rows else np.zeros(0)
    return float(sum(p for p, r in zip(precision, rows) if r[2])) / there


def measure_program(words):
    scenes, truth = Scenes(words.seed), []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(words.scenes):
            rgb, boxes = scenes.draw(HELD_OUT + i, *scenes.size(HELD_OUT + i))
            Image.fromarray(rgb).save(f"{folder}/{i:05d}.{'jpg' if i % 2 else 'png'}", quality=60)
            truth.append(boxes)
        told = matched(program_found(words.measure, folder, words.arguments), truth)
        every = matched(program_found(words.measure, folder, words.arguments + ["--conf", "0.01"]), truth)
    with open("models/shapes-yolo.names") as f:
        names = f.read().split()
    there = np.bincount(np.concatenate(truth)[:, 0].astype(int), minlength=len(names))
    right, ap = sum(r[2] for r in told), []
    print(f"{words.scenes} scenes, {there.sum()} figures; {len(told)} boxes, {right} of them right: "
          f"recall {right / there.sum():.4f}, precision {right / len(told):.4f}")
    for i, name in enumerate(names):
        ap.append(average_precision([r for r in every if r[1] == i], there[i]))
        found_of = sum(r[2] for r in told if r[1] == i)
        print(f"  {name:9} {found_of} of {there[i]} found, {sum(r[1] == i for r in told)} boxes, AP@0.5 {ap[-1]:.4f}")
    print(f"mAP@0.5 {np.mean(ap):.4f}")


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n")[3])
    words.add_argument("--measure", metavar="PROGRAM")
    words.add_argument("--scenes", type=int, default=500)
    words.add_argument("arguments", nargs="*")
    words.add_argument("--steps", type=int, default=2500)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--threads", type=int, default=2)
    words.add_argument("--out", default="models/shapes-yolo.weights")
    words = words.parse_args()
    if words.measure:
        measure_program(words)
        return
    torch.set_num_threads(words.threads)
    torch.manual_seed(words.seed)
    with open("models/shapes-yolo.cfg") as f:
        network = Trained(f.read())
    for p in network.parameters():
        if p.dim() > 1:
            torch.nn.init.kaiming_normal_(p, a=0.1)
    for module, (kind, _) in zip(network.module_list[1:], network.layers[1:]):
        if kind == "convolutional" and len(module) == 1:  # a head: few of its boxes hold a figure
            torch.nn.init.normal_(module[0].weight, 0, 0.01)
            torch.nn.init.zeros_(module[0].bias)
            module[0].bias.data.view(-1, 15)[:, 4] = -5
    scenes, start = Scenes(words.seed), time.time()
    held = [scenes.draw(HELD_OUT + i, 320, 320) for i in range(200)]
    held = [fitted(Image.fromarray(rgb), boxes, network.width, network.height, False) for rgb, boxes in held]
    held = np.stack([image for image, _ in held]), [boxes for _, boxes in held]
    pool = Pool(scenes, network.width, words.seed)
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {POOL} scenes drawn in "
          f"{time.time() - start:.0f} s", flush=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1, (i + 1) / WARM_UP) *
                                                 (0.5 + 0.5 * math.cos(math.pi * i / words.steps)))
    network.train()
    mean = None
    for step in range(1, words.steps + 1):
        images, truth = pool.batch()
        loss = loss_of(network, network(images), truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 50)
        optimizer.step()
        schedule.step()
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0 or step == words.steps:
            line = f"step {step}, loss {mean:.3f}, {time.time() - start:.0f} s"
            if step % 250 == 0 or step == words.steps:
                recall, precision = measure(network, *held)
                line += f"; of 200 held-out scenes: recall {recall:.3f}, precision {precision:.3f}"
                save(network, words.out)
            print(line, flush=True)


if __name__ == "__main__":
    main()
