"""datasets/scene.c from Python: pictures with figures on them, and where those are."""
import ctypes
import os
import subprocess
import tempfile

import numpy as np

MAX_BOXES = 7
HELD_OUT = 1 << 31  # scenes of these numbers are shown and measured with, never trained on


class Picture(ctypes.Structure):
    _fields_ = [("w", ctypes.c_int), ("h", ctypes.c_int), ("rgb", ctypes.c_void_p)]


class Box(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("label", "x1", "y1", "x2", "y2")]


class Scenes:
    """Of one seed. Wants a C compiler, and the repository's root as the working folder."""
    def __init__(self, seed):
        self.seed = ctypes.c_uint64(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "scene.so")
            subprocess.run([os.environ.get("CC", "gcc"), "-O3", "-shared", "-fPIC", "-I.", "-o", path,
                            "datasets/scene.c", "datasets/figures.c", "-lm"], check=True)
            self.library = ctypes.CDLL(path)

    def size(self, number):
        w, h = ctypes.c_int(), ctypes.c_int()
        self.library.scene_size(ctypes.c_uint32(number), ctypes.byref(w), ctypes.byref(h))
        return w.value, h.value

    def draw(self, number, w, h):
        """Bytes (h, w, 3), and of its figures (n, 5): label, corners in pixels."""
        rgb, boxes = np.empty((h, w, 3), np.uint8), (Box * MAX_BOXES)()
        n = self.library.scene_draw(ctypes.byref(Picture(w, h, rgb.ctypes.data)), boxes, self.seed,
                                    ctypes.c_uint32(number))
        return rgb, np.array([[b.label, b.x1, b.y1, b.x2, b.y2] for b in boxes[:n]], np.float32)
