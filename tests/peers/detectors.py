"""The engine's darknet models beside darknet itself (Debian's package) and PyTorch: same .cfg, same weights, same
numbers in. From .safetensors it must say what PyTorch says, from .weights what darknet says; the two differ by
batch-norm's epsilon. Called by compare.py."""
import os
import struct
import subprocess
import zlib

import numpy as np
import torch

import weightfile
import yolo_torch

CFG_FOLDER = "/usr/share/darknet/cfg"
INCLUDE, LIBRARY = "/usr/lib/darknet/include", "/usr/lib/darknet"
TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
# NMSE of all boxes against PyTorch; against darknet each value, relative where it is above 1.
# Random networks this deep blow roundings up: PyTorch's own results are 1e-10 (NMSE) from those in double.
OUTPUT_LIMIT, DARKNET_LIMIT = 1e-8, 1e-4

TRAINED_CFG = """
[net]
batch=4
subdivisions=2
width=64
height=96
channels=3
momentum=0.9
decay=0.0005
learning_rate=0.001
burn_in=5
max_batches=40
policy=steps
steps=100
scales=.1
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=8
activation=leaky
[convolutional]
batch_normalize=1
filters=16
size=3
pad=1
activation=leaky
[shortcut]
from=-3
activation=linear
[maxpool]
size=2
stride=1
[convolutional]
filters=16
activation=linear
[yolo]
mask=2,3
anchors=6,8, 12,10, 20,30, 40,36
classes=3
num=4
random=0
[route]
layers=-3
[upsample]
stride=2
[route]
layers=-1,1
[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=relu
[convolutional]
filters=16
activation=linear
[yolo]
mask=0,1
anchors=6,8, 12,10, 20,30, 40,36
classes=3
num=4
random=0
"""


def available():
    return os.path.exists(os.path.join(INCLUDE, "darknet.h")) and os.path.exists(os.path.join(CFG_FOLDER, "yolov3.cfg"))


def call(*words, folder=None):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=900, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()[-300:]}")


def build_darknet_tool(c):
    call(os.environ.get("CC", "cc"), "-O2", f"-I{INCLUDE}", "-o", c.path("darknet_predict"),
         os.path.join(TOOLS, "darknet_predict.c"), f"-L{LIBRARY}", "-ldarknet", f"-Wl,-rpath,{LIBRARY}", "-lm")


def floats(c, program, cfg, weights, pictures):
    """What a program says to these pictures, all its numbers in a row."""
    pictures.numpy().tofile(c.path("in.f32"))
    call(program, cfg, weights, c.path("in.f32"), c.path("out.f32"))
    return np.fromfile(c.path("out.f32"), np.float32)


def ours(c, cfg, weights, pictures):
    tool = os.path.join(os.path.dirname(os.path.abspath(c.engine)), "release", "tests", "tools", "predict")
    return floats(c, tool, cfg, weights, pictures)


def darknets(c, cfg, weights, pictures, network):
    """darknet's own boxes of one picture, laid out as ours. Its layers hold everything but widths and heights as
    sigmoids already."""
    raw, boxes = floats(c, c.path("darknet_predict"), cfg, weights, pictures).astype(np.float64), []
    for h, w, options in network.grids:
        chosen = np.array(yolo_torch.anchors(options))
        head, raw = np.split(raw, [len(chosen) * (5 + int(options["classes"])) * h * w])
        head = head.reshape(len(chosen), -1, h, w).transpose(0, 2, 3, 1).copy()
        head[..., 0] = (head[..., 0] + np.arange(w)) * (network.width / w)
        head[..., 1] = (head[..., 1] + np.arange(h)[:, None]) * (network.height / h)
        head[..., 2:4] = np.exp(head[..., 2:4]) * chosen[:, None, None, :]
        boxes.append(head.reshape(-1, head.shape[-1]))
    if raw.size:
        raise ValueError(f"darknet says {raw.size} numbers more than its heads hold")
    return np.concatenate(boxes)


def some_pictures(n, height, width, seed):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, height // 8, width // 8, generator=g)
    return (0.7 * torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear") +
            0.3 * torch.rand(n, 3, height, width, generator=g))


def within(value, limit, what):
    if not value <= limit:
        raise ValueError(f"{what} {value:.2g}, wanted {limit:.0e} at most")
    return f"{what} {value:.1e}"


def spread(boxes):
    """That there is something to compare: objectness and places differ from box to box."""
    if not (np.isfinite(boxes).all() and np.ptp(boxes[..., 4]) > 0.2):
        raise ValueError("the boxes are all alike: this shows nothing")


def as_network_says(boxes):
    """Pixels back to the network's own scale: places in the smallest cells, sizes as exponents."""
    boxes = boxes.astype(np.float64)
    boxes[..., :2] /= 8
    boxes[..., 2:4] = np.log(boxes[..., 2:4])
    return boxes


