"""Goldens of crates/metrics/tests/libraries.rs and examples/agreement.rs: scores of given features by the programs that
people use, torch-fidelity, clean-fid, pytorch-fid and prdc, each called as it is.

    pip install torch torchvision numpy scipy scikit-learn prdc torch-fidelity clean-fid pytorch-fid
    python tools/goldens_libraries.py crates/metrics/goldens/libraries.txt [CASE[:PART,..] ...]

Features are drawn by formula (goldens_metrics.drawn), so that results alone are committed; the cases named, or all, are
computed anew and the file's other lines stay. One line a figure: case, figure, value. Parts of a case: frechet,
torch_fidelity, clean_fid, pytorch_fid, kernel, neighbours.

`frechet` is the exact trace, as the nuclear norm of F1' F2 with F = X / sqrt(N - 1) the centred samples: by LAPACK's singular
values of R1 R2', where X = Q R. It shares nothing with the programs compared, and no covariance.
Subsets are drawn, and samples shuffled, by SplitMix64 in place of NumPy's generator, so that both sides have the same: the
programs' generators are replaced from outside.
"""
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from goldens_metrics import splitmix  # noqa: E402
import goldens_metrics  # noqa: E402

warnings.filterwarnings("ignore")
KERNEL_SEED, SHUFFLE_SEED = 0x6B65726E656C, 0x696E63657074


class Drawn:
    """What the programs ask of NumPy's generators, by SplitMix64."""

    def __init__(self, seed):
        self.seed, self.at = seed, 0

    def word(self):
        z = (self.seed + (self.at + 1) * 0x9E3779B97F4A7C15) % 2**64
        self.at += 1
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    def choice(self, total, count, replace):
        assert not replace
        places = list(range(total))
        for i in range(count):
            j = i + ((self.word() * (total - i)) >> 64)
            places[i], places[j] = places[j], places[i]
        return np.array(places[:count])

    def permutation(self, total):
        return self.choice(total, total, False)


