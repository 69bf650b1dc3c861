"""The engine's darknet models beside darknet itself (Debian's package) and PyTorch: same .cfg, same weights, same
numbers in. From .safetensors it must say what PyTorch says, from .weights what darknet says; the two differ by
batch-norm's epsilon. Called by compare.py."""
import os
import struct
import zlib

import numpy as np
import torch

import boxes
import scenes
import weightfile
import yolo_torch

CFG_FOLDER = "/usr/share/darknet/cfg"
INCLUDE, LIBRARY = "/usr/lib/darknet/include", "/usr/lib/darknet"
TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools", "darknet_detect.c")
# NMSE of all boxes against PyTorch; of each value against both, relative where it is above 1.
# Random networks this deep blow roundings up: PyTorch's own results are 1e-10 (NMSE) from those in double.
OUTPUT_LIMIT, VALUE_LIMIT = 1e-8, 1e-4
KEEP = 400  # boxes of each picture, about, that are left to suppress
ALL = 0.999999  # --nms under which boxes are suppressed by themselves alone

# Half precision on the wire: a relative error of 5e-4 in each value that crosses, so fewer boxes, further apart.
HALF_LIMIT, HALF_KEEP, HALF_ROOM = 1e-5, 20, 2e-4

# A head of TRAINED_CFG; of the anchors it is told which are its own.
HEAD = """[convolutional]
filters=16
activation=linear
[yolo]
mask={}
anchors=6,8, 12,10, 20,30, 40,36
classes=3
num=4
jitter=0
random=0
"""

TRAINED_CFG = """
[net]
batch=4
subdivisions=2
width=64
height=96
channels=3
momentum=0.9
decay=0.0005
learning_rate=0.002
burn_in=100
max_batches=300
policy=steps
steps=1000
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
activation=relu
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
""" + HEAD.format("2,3") + """[route]
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
activation=leaky
""" + HEAD.format("0,1")


def available():
    return os.path.exists(os.path.join(INCLUDE, "darknet.h")) and os.path.exists(os.path.join(CFG_FOLDER, "yolov3.cfg"))


def build_darknet_tool(c):
    c.call(os.environ.get("CC", "cc"), "-O2", f"-I{INCLUDE}", "-o", c.path("darknet_detect"), TOOL, f"-L{LIBRARY}",
           "-ldarknet", f"-Wl,-rpath,{LIBRARY}", "-lm")


def laid_out(raw, network):
    """darknet's numbers of one picture, laid out as ours. Its layers hold everything but widths and heights as
    sigmoids already."""
    raw, rows = raw.astype(np.float64), []
    for h, w, options in network.grids:
        chosen = np.array(yolo_torch.anchors(options))
        head, raw = np.split(raw, [len(chosen) * (5 + int(options["classes"])) * h * w])
        head = head.reshape(len(chosen), -1, h, w).transpose(0, 2, 3, 1).copy()
        head[..., 0] = (head[..., 0] + np.arange(w)) * (network.width / w)
        head[..., 1] = (head[..., 1] + np.arange(h)[:, None]) * (network.height / h)
        head[..., 2:4] = np.exp(head[..., 2:4]) * chosen[:, None, None, :]
        rows.append(head.reshape(-1, head.shape[-1]))
    if raw.size:
        raise ValueError(f"darknet says {raw.size} numbers more than its heads hold")
    return np.concatenate(rows)


def some_pixels(height, width, seed):
    """Large blots and noise."""
    r = np.random.RandomState(seed)
    coarse = r.randint(0, 256, (-(-height // 16), -(-width // 16), 3)).repeat(16, 0).repeat(16, 1)[:height, :width]
    return (0.7 * coarse + 0.3 * r.randint(0, 256, (height, width, 3))).astype(np.uint8)


def as_input(pixels):
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))


def within(value, limit, what):
    if not value <= limit:
        raise ValueError(f"{what} {value:.2g}, wanted {limit:.0e} at most")
    return f"{what} {value:.1e}"


def spread(rows):
    """That there is something to compare: objectness differs from box to box."""
    if not (np.isfinite(rows).all() and np.ptp(rows[..., 4]) > 0.02):
        raise ValueError("the boxes are all alike: this shows nothing")


def as_network_says(rows):
    """Pixels back to the network's own scale: places in the smallest cells, sizes as exponents."""
    rows = rows.astype(np.float64)
    rows[..., :2] /= 8
    rows[..., 2:4] = np.log(rows[..., 2:4])
    return rows


def close(got, want):
    spread(want)
    got, want = as_network_says(got), as_network_says(want)
    return within(float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want)))), VALUE_LIMIT, "worst")


