"""The text of darknet's .cfg of yolov3 and yolov3-tiny: from Debian's package darknet where it is installed, else
yolov3's written out here, since its shape is regular. `python3 tests/peers/yolo_cfg.py` compares the two."""
import os
import sys

import yolo_torch

FOLDER = "/usr/share/darknet/cfg"
ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"


def conv(filters, size, stride=1):
    return (f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
            "activation=leaky\n")


def head(filters, mask):
    """Five convolutions, the sixth before the boxes, the boxes."""
    five = "".join(conv(filters, 1) + conv(2 * filters, 3) for _ in range(3))
    return (five + "[convolutional]\nsize=1\nstride=1\npad=1\nfilters=255\nactivation=linear\n"
            f"[yolo]\nmask={mask}\nanchors={ANCHORS}\nclasses=80\nnum=9\n")


def written_out():
    text = "[net]\nwidth=416\nheight=416\nchannels=3\n" + conv(32, 3)
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        text += conv(filters, 3, 2)
        text += (conv(filters // 2, 1) + conv(filters, 3) + "[shortcut]\nfrom=-3\nactivation=linear\n") * blocks
    text += head(512, "6,7,8")
    for filters, mask, joins in ((256, "3,4,5", 61), (128, "0,1,2", 36)):
        text += f"[route]\nlayers=-4\n{conv(filters, 1)}[upsample]\nstride=2\n[route]\nlayers=-1,{joins}\n"
        text += head(filters, mask)
    return text


def text(name, side):
    path = f"{FOLDER}/{name}.cfg"
    if name == "yolov3" and not os.path.exists(path):
        return yolo_torch.resized(written_out(), side)
    with open(path) as f:
        return yolo_torch.resized(f.read(), side)


def main():
    """What a section says that is no word of training must be the same."""
    with open(f"{FOLDER}/yolov3.cfg") as f:
        theirs = yolo_torch.sections(f.read())
    ours = yolo_torch.sections(written_out())
    if len(ours) != len(theirs):
        sys.exit(f"{len(ours)} sections, darknet's file has {len(theirs)}")
    for i, ((name, options), (other, wanted)) in enumerate(zip(ours, theirs)):
        if name != other or any(wanted.get(key) != value for key, value in options.items() if i):
            sys.exit(f"section {i}: {name} {options}, darknet's is {other} {wanted}")
    print(f"{len(ours)} sections are darknet's")


if __name__ == "__main__":
    main()