def drawn(seed, n, d, scale, shift, kind):
    x = goldens_metrics.drawn(seed, n, d, scale, shift, "" if kind == "decay" else kind)
    if kind == "decay":  # variances over eight magnitudes, as of features that rarely fire
        x = x * 2.0 ** -(13 * np.arange(d) // d)
    return x


def exact(a, b):
    factors = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    ra, rb = (np.linalg.qr(f, "r") for f in factors)
    nuclear = np.linalg.svd(ra @ rb.T, compute_uv=False).sum()
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return mean + sum((f**2).sum() for f in factors) - 2 * nuclear


def statistics(a, b):
    from torch_fidelity.metric_fid import fid_features_to_statistics

    return [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]


def torch_fidelity(a, b):
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    return fid_statistics_to_metric(*statistics(a, b), False)[KEY_METRIC_FID]


def clean_fid(a, b):
    from cleanfid.fid import frechet_distance

    return frechet_distance(*(s[key] for s in statistics(a, b) for key in ("mu", "sigma")))


def pytorch_fid(a, b):
    from pytorch_fid.fid_score import calculate_frechet_distance

    return calculate_frechet_distance(*(s[key] for s in statistics(a, b) for key in ("mu", "sigma")))


def kernel(a, b, subsets, size):
    import cleanfid.fid
    import torch_fidelity.metric_kid as kid

    options = dict(kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1)
    options.update(kid_subsets=subsets, kid_subset_size=size, rng_seed=KERNEL_SEED, verbose=False)
    patched, kid.np = kid.np, Numpy(random=Numpy(RandomState=Drawn))
    found = kid.kid_features_to_metric(torch.from_numpy(a), torch.from_numpy(b), **options)
    kid.np = patched
    yield "kid_torch_fidelity", found[kid.KEY_METRIC_KID_MEAN]
    yield "kid_torch_fidelity_std", found[kid.KEY_METRIC_KID_STD]
    patched, cleanfid.fid.np = cleanfid.fid.np, Numpy(random=Drawn(KERNEL_SEED))
    # It draws from its second argument first.
    yield "kid_clean_fid", cleanfid.fid.kernel_distance(b, a, num_subsets=subsets, max_subset_size=size)
    cleanfid.fid.np = patched


class Numpy:
    """NumPy with some of its parts replaced."""

    def __init__(self, **parts):
        self.__dict__.update(parts)

    def __getattr__(self, name):
        return getattr(np, name)


def neighbours(a, b):
    import prdc
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, generated = torch.from_numpy(a), torch.from_numpy(b)
    for k in (3, 5):
        precision, recall = calculate_precision_recall_full(generated, real, k)
        yield f"torch_fidelity_precision_{k}", precision * 1.0
        yield f"torch_fidelity_recall_{k}", recall * 1.0
        for key, value in prdc.compute_prdc(a, b, nearest_k=k).items():
            yield f"prdc_{key}_{k}", value


# Seed, n, d, scale, shift, kind of either set; KID subsets and their size.
CASES = {
    "n500-d64": ((101, 500, 64, 1.0, 0.0, ""), (102, 500, 64, 1.1, 0.05, ""), 20, 200),
    "n2000-d256": ((103, 2000, 256, 1.0, 0.0, ""), (104, 1500, 256, 1.05, 0.02, ""), 10, 500),
    "n5000-d128": ((105, 5000, 128, 1.0, 0.0, ""), (106, 5000, 128, 1.0, 0.0, ""), 5, 1000),
    "n1500-d1024": ((107, 1500, 1024, 1.0, 0.0, ""), (108, 1200, 1024, 1.1, 0.05, ""), 5, 500),
    "n5000-d2048": ((109, 5000, 2048, 1.0, 0.0, ""), (110, 5000, 2048, 1.05, 0.02, ""), 5, 1000),
    "far-n500-d64": ((111, 500, 64, 1.0, 0.0, ""), (112, 500, 64, 1.0, 300.0, ""), 20, 200),
    "far-n1500-d512": ((113, 1500, 512, 1.0, 0.0, ""), (114, 1500, 512, 3.0, 40.0, ""), 5, 500),
    "decay-n2000-d256": ((115, 2000, 256, 1.0, 0.0, "decay"), (116, 2000, 256, 1.1, 0.05, "decay"), 10, 500),
    "few-n500-d2048": ((117, 500, 2048, 1.0, 0.0, ""), (118, 500, 2048, 1.1, 0.05, ""), 10, 200),
    "few-far-n500-d1024": ((119, 500, 1024, 1.0, 0.0, ""), (120, 600, 1024, 1.0, 10.0, ""), 10, 200),
    "one-few-n300-d512": ((121, 300, 512, 1.0, 0.0, ""), (122, 1500, 512, 1.1, 0.0, ""), 10, 200),
    "flat-n1000-d128": ((123, 1000, 128, 1.0, 0.0, "flat"), (124, 1000, 128, 1.1, 0.05, "flat"), 10, 200),
    "half-flat-n1000-d128": ((123, 1000, 128, 1.0, 0.0, "flat"), (125, 1000, 128, 1.1, 0.05, ""), 10, 200),
    "dead-n1000-d256": ((126, 1000, 256, 1.0, 0.0, "dead"), (127, 1000, 256, 1.1, 0.05, "dead"), 10, 200),
    "whole-n1000-d64": ((128, 1000, 64, 1.0, 0.0, "whole"), (129, 800, 64, 1.0, 0.0, "whole"), 10, 200),
}


DISTANCES = {"frechet": exact, "torch_fidelity": torch_fidelity, "clean_fid": clean_fid, "pytorch_fid": pytorch_fid}


def case(name, groups):
    first, second, subsets, size = CASES[name]
    a, b = drawn(*first), drawn(*second)
    for group in groups or [*DISTANCES, "kernel", "neighbours"]:
        if group == "kernel":
            yield from kernel(a, b, subsets, size)
        elif group == "neighbours":
            yield from neighbours(a, b)
        else:
            try:
                yield group, np.real(DISTANCES[group](a, b))
            except ValueError as error:  # of a root that has become complex
                print(name, group, error, file=sys.stderr)
                yield group, float("nan")


def inception():
    """torch-fidelity's score of logits `[1000, 10]` from 0 to 12, as given and shuffled."""
    import torch_fidelity.metric_isc as isc

    logits = torch.from_numpy(12 * splitmix(201, 1000 * 10).reshape(1000, 10))
    patched, isc.np = isc.np, Numpy(random=Numpy(RandomState=Drawn))
    for word, shuffle in (("given", False), ("shuffled", True)):
        for splits in (1, 10):
            found = isc.isc_features_to_metric(logits, splits, shuffle, rng_seed=SHUFFLE_SEED ^ 3)
            yield f"{word}_{splits}", found[isc.KEY_METRIC_ISC_MEAN]
            yield f"{word}_{splits}_std", found[isc.KEY_METRIC_ISC_STD]
    isc.np = patched


def main():
    path, wanted = Path(sys.argv[1]), sys.argv[2:] or [*CASES, "inception"]
    kept = {}
    if path.exists():
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                name, figure, value = line.split(" ")
                kept.setdefault(name, {})[figure] = value
    for name in wanted:
        name, _, groups = name.partition(":")
        figures = inception() if name == "inception" else case(name, groups.split(",") if groups else [])
        kept.setdefault(name, {}).update({figure: repr(float(value)) for figure, value in figures})
        print(name, groups, "done", file=sys.stderr, flush=True)
        head = "# tools/goldens_libraries.py; torch-fidelity 0.4.0, clean-fid 0.1.35, pytorch-fid 0.3.0, prdc 0.2"
        order = [n for n in [*CASES, "inception"] if n in kept]
        lines = [f"{n} {figure} {value}" for n in order for figure, value in kept[n].items()]
        path.write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main()
