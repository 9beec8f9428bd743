"""Time of Frechet distance, KID, precision and recall by torch-fidelity, and of density and coverage by prdc, on given
features: those that `cargo run --release -p ganymede-metrics --example speed` draws and scores.

    pip install torch torchvision numpy scikit-learn prdc torch-fidelity
    python benches/peers/scores_peer.py [--samples 10000] [--dimensions 2048] [--only fid,kid,prc,prdc] [--f64]

Features are f32, as extractors give them. `--f64` gives them as f64, which is what the other side computes in. The functions
are those that the programs call on features; each prints wall and processor seconds.
"""
import argparse
import resource
import time

import numpy as np
import torch


def splitmix(seed, first, count):
    i = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + i * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / (1 << 53)


def drawn(seed, n, d, scale):
    out = np.empty((n, d), np.float32)
    j = np.arange(d)
    for first in range(0, n, 500):
        rows = min(500, n - first)
        z = splitmix(seed, first * d, rows * d).reshape(rows, d)
        out[first : first + rows] = scale * (z + 0.7 * z[:, (7 * j + 1) % d])
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--only", default="fid,kid,prc,prdc")
    parser.add_argument("--f64", action="store_true")
    options = parser.parse_args()
    real = drawn(1, options.samples, options.dimensions, 1.0)
    generated = drawn(2, options.samples, options.dimensions, 1.05)
    if options.f64:
        real, generated = real.astype(np.float64), generated.astype(np.float64)
    a, b = torch.from_numpy(real), torch.from_numpy(generated)

    def fid():
        from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

        return fid_statistics_to_metric(fid_features_to_statistics(b), fid_features_to_statistics(a), False)

    def kid():
        from torch_fidelity.metric_kid import kid_features_to_metric

        return kid_features_to_metric(b, a, kid_subsets=100, kid_subset_size=1000, kid_kernel="poly",
                                      kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1,
                                      rng_seed=2020, verbose=False)

    def prc():
        from torch_fidelity.metric_prc import prc_features_to_metric

        return prc_features_to_metric(b, a, prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=False,
                                      verbose=False)

    def prdc():
        from prdc import compute_prdc

        return compute_prdc(real, generated, nearest_k=5)

    wall, busy = 0.0, 0.0
    for name in options.only.split(","):
        compute = {"fid": fid, "kid": kid, "prc": prc, "prdc": prdc}[name]
        began, usage = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        found = compute()
        now, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        spent = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
        wall, busy = wall + ended - began, busy + spent
        print(f"{name:6} {ended - began:8.2f} s wall {spent:8.2f} s of processors  {found}", flush=True)
    print(f"{'all':6} {wall:8.2f} s wall {busy:8.2f} s of processors")


if __name__ == "__main__":
    main()
