"""safetensors in numpy: enough to exchange weights with the engine where the package is missing."""
import json
import struct

import numpy as np

DTYPE = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}  # the second: batch-norm's counter of batches


def load(path):
    """name -> array, in the file's order."""
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(size))
    data = np.memmap(path, np.uint8, "c", 8 + size)
    out = {}
    for name, t in head.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            out[name] = data[begin:end].view(DTYPE[t["dtype"]]).reshape(t["shape"])
    return out


def save(path, arrays):
    head, at = {}, 0
    for name, a in arrays.items():
        dtype = next(d for d in DTYPE if DTYPE[d] == a.dtype)
        head[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            np.ascontiguousarray(a).tofile(f)
