"""The data sets that both sides read: FashionMNIST as published, and a small CIFAR-10 in the published binary form."""
import gzip
import os

import numpy as np

FASHION = "/usr/share/datasets/fashion-mnist"  # Debian's dataset-fashion-mnist
CIFAR_MEAN, CIFAR_DEVIATION = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
TRAIN, TEST = 320, 64


def idx(path, skip):
    with gzip.open(path) as f:
        return np.frombuffer(f.read(), np.uint8, offset=skip)


def fashion(split):
    """images (n, 1, 28, 28) in [0, 1], labels (n)"""
    prefix = os.path.join(FASHION, "train" if split == "train" else "t10k")
    images = idx(prefix + "-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return images.astype(np.float32) / np.float32(255), idx(prefix + "-labels-idx1-ubyte.gz", 8).astype(np.int64)


def write_cifar(folder, seed=1):
    """TRAIN and TEST pictures in the files of CIFAR-10's binary version: a pattern for each class, and noise."""
    draw = np.random.RandomState(seed)
    pattern = draw.uniform(40, 215, (10, 3, 32, 32))
    folder = os.path.join(folder, "cifar-10-batches-bin")
    os.makedirs(folder)
    files = [(f"data_batch_{i}.bin", TRAIN // 5) for i in range(1, 6)] + [("test_batch.bin", TEST)]
    for name, count in files:
        labels = draw.randint(0, 10, count)
        images = np.clip(pattern[labels] + draw.normal(0, 40, (count, 3, 32, 32)), 0, 255).astype(np.uint8)
        records = np.concatenate([labels[:, None].astype(np.uint8), images.reshape(count, -1)], axis=1)
        records.tofile(os.path.join(folder, name))


def cifar(folder, split):
    """images (n, 3, 32, 32) normalised, labels (n)"""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    records = np.concatenate([np.fromfile(os.path.join(folder, "cifar-10-batches-bin", n), np.uint8) for n in names])
    records = records.reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / np.float32(255)
    images -= np.float32(CIFAR_MEAN).reshape(1, 3, 1, 1)
    images /= np.float32(CIFAR_DEVIATION).reshape(1, 3, 1, 1)
    return images, records[:, 0].astype(np.int64)