def against_darknet(got, want):
    spread(want)
    got, want = as_network_says(got.reshape(want.shape)), as_network_says(want)
    worst = np.max(np.abs(got - want) / np.maximum(1, np.abs(want)))
    return within(float(worst), DARKNET_LIMIT, "worst")


def compare_published(c, name, size):
    """A .cfg that darknet's authors published, at another size, with random weights."""
    with open(os.path.join(CFG_FOLDER, f"{name}.cfg")) as f:
        text = yolo_torch.resized(f.read(), size)
    cfg, start, weights = c.path(f"{name}.cfg"), c.path("start.safetensors"), c.path("start.weights")
    with open(cfg, "w") as f:
        f.write(text)
    network = yolo_torch.lively(yolo_torch.Darknet(text), 3, some_pictures(2, size, size, 5))
    weightfile.save(start, {k: v.numpy() for k, v in network.state_dict().items()})
    pictures = some_pictures(1, size, size, 6)

    def torch_agrees():
        with torch.no_grad():
            want = network(pictures).numpy()
        spread(want)
        got = ours(c, cfg, start, pictures).reshape(want.shape).astype(np.float64)
        return within(float(((got - want) ** 2).sum() / (want.astype(np.float64) ** 2).sum()), OUTPUT_LIMIT, "NMSE")

    def darknet_agrees():
        c.run("convert", start, weights, "--model", cfg)
        return against_darknet(ours(c, cfg, weights, pictures), darknets(c, cfg, weights, pictures, network))

    c.row(f"{name} {size}x{size}: boxes as PyTorch's", torch_agrees)
    if available():
        c.row(f"{name} {size}x{size}: boxes as darknet's", darknet_agrees)


def png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_training_set(c, count, h, w):
    """Coloured boxes on noise, as darknet wants them on disk."""
    r = np.random.RandomState(1)
    for name in ("images", "labels", "backup"):
        os.makedirs(c.path(name), exist_ok=True)
    for i in range(count):
        pixels, labels = r.randint(0, 120, (h, w, 3)).astype(np.uint8), []
        for kind in r.randint(0, 3, 2):
            bw, bh = r.randint(8, 24, 2)
            x, y = r.randint(0, w - bw), r.randint(0, h - bh)
            pixels[y:y + bh, x:x + bw] = 40
            pixels[y:y + bh, x:x + bw, kind] = 255
            labels.append(f"{kind} {(x + bw / 2) / w} {(y + bh / 2) / h} {bw / w} {bh / h}\n")
        png(c.path(f"images/{i}.png"), pixels)
        with open(c.path(f"labels/{i}.txt"), "w") as f:
            f.writelines(labels)
    with open(c.path("train.txt"), "w") as f:
        f.writelines(f"{c.path(f'images/{i}.png')}\n" for i in range(count))
    with open(c.path("names"), "w") as f:
        f.write("red\ngreen\nblue\n")
    with open(c.path("training.data"), "w") as f:
        f.write(f"classes=3\ntrain={c.path('train.txt')}\nnames={c.path('names')}\nbackup={c.path('backup')}\n")


def compare_trained(c):
    """Weights that darknet trained and wrote; and ours of them, which darknet reads."""
    cfg, theirs, again = c.path("trained.cfg"), c.path("backup/trained_final.weights"), c.path("again.weights")
    with open(cfg, "w") as f:
        f.write(TRAINED_CFG)
    network = yolo_torch.Darknet(TRAINED_CFG)
    pictures = some_pictures(1, 96, 64, 7)

    def trained_agrees():
        write_training_set(c, 8, 96, 64)
        call("darknet", "detector", "train", c.path("training.data"), cfg, folder=c.folder)
        network.eval()(pictures)
        return against_darknet(ours(c, cfg, theirs, pictures), darknets(c, cfg, theirs, pictures, network))

    def written_again():
        c.run("convert", theirs, c.path("again.safetensors"), "--model", cfg)
        c.run("convert", c.path("again.safetensors"), again, "--model", cfg)
        with open(theirs, "rb") as f, open(again, "rb") as g:
            if f.read()[20:] != g.read()[20:]:  # the header says how many pictures darknet had seen
                raise ValueError("the bytes of the weights differ")
        from_safetensors = ours(c, cfg, c.path("again.safetensors"), pictures)
        if from_safetensors.tobytes() != ours(c, cfg, theirs, pictures).tobytes():
            raise ValueError("the converted file says something else")
        return against_darknet(from_safetensors, darknets(c, cfg, again, pictures, network))

    if c.row("a network that darknet trained: boxes as darknet's", trained_agrees):
        c.row("the same by .safetensors and back, read by darknet", written_again)


def run(c):
    if not available():
        print("     no darknet here (Debian's package): the detectors are not compared")
        return
    build_darknet_tool(c)
    compare_published(c, "yolov3-tiny", 416)
    compare_published(c, "yolov3-spp", 160)
    compare_published(c, "yolov3", 160)
    compare_trained(c)
