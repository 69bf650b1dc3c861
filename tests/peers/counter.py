"""Philox4x32-10 in numpy, as base/rng.h defines it: both sides of a comparison draw weights, inputs and
labels by the same formula, so that no file has to carry them."""
import numpy as np

RNG_TEST = 4  # enum rng_purpose
BLOCKS = 1 << 18  # at a time: what stays in cache


def blocks(seed, purpose, layer, step, first, count):
    """(count, 4) words: blocks first .. first + count of the stream (seed, purpose, layer, step)."""
    low, m0, m1 = np.uint64(0xFFFFFFFF), np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    number = np.arange(first, first + count, dtype=np.uint64)
    c0, c1 = number & low, number >> np.uint64(32)
    c2 = np.full(count, purpose << 24 | layer, np.uint64)
    c3 = np.full(count, step, np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & low, \
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


assert [hex(w) for w in blocks(0, 0, 0, 0, 0, 1)[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def words(seed, layer, step, count):
    """The first count words of the test stream."""
    out = np.empty(count, np.uint32)
    for at in range(0, count, 4 * BLOCKS):
        n = min(4 * BLOCKS, count - at)
        out[at:at + n] = blocks(seed, RNG_TEST, layer, step, at // 4, (n + 3) // 4).reshape(-1)[:n]
    return out


def uniform(seed, layer, step, shape, scale):
    """scale * (2 u - 1) in float32, one rounding: the same bits as in C."""
    u = (words(seed, layer, step, int(np.prod(shape))) >> np.uint32(8)).astype(np.float32) * np.float32(2.0 ** -24)
    u *= np.float32(2)
    u -= np.float32(1)
    u *= np.float32(scale)
    return u.reshape(shape)


def levels(seed, layer, step, shape, n):
    """Whole numbers 0 .. n-1 as float32: ties on purpose."""
    return (words(seed, layer, step, int(np.prod(shape))) % np.uint32(n)).astype(np.float32).reshape(shape)


def labels(seed, layer, step, count, classes):
    return (words(seed, layer, step, count) % np.uint32(classes)).astype(np.int64)
