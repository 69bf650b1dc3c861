"""darknet's detectors in PyTorch, from the text of a .cfg, with the names of PyTorch-YOLOv3's state_dict: what the
engine's darknet models are compared with. Max-pools are padded as darknet pads them."""
import torch
import torch.nn.functional as F
from torch import nn

ACTIVATION = {"leaky": lambda x: F.leaky_relu(x, 0.1), "linear": lambda x: x, "relu": F.relu,
              "logistic": torch.sigmoid}


def sections(text):
    """[(name, {key: value})], the first is net."""
    found = []
    for line in text.splitlines():
        line = line.split("#")[0].split(";")[0].replace(" ", "").strip()
        if line.startswith("["):
            found.append((line[1:-1], {}))
        elif line:
            key, value = line.split("=")
            found[-1][1][key] = value
    return found


def resized(text, size):
    """The same network for other pictures."""
    lines = [f"{line.split('=')[0]}={size}" if line.split("=")[0].strip() in ("width", "height") else line
             for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def ints(options, key):
    return [int(v) for v in options[key].split(",")]


def anchors(options):
    flat = [float(v) for v in options["anchors"].split(",")]
    every = list(zip(flat[::2], flat[1::2]))
    return [every[i] for i in (ints(options, "mask") if "mask" in options else range(len(every)))]


class Darknet(nn.Module):
    def __init__(self, text):
        super().__init__()
        (_, net), *self.layers = sections(text)
        self.height, self.width, channels = int(net["height"]), int(net["width"]), int(net.get("channels", 3))
        self.module_list, widths = nn.ModuleList(), []
        for i, (kind, o) in enumerate(self.layers):
            module = nn.Sequential()
            if kind == "convolutional":
                size, normal = int(o.get("size", 1)), int(o.get("batch_normalize", 0))
                padding = size // 2 if int(o.get("pad", 0)) else int(o.get("padding", 0))
                filters = int(o["filters"])
                module.add_module(f"conv_{i}", nn.Conv2d(channels, filters, size, int(o.get("stride", 1)), padding,
                                                         bias=not normal))
                if normal:
                    module.add_module(f"batch_norm_{i}", nn.BatchNorm2d(filters, eps=1e-5))
                channels = filters
            elif kind == "route":
                channels = sum(widths[i + n if n < 0 else n] for n in ints(o, "layers"))
            self.module_list.append(module)
            widths.append(channels)

    def decode(self, x, o):
        """(n, anchors (5 + classes), h, w) -> (n, boxes, 5 + classes), in pixels."""
        chosen = torch.tensor(anchors(o), dtype=x.dtype)
        n, _, h, w = x.shape
        x = x.view(n, len(chosen), -1, h, w).permute(0, 1, 3, 4, 2)
        cell = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1).to(x.dtype)
        stride = torch.tensor([self.width / w, self.height / h], dtype=x.dtype)
        middle = (torch.sigmoid(x[..., :2]) + cell) * stride
        return torch.cat([middle, torch.exp(x[..., 2:4]) * chosen.view(1, -1, 1, 1, 2), torch.sigmoid(x[..., 4:])],
                         -1).reshape(n, -1, x.shape[-1])

    def forward(self, x):
        outputs, heads, self.grids = [], [], []  # grids: (h, w, options) of each head
        for i, (kind, o) in enumerate(self.layers):
            if kind == "convolutional":
                x = ACTIVATION[o.get("activation", "logistic")](self.module_list[i](x))
            elif kind == "maxpool":
                stride = int(o.get("stride", 1))
                size = int(o.get("size", stride))
                total = int(o.get("padding", size - 1))
                around = (total // 2, total - total // 2)
                x = F.max_pool2d(F.pad(x, around + around, value=-float("inf")), size, stride)
            elif kind == "upsample":
                x = F.interpolate(x, scale_factor=int(o.get("stride", 2)), mode="nearest")
            elif kind == "route":
                x = torch.cat([outputs[i + n if n < 0 else n] for n in ints(o, "layers")], 1)
            elif kind == "shortcut":
                x = ACTIVATION[o.get("activation", "linear")](x + outputs[i + int(o["from"])])
            elif kind == "yolo":
                heads.append(self.decode(x, o))
                self.grids.append((*x.shape[2:], o))
            outputs.append(x)
        return torch.cat(heads, 1) if heads else x


def lively(network, seed, pictures):
    """Random weights with the batch-norm statistics that these pictures make: signals stay of one size through all
    layers, and boxes depend on the picture."""
    torch.manual_seed(seed)
    for name, p in network.named_parameters():
        if p.dim() > 1:
            nn.init.kaiming_normal_(p, a=0.1)
        elif "batch_norm" in name and name.endswith("weight"):
            nn.init.uniform_(p, 0.3, 0.7)
        else:
            nn.init.uniform_(p, -0.5, 0.5)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for m in norms:
        m.momentum = 1.0
    with torch.no_grad():
        network.train()(pictures)
    for m in norms:
        m.momentum = 0.1
    return network.eval()
