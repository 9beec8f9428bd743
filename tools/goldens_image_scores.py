"""Goldens of crates/metrics/tests/images.rs: scores of pairs and patches of images.

    pip install numpy scipy torch pytorch-msssim
    python tools/goldens_image_scores.py > crates/metrics/goldens/images.txt

Images are drawn by SplitMix64, as the test draws them. `ssim` is pytorch-msssim's, grey images of 176 pixels, 5 scales;
of the others the definition written out with scipy.ndimage: the Gaussian of pixels within the window, one scale after the
other. `sliced` are the distances of Karras et al. 2018 at each level, times 1000, on patches at the places, and onto the
directions, that the test draws.
"""
import numpy as np
import scipy.ndimage
import torch
from goldens_metrics import splitmix
from pytorch_msssim import ms_ssim

POWERS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def images(seed, n, h, w, c):
    """Waves with noise, 0 to 255, in f32."""
    z = splitmix(seed, n * h * w * c).reshape(n, h, w, c)
    y, x = np.mgrid[0:h, 0:w]
    wave = (((3 * y + 5 * x)[None, :, :, None] + 17 * np.arange(n)[:, None, None, None]) % 32) / 32
    return np.floor(255 * (0.5 * wave + 0.5 * z)).astype(np.float32)


def similarity(a, b, scales):
    """Of images [h, w, c]."""
    powers = POWERS[:scales] * POWERS.sum() / POWERS[:scales].sum()
    a, b, product = a.astype(np.float64), b.astype(np.float64), 1.0
    for scale in range(scales):
        size = min(11, *a.shape[:2])
        i = np.arange(size) - (size - 1) / 2
        g = np.exp(-(i**2) / (2 * (1.5 * size / 11) ** 2))
        window = np.outer(g, g) / np.outer(g, g).sum()
        views = lambda x: np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))
        mean = lambda x: (views(x) * window).sum((-1, -2))
        ma, mb = mean(a), mean(b)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        structure = (2 * (mean(a * b) - ma * mb) + c2) / (mean(a * a) - ma**2 + mean(b * b) - mb**2 + c2)
        whole = (2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * structure
        factor = whole.mean() if scale == scales - 1 else structure.mean()
        product *= max(factor, 0) ** powers[scale]
        half = lambda x: (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
        if scale < scales - 1:
            a, b = half(a), half(b)
    return product


class Words:
    """SplitMix64 one word after the other, and what crates/metrics makes of them."""

    def __init__(self, seed):
        self.seed, self.at = seed, 0

    def take(self, count):
        i = np.arange(self.at + 1, self.at + count + 1, dtype=np.uint64)
        self.at += count
        with np.errstate(over="ignore"):
            z = np.uint64(self.seed) + i * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return z ^ (z >> np.uint64(31))

    def below(self, count, bounds):
        words = [int(w) for w in self.take(count)]
        return np.array([(w * bounds[i % len(bounds)]) >> 64 for i, w in enumerate(words)])

    def normals(self, count):
        u = (self.take(2 * count) >> np.uint64(11)).astype(np.float64) / 2**53
        return np.sqrt(-2 * np.log(1 - u[::2])) * np.cos(2 * np.pi * u[1::2])


def pyramid(x, levels):
    taps = np.array([1, 4, 6, 4, 1]) / 16
    filtered = lambda x: scipy.ndimage.convolve(x, np.outer(taps, taps)[None, :, :, None], mode="mirror")
    x, found = x.astype(np.float64), []
    for _ in range(levels - 1):
        down = filtered(x)[:, ::2, ::2]
        up = np.zeros_like(x)
        up[:, ::2, ::2] = 4 * down
        found.append((x - filtered(up)).astype(np.float32))
        x = down
    return found + [x.astype(np.float32)]


def sliced(a, b, levels, patches, directions, seed):
    words = Words(seed)
    for la, lb in zip(pyramid(a, levels), pyramid(b, levels)):
        sets = []
        for x in (la, lb):
            n, h, w, c = x.shape
            at = words.below(2 * n * patches, (h - 6, w - 6)).reshape(-1, 2)
            patch = np.array([x[i // patches, y : y + 7, z : z + 7] for i, (y, z) in enumerate(at)], np.float64)
            patch = (patch - patch.mean((0, 1, 2))) / patch.std((0, 1, 2))
            sets.append(patch.reshape(len(patch), -1))
        d = sets[0].shape[1]
        to = words.normals(d * directions).reshape(directions, d).T  # column by column
        to = to / np.sqrt((to**2).sum(0))
        yield 1e3 * np.abs(np.sort(sets[0] @ to, 0) - np.sort(sets[1] @ to, 0)).mean()


if __name__ == "__main__":
    print("# tools/goldens_image_scores.py; pytorch-msssim 1.0.0, scipy", scipy.__version__)
    a, b = images(301, 1, 176, 176, 1), images(302, 1, 176, 176, 1)
    grey = [torch.from_numpy(x.astype(np.float64).transpose(0, 3, 1, 2)) for x in (a, b)]
    # Its own window is of f32.
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = torch.from_numpy(g / g.sum()).reshape(1, 1, 1, 11)
    print("ssim grey-176", repr(float(ms_ssim(*grey, data_range=255, win=window))))
    print("ssim-numpy grey-176", repr(float(similarity(a[0], b[0], 5))))
    for name, (h, w, c), scales in (("rgb-32", (32, 32, 3), 5), ("grey-28", (28, 28, 1), 3), ("rgb-48x20", (48, 20, 3), 3)):
        a, b = images(303, 1, h, w, c), images(304, 1, h, w, c)
        print("ssim-numpy", name, repr(float(similarity(a[0], b[0], scales))))
    for name, (h, w, c), levels in (("rgb-64", (64, 64, 3), 3), ("grey-28", (28, 28, 1), 1), ("rgb-32x48", (32, 48, 3), 2)):
        a, b = images(305, 12, h, w, c), images(306, 12, h, w, c)
        for level, value in enumerate(sliced(a, b, levels, 16, 24, 307)):
            print("sliced", f"{name}-{level}", repr(float(value)))