class Published:
    """A .cfg that darknet's authors published, at the size that the original runs, with random weights."""
    SIZE, WIDE = 416, (500, 332)  # with borders of whole pixels: darknet halves odd ones on the way back alone

    def __init__(self, c, name, one_class=False):
        self.c, self.name = c, f"{name}{', one class' if one_class else ''} {self.SIZE}x{self.SIZE}"
        with open(os.path.join(CFG_FOLDER, f"{name}.cfg")) as f:
            text = yolo_torch.resized(f.read(), self.SIZE)
        if one_class:
            text = text.replace("classes=80", "classes=1").replace("filters=255", "filters=18")
        self.classes = 1 if one_class else 80
        self.cfg, self.start, self.weights = c.path(f"{name}.cfg"), c.path("start.safetensors"), c.path("start.weights")
        with open(self.cfg, "w") as f:
            f.write(text)
        self.network = yolo_torch.Darknet(text)
        yolo_torch.lively(self.network, 3, as_input(some_pixels(self.SIZE, self.SIZE, 1)))
        self.find_much(text)
        weightfile.save(self.start, {k: v.numpy() for k, v in self.network.state_dict().items()})
        self.square, self.wide = c.path("square.png"), c.path("wide.png")
        png(self.square, some_pixels(self.SIZE, self.SIZE, 6))
        png(self.wide, some_pixels(*self.WIDE[::-1], 7))

    def find_much(self, text):
        """Many boxes pass a high threshold, and a few classes win most of them: there is much to suppress."""
        kinds = [kind for kind, _ in yolo_torch.sections(text)[1:]]
        for i in (i - 1 for i, kind in enumerate(kinds) if kind == "yolo"):
            bias = self.network.module_list[i][0].bias.data.view(-1, 5 + self.classes)
            bias[:, 4] += 1
            bias[:, 5:8] += 3

    def torch_says(self):
        with torch.no_grad():
            return self.network(as_input(some_pixels(self.SIZE, self.SIZE, 6)))[0]

    def compare_with_torch(self):
        want = self.torch_says()

        def raw():
            got = boxes.detect(self.c, self.cfg, self.start, self.square, 0.5, 0.3)[1].astype(np.float64)
            far = want.numpy().astype(np.float64)
            nmse = float(((got - far) ** 2).sum() / (far ** 2).sum())
            return f"{within(nmse, OUTPUT_LIMIT, 'NMSE')}, {close(got, far)}"

        def suppressed():
            conf, nms = boxes.thresholds(want, KEEP)
            left = boxes.clipped(boxes.suppressed(want, conf, nms), self.SIZE, self.SIZE)
            before = len(boxes.candidates(want, conf))
            boxes.enough(before, len(left))
            got = boxes.detect(self.c, self.cfg, self.start, self.square, conf, nms)[0]
            return f"{before} became {boxes.agree(got, left)}"

        self.c.row(f"{self.name}: raw predictions as PyTorch's", raw)
        self.c.row(f"{self.name}: boxes as PyTorch's after the original's suppression", suppressed)

    def compare_half_precision(self):
        """Half of the bytes across the wire, at the default cut: other last digits, the same boxes."""
        def half():
            want = self.torch_says()
            conf, nms = boxes.thresholds(want, HALF_KEEP, HALF_ROOM)
            left = boxes.clipped(boxes.suppressed(want, conf, nms), self.SIZE, self.SIZE)
            words = "--model", self.cfg, "--weights", self.start
            with self.c.serving("infer", *words) as worker:
                got, raw = boxes.detect(self.c, self.cfg, self.start, self.square, conf, nms, "--upstream", worker,
                                        "--wire-dtype", "f16", "--answer", "raw", role="client")
            far = want.numpy().astype(np.float64)
            nmse = float(((raw - far) ** 2).sum() / (far ** 2).sum())
            return f"{within(nmse, HALF_LIMIT, 'NMSE')}, {boxes.agree(got, left, pixels=4, scores=0.004)}"

        self.c.row(f"{self.name}: split, half precision on the wire", half)

    def compare_with_darknet(self):
        """The whole way of a picture that is not square: its file, the letterbox, the boxes on it."""
        c, state = self.c, {}
        c.run("convert", self.start, self.weights, "--model", self.cfg)

        def raw():
            state["ours"] = boxes.detect(c, self.cfg, self.weights, self.wide, 0.5, 0.3, "--letterbox")[1]
            conf = state["conf"] = boxes.product_threshold(state["ours"], KEEP)
            state["boxes"], numbers = boxes.darknet_boxes(c, self.cfg, self.weights, self.wide, self.WIDE,
                                                          self.classes, conf, 0)
            return close(state["ours"], laid_out(numbers, self.network))

        def on_the_picture():
            got = boxes.detect(c, self.cfg, self.weights, self.wide, state["conf"], ALL, "--letterbox")[0]
            got = got[got[:, 4] * got[:, 5] > state["conf"]]  # darknet wants that much of the product as well
            return boxes.agree(got, state["boxes"])

        if c.row(f"{self.name}: raw predictions of a picture as darknet's", raw):
            c.row(f"{self.name}: all boxes on it as darknet's", on_the_picture)

    def compare_suppression_with_darknet(self):
        """Where there is one class, and the two ways to count overlaps make no difference, darknet keeps what we keep;
        it moves no corners."""
        c = self.c

        def suppressed():
            raw = boxes.detect(c, self.cfg, self.weights, self.square, 0.5, 0.3)[1]
            conf = boxes.product_threshold(raw, KEEP)
            want = torch.from_numpy(raw[raw[:, 4] * raw[:, 5] > conf])
            nms = boxes.common_nms(want, conf)
            theirs, _ = boxes.darknet_boxes(c, self.cfg, self.weights, self.square, (self.SIZE, self.SIZE), 1, conf, nms)
            ours = boxes.detect(c, self.cfg, self.weights, self.square, conf, nms)[0]
            ours = ours[ours[:, 4] * ours[:, 5] > conf]
            boxes.enough(len(want), len(theirs))
            scores = [np.sort(r[:, 4] * r[:, 5]) for r in (ours, theirs)]
            if len(ours) != len(theirs):
                raise ValueError(f"{len(ours)} boxes are left, darknet leaves {len(theirs)}")
            return within(float(np.abs(scores[0] - scores[1]).max()), VALUE_LIMIT, f"{len(ours)} boxes, scores worst")

        c.run("convert", self.start, self.weights, "--model", self.cfg)
        c.row(f"{self.name}: darknet's suppression leaves the same boxes", suppressed)


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
    picture, size = c.path("images/0.png"), (64, 96)
    network.eval()(torch.zeros(1, 3, *size[::-1]))

    def both_say(weights):
        """What they say to a picture of the training set; and the likeliest boxes, however sure."""
        conf = boxes.product_threshold(boxes.detect(c, cfg, weights, picture, 0.5, ALL, "--letterbox")[1], 8)
        found, numbers = boxes.darknet_boxes(c, cfg, weights, picture, size, 3, conf, 0)
        got, raw = boxes.detect(c, cfg, weights, picture, conf, ALL, "--letterbox")
        text = close(raw, laid_out(numbers, network))
        got = got[got[:, 4] * got[:, 5] > conf]
        return f"{text}, {boxes.agree(got, found)}"

    def trained_agrees():
        write_training_set(c, 8, *size[::-1])
        c.call("darknet", "detector", "train", c.path("training.data"), cfg, folder=c.folder)
        return both_say(theirs)

    def written_again():
        c.run("convert", theirs, c.path("again.safetensors"), "--model", cfg)
        c.run("convert", c.path("again.safetensors"), again, "--model", cfg)
        with open(theirs, "rb") as f, open(again, "rb") as g:
            if f.read()[20:] != g.read()[20:]:  # the header says how many pictures darknet had seen
                raise ValueError("the bytes of the weights differ")
        says = [boxes.detect(c, cfg, w, picture, 0.1, ALL)[1].tobytes() for w in (c.path("again.safetensors"), theirs)]
        if says[0] != says[1]:
            raise ValueError("the converted file says something else")
        return both_say(again)

    if c.row("a network that darknet trained: boxes as darknet's", trained_agrees):
        c.row("the same by .safetensors and back, read by darknet", written_again)


