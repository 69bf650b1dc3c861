"""Boxes from raw predictions, for comparing the engine's with others': the original's suppression in PyTorch, darknet's
own, and thresholds that roundings do not cross."""
import json

import numpy as np
import torch

import weightfile

# Of a picture 416 pixels wide, 1e-4. Where boxes agree that much, so does all that they were chosen by.
PIXELS_LIMIT = 0.05


def overlaps(one, boxes, edge=1):
    """Intersection over union of one box with many. The original counts corners as pixels: edge 1; darknet does not."""
    low, high = torch.maximum(one[:2], boxes[:, :2]), torch.minimum(one[2:4], boxes[:, 2:4])
    both = (high - low + edge).clamp(min=0).prod(1)
    area = (one[2:4] - one[:2] + edge).prod(), (boxes[:, 2:4] - boxes[:, :2] + edge).prod(1)
    return both / (area[0] + area[1] - both + 1e-16)


def candidates(raw, conf):
    """Rows of x1 y1 x2 y2 objectness class-score class with enough objectness, likeliest first."""
    raw = raw[raw[:, 4] >= conf]
    score, kind = raw[:, 5:].max(1)
    rows = torch.cat([raw[:, :2] - raw[:, 2:4] / 2, raw[:, :2] + raw[:, 2:4] / 2, raw[:, 4:5], score[:, None],
                      kind[:, None].to(raw.dtype)], 1)
    return rows[(-rows[:, 4] * rows[:, 5]).argsort()]


def suppressed(raw, conf, nms, edge=1):
    """What the original keeps: the likeliest box takes in those of its class that overlap it, and becomes their mean,
    weighted by objectness; and so on."""
    left, kept = candidates(raw, conf), []
    while len(left):
        one = (left[:, 6] == left[0, 6]) & (overlaps(left[0], left, edge) > nms)
        one[0] = True
        weight, first = left[one, 4:5], left[0].clone()
        first[:4] = (weight * left[one, :4]).sum(0) / weight.sum()
        kept.append(first)
        left = left[~one]
    return torch.stack(kept).numpy()


def gap(values, low, high):
    """The middle of the widest gap between values from low to high, and its width."""
    values = np.sort(np.concatenate([[low, high], values[(values > low) & (values < high)]]))
    widest = int(np.argmax(np.diff(values)))
    return float(values[widest:widest + 2].mean()), float(np.diff(values)[widest])


def thresholds(raw, keep, least=1e-5):
    """conf that leaves about `keep` boxes, nms near 0.3, both as far from any value as can be, `least` at least."""
    ranked = raw[:, 4].sort(descending=True).values.numpy()
    conf, room = gap(ranked, ranked[keep + keep // 4], ranked[keep - keep // 4])
    rows = candidates(raw, conf)
    same = [overlaps(r, rows[i + 1:])[rows[i + 1:, 6] == r[6]] for i, r in enumerate(rows)]
    nms, more_room = gap(torch.cat(same).numpy(), 0.25, 0.35)
    if min(room, more_room) < 2 * least:
        raise ValueError(f"thresholds {conf} and {nms} are within {min(room, more_room):.1e} of a value")
    return conf, nms


def product_threshold(raw, keep):
    """darknet's, on objectness times a class's score, that leaves about `keep`, far from any value."""
    products = np.sort((raw[:, 4:5] * raw[:, 5:]).max(1))[::-1]
    conf, room = gap(products, products[keep + keep // 4], products[keep - keep // 4])
    if room < 2e-5:
        raise ValueError(f"threshold {conf} is within {room:.1e} of a value")
    return conf


def common_nms(raw, conf):
    """An nms at which the original and darknet, which count overlaps differently, keep the same boxes; of one class."""
    for nms in np.linspace(0.2, 0.7, 51):
        theirs, ours = suppressed(raw, conf, nms, edge=0), suppressed(raw, conf, nms)
        if len(theirs) == len(ours) and (theirs[:, 4:] == ours[:, 4:]).all():
            return float(nms)
    raise ValueError("no threshold suits both ways to suppress")


def detect(c, cfg, weights, picture, conf, nms, *words, role="aio"):
    """What `infer` says to a picture: rows as candidates(), in the picture's pixels; and the raw predictions."""
    out = c.path("predictions.safetensors")
    text = c.run("infer", "--role", role, "--model", cfg, "--weights", weights, "--images", picture, "--inferences", 1,
                 "--conf", repr(conf), "--nms", repr(nms), "--json", "--output", out, "--quiet", "--no-monitor", *words)
    keys = ("x1", "y1", "x2", "y2", "objectness", "class_score", "class")
    found = [[b[k] for k in keys] for b in json.loads(text.splitlines()[0])["boxes"]]
    return np.array(found).reshape(-1, 7), weightfile.load(out)["predictions"][0].copy()


def agree(got, want, pixels=PIXELS_LIMIT, scores=1e-4):
    """Each box of one side has one of the other: of the same class, places and scores as near as that."""
    if len(got) != len(want):
        raise ValueError(f"{len(got)} boxes, wanted {len(want)}")
    apart = np.abs(got[:, None, :6] - want[None, :, :6])
    apart[..., 4:6] *= pixels / scores
    apart = apart.max(2)
    apart[got[:, None, 6] != want[None, :, 6]] = np.inf
    nearest = apart.argmin(1)
    if len(set(nearest)) != len(want):
        raise ValueError("two boxes are like one of the other side")
    worst = float(apart.min(1).max())
    if not worst <= pixels:
        raise ValueError(f"a box is {worst:.2g} pixels off, or its scores as far, wanted {pixels} at most")
    return f"{len(want)} boxes, worst {worst:.1e} px"


def enough(before, after):
    if not (after >= 10 and before >= after + 10):
        raise ValueError(f"{before} boxes became {after}: this shows nothing")


def clipped(rows, width, height):
    rows = rows.astype(np.float64)
    rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, width)
    rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, height)
    return rows


def darknet_boxes(c, cfg, weights, picture, size, classes, conf, nms):
    """darknet's boxes of a picture (width, height), rows as candidates(), those of which no class is left dropped;
    and its raw numbers."""
    c.call(c.path("darknet_detect"), cfg, weights, picture, repr(conf), repr(nms), c.path("out.f32"),
           c.path("boxes.f32"))
    rows = np.fromfile(c.path("boxes.f32"), np.float32).reshape(-1, 5 + classes).astype(np.float64)
    rows = rows[rows[:, 5:].max(1) > 0]
    middle, half = rows[:, :2] * size, rows[:, 2:4] * size / 2
    best = rows[:, 5:].argmax(1)
    score = rows[:, 5:].max(1) / rows[:, 4]
    corners = np.concatenate([middle - half, middle + half], 1)
    rows = np.concatenate([corners, rows[:, 4:5], score[:, None], best[:, None]], 1)
    return clipped(rows, *size), np.fromfile(c.path("out.f32"), np.float32)
