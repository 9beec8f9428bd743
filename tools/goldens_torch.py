#!/usr/bin/env python3
"""Writes goldens of objectives and weight rules, computed by PyTorch in f64:

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/goldens_torch.py

crates/gan/goldens/objectives.txt: every loss and regularizer on a discriminator of two dense layers, with its gradients;
crates/nn/goldens/spectral_norm.txt: weights over their largest singular value as torch.nn.utils.spectral_norm has them.
Operands are drawn from a fixed seed and rounded to f32. Files are blocks of a header line `KIND NAME SHAPE..` and a line
of numbers.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

CRATES = pathlib.Path(__file__).resolve().parent.parent / "crates"
torch.set_default_dtype(torch.float64)


def block(kind, name, value):
    value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, np.float64)
    header = " ".join([kind, name, *map(str, value.shape)])
    return f"{header}\n{' '.join(repr(float(v)) for v in value.ravel())}\n"


def draws(seed):
    random = np.random.default_rng(seed)
    return lambda *shape: torch.from_numpy(np.float32(random.standard_normal(shape)).astype(np.float64))


# Losses: the discriminator's and the generator's, of logits.
def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


LOSSES = {
    "minimax": (lambda r, f: bce(r, 1) + bce(f, 0), lambda r, f: -bce(f, 0)),
    "non-saturating": (lambda r, f: bce(r, 1) + bce(f, 0), lambda r, f: bce(f, 1)),
    "least-squares": (
        lambda r, f: (F.mse_loss(r, torch.ones_like(r)) + F.mse_loss(f, torch.zeros_like(f))) / 2,
        lambda r, f: F.mse_loss(f, torch.ones_like(f)) / 2),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "hinge": (lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda r, f: -f.mean()),
    "relativistic-pairing": (lambda r, f: F.softplus(-(r - f)).mean(), lambda r, f: F.softplus(-(f - r)).mean()),
    "relativistic-average": (
        lambda r, f: bce(r - f.mean(), 1) + bce(f - r.mean(), 0),
        lambda r, f: bce(f - r.mean(), 1) + bce(r - f.mean(), 0)),
}


def slopes(d, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(d(x).sum(), x, create_graph=True)[0]


def norms(d, x):
    return (slopes(d, x).square().sum(1) + 1e-12).sqrt()


def between(p):
    return p["t"] * p["real"] + (1 - p["t"]) * p["fake"]


def averaged(old, share, logits):
    return ((0.99 * old + 0.01 * logits.mean()) / (0.99 * share + 0.01)).detach()


def lecam(d, p):
    real, fake = d(p["real"]), d(p["fake"])
    anchor_real, anchor_fake = averaged(p["real_mean"], p["real_share"], real), averaged(p["fake_mean"], p["fake_share"], fake)
    return (real - anchor_fake).square().mean() + (fake - anchor_real).square().mean()


def dragan(d, p):
    deviation = p["real"].std(unbiased=False)
    return (norms(d, p["real"] + p["t"] * 0.5 * deviation * p["noise"]) - 1).square().mean()


def orthogonal(d, p):
    total = 0
    for w in (p["w1"], p["w2"]):
        gram = w.T @ w
        total = total + (gram * (1 - torch.eye(w.shape[1]))).square().sum()
    return total


PENALTIES = {
    "gradient-penalty": lambda d, p: (norms(d, between(p)) - 1).square().mean(),
    "gradient-penalty-one-sided": lambda d, p: F.relu(norms(d, between(p)) - 1).square().mean(),
    "dragan": dragan,
    "r1": lambda d, p: slopes(d, p["real"]).square().sum(1).mean() / 2,
    "r2": lambda d, p: slopes(d, p["fake"]).square().sum(1).mean() / 2,
    "orthogonal": orthogonal,
    "lecam": lecam,
}


def path_length(p):
    styles = p["styles"].requires_grad_()
    fake = torch.tanh(styles @ p["g1"]) @ p["g2"]
    product = torch.autograd.grad((fake * p["y"]).sum(), styles, create_graph=True)[0]
    lengths = (product.square().sum(1) + 1e-12).sqrt()
    mean = ((0.99 * p["mean"] + 0.01 * lengths.mean()) / (0.99 * p["mean_share"] + 0.01)).detach()
    return (lengths - mean).square().mean()


def feature_matching(p):
    fake = torch.tanh(p["styles"] @ p["g1"]) @ p["g2"]
    return (p["real"].mean(0) - fake.mean(0)).square().sum()


GENERATOR_PENALTIES = {"path-length": path_length, "feature-matching": feature_matching}


def objectives():
    draw = draws(7)
    p = {"real": draw(4, 3), "fake": draw(4, 3) * 0.7, "w1": draw(3, 5), "b1": draw(5) * 0.3, "w2": draw(5, 1)}
    unit = lambda *shape: torch.from_numpy(np.float32(np.random.default_rng(8).random(shape)).astype(np.float64))  # noqa: E731
    p |= {"t": unit(4, 1), "noise": unit(4, 3) * 0.9, "real_mean": torch.tensor(0.25), "real_share": torch.tensor(0.5),
          "fake_mean": torch.tensor(-0.125), "fake_share": torch.tensor(0.375)}
    p["noise"] = torch.from_numpy(np.float32(p["noise"].numpy()).astype(np.float64))
    p["fake"] = torch.from_numpy(np.float32(p["fake"].numpy()).astype(np.float64))
    p["b1"] = torch.from_numpy(np.float32(p["b1"].numpy()).astype(np.float64))
    g = {"styles": draw(4, 2), "g1": draw(2, 4), "g2": draw(4, 3), "y": draw(4, 3), "mean": torch.tensor(0.5),
         "mean_share": torch.tensor(0.75)}
    text = f"# Made by tools/goldens_torch.py with PyTorch {torch.__version__} in f64.\n"
    text += "".join(block("input", k, v) for k, v in (p | g).items())
    weights = [p[k].requires_grad_() for k in ("w1", "b1", "w2")]

    def d(x):
        return (torch.tanh(x @ p["w1"] + p["b1"]) @ p["w2"])[:, 0]

    def add(kind, name, value, variables):
        nonlocal text
        gradients = torch.autograd.grad(value, variables, allow_unused=True)
        text += block(kind, name, value)
        for variable, gradient in zip(("w1", "b1", "w2") if len(variables) == 3 else ("g1", "g2"), gradients):
            text += block(f"{kind}-gradient", f"{name}/{variable}", torch.zeros(()) if gradient is None else gradient)

    for name, (of_d, of_g) in LOSSES.items():
        add("discriminator", name, of_d(d(p["real"]), d(p["fake"])), weights)
        add("generator", name, of_g(d(p["real"]), d(p["fake"])), weights)
    for name, penalty in PENALTIES.items():
        add("penalty", name, penalty(d, p), weights)
    makers = [g[k].requires_grad_() for k in ("g1", "g2")]
    for name, penalty in GENERATOR_PENALTIES.items():
        add("generator-penalty", name, penalty(p | g), makers)
    write("gan", "objectives", text)


def spectral_norm():
    draw = draws(9)
    text = f"# Made by tools/goldens_torch.py with PyTorch {torch.__version__} in f64.\n"
    modules = {
        # Ours from PyTorch's axes: [out, in] to [in, out], [O, I, H, W] to [H, W, I, O], and of a transposed
        # convolution [I, O, H, W] to [H, W, O, I].
        "dense": (torch.nn.Linear(4, 3, bias=False), (1, 0), (2, 4)),
        "conv": (torch.nn.Conv2d(2, 5, 3, bias=False), (2, 3, 1, 0), (1, 2, 4, 4)),
        "conv_transpose": (torch.nn.ConvTranspose2d(3, 4, 2, bias=False), (2, 3, 1, 0), (1, 3, 2, 2)),
    }
    for name, (module, order, shape) in modules.items():
        module.weight.data = draw(*module.weight.shape)
        torch.nn.utils.spectral_norm(module, n_power_iterations=2)
        u = draw(*module.weight_u.shape)
        module.weight_u.copy_(u)
        module.train()
        module(torch.zeros(shape))
        factor = draw(*module.weight.shape)
        gradient = torch.autograd.grad((module.weight * factor).sum(), module.weight_orig)[0]
        for kind, value in [("weight", module.weight_orig), ("factor", factor), ("normalized", module.weight),
                            ("gradient", gradient)]:
            text += block(kind, name, value.permute(order))
        text += block("u", name, u) + block("next-u", name, module.weight_u)
    write("nn", "spectral_norm", text)


def write(crate, name, text):
    folder = CRATES / crate / "goldens"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(text)
    print(f"{name}: {len(text) // 1024} KB")


if __name__ == "__main__":
    objectives()
    spectral_norm()