def compare_shipped(c):
    """shapes-yolo's own weights, as trained by scripts/train_shapes_yolo.py, on a scene that it never saw."""
    cfg, weights, picture, size = "models/shapes-yolo.cfg", "models/shapes-yolo.weights", c.path("scene.png"), (480, 320)

    def both_say():
        with open(cfg) as f:
            network = yolo_torch.Darknet(f.read())
        network.eval()(torch.zeros(1, 3, network.height, network.width))
        pixels, figures = scenes.Scenes(1).draw(scenes.HELD_OUT + 7, *size)
        png(picture, pixels)
        found, numbers = boxes.darknet_boxes(c, cfg, weights, picture, size, 10, 0.5, 0)
        got, raw = boxes.detect(c, cfg, weights, picture, 0.5, ALL, "--letterbox")
        got = got[got[:, 4] * got[:, 5] > 0.5]
        if len(got) < len(figures):
            raise ValueError(f"{len(got)} boxes of {len(figures)} figures")
        return f"{close(raw, laid_out(numbers, network))}, {boxes.agree(got, found)}"

    c.row("shapes-yolo as it is shipped: boxes as darknet's", both_say)


def run(c):
    if not available():
        print("     no darknet here (Debian's package): the detectors are not compared")
        return
    build_darknet_tool(c)
    for name in ("yolov3-tiny", "yolov3-spp", "yolov3"):
        published = Published(c, name)
        published.compare_with_torch()
        published.compare_half_precision()
        published.compare_with_darknet()
    Published(c, "yolov3-tiny", one_class=True).compare_suppression_with_darknet()
    compare_trained(c)
    compare_shipped(c)
