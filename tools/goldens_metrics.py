"""Goldens of crates/metrics/tests/distances.rs: distances between feature sets, by NumPy, SciPy and prdc.

    pip install numpy scipy scikit-learn prdc
    python tools/goldens_metrics.py > crates/metrics/goldens/distances.txt

The sets are drawn by SplitMix64, as `stats::Random` does, so that they need not be committed: the test draws the same
bits. One line a figure: set pair, figure, value. `frechet` takes the trace of the root as the nuclear norm of the
centred samples, a singular value decomposition of its own; `frechet_sqrtm` as pytorch-fid and torch-fidelity do, by
scipy.linalg.sqrtm of the product of the covariances, whose deviation is so on record for sets of less than full rank.
"""
import numpy as np
import scipy.linalg
import prdc



def splitmix(seed, count):
    i = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + i * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / (1 << 53)


def drawn(seed, n, d, scale, shift, kind):
    z = splitmix(seed, n * d).reshape(n, d)
    j = np.arange(d)
    x = scale * (z[:, j] + 0.7 * z[:, (7 * j + 1) % d]) + shift * (j % 3)
    if kind == "whole":
        x = np.floor(4 * z)
    if kind == "flat":  # the upper half of the features are sums of two of the lower half
        half = d // 2
        x[:, half:] = x[:, np.arange(half, d) % half] + x[:, (np.arange(half, d) * 3 + 1) % half]
    if kind == "dead":
        x[:, ::4] = 0.0
    return x


def frechet_parts(a, b):
    fa, fb = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return fa, fb, mean + (fa**2).sum() + (fb**2).sum()


def frechet(a, b):
    fa, fb, rest = frechet_parts(a, b)
    return rest - 2 * np.linalg.svd(fa @ fb.T, compute_uv=False).sum()


def frechet_sqrtm(a, b):
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    return frechet_parts(a, b)[2] - 2 * np.trace(np.real(root))


def kid(a, b):
    k = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
    n, m = len(a), len(b)
    own = lambda x, n: (k(x, x).sum() - np.trace(k(x, x))) / (n * (n - 1))
    return own(a, n) + own(b, m) - 2 * k(a, b).mean()


def closed(a, b, k):
    """The conventions of Kynkaanniemi et al.: distance <= radius."""
    square = lambda x, y: ((x[:, None] - y[None]) ** 2).sum(-1)
    radius = lambda x: np.sort(square(x, x), 1)[:, k]
    ab = square(a, b)
    precision = (ab <= radius(a)[:, None]).any(0).mean()
    return precision, (ab.T <= radius(b)[:, None]).any(0).mean(), (ab <= radius(a)[:, None])


# seed, n, d, scale, shift, kind of either set
CASES = {
    "full": ((1, 500, 64, 1.0, 0.0, ""), (2, 400, 64, 1.1, 0.05, "")),
    "wide": ((3, 40, 96, 1.0, 0.0, ""), (4, 60, 96, 0.9, 0.1, "")),
    "mixed": ((5, 30, 48, 1.0, 0.0, ""), (6, 300, 48, 1.2, 0.0, "")),
    "far": ((7, 300, 32, 1.0, 0.0, ""), (8, 300, 32, 1.0, 300.0, "")),
    "flat": ((9, 400, 40, 1.0, 0.0, "flat"), (10, 300, 40, 1.0, 0.1, "flat")),
    "half-flat": ((9, 400, 40, 1.0, 0.0, "flat"), (11, 300, 40, 1.0, 0.1, "")),
    "dead": ((12, 200, 32, 1.0, 0.0, "dead"), (13, 200, 32, 1.5, 0.0, "dead")),
    "whole": ((14, 200, 6, 1.0, 0.0, "whole"), (15, 150, 6, 1.0, 0.0, "whole")),
}

if __name__ == "__main__":
    print("# tools/goldens_metrics.py; numpy", np.__version__, "scipy", scipy.__version__, "prdc 0.2")
    for name, (first, second) in CASES.items():
        a, b = drawn(*first), drawn(*second)
        print(name, "frechet", repr(float(frechet(a, b))))
        print(name, "frechet_sqrtm", repr(float(frechet_sqrtm(a, b))))
        print(name, "kid", repr(float(kid(a, b))))
        for k in (3, 5):
            found = prdc.compute_prdc(real_features=a, fake_features=b, nearest_k=k)
            for key in ("precision", "recall", "density", "coverage"):
                print(name, f"open_{key}_{k}", repr(float(found[key])))
            precision, recall, inside = closed(a, b, k)
            print(name, f"closed_precision_{k}", repr(float(precision)))
            print(name, f"closed_recall_{k}", repr(float(recall)))
            print(name, f"closed_density_{k}", repr(float(inside.sum(0).mean() / k)))
            print(name, f"closed_coverage_{k}", repr(float(inside.any(1).mean())))
