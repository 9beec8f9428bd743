#!/usr/bin/env python3
"""Writes goldens of objectives and weight rules, computed by PyTorch in f64:

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/goldens_torch.py

crates/gan/goldens/objectives.txt: every loss and regularizer on a discriminator of two dense layers, with its gradients;
crates/gan/goldens/augmentations.txt: every augmentation on small images with given draws;
crates/nn/goldens/spectral_norm.txt: weights over their largest singular value as torch.nn.utils.spectral_norm has them.
Objectives on images and whole steps: goldens_images.py, which builds upon this.
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


def orthogonal(*weights):
    total = 0
    for w in weights:
        gram = w.T @ w
        total = total + (gram * (1 - torch.eye(w.shape[1]))).square().sum()
    return total


PENALTIES = {
    "gradient-penalty": lambda d, p: (norms(d, between(p)) - 1).square().mean(),
    "gradient-penalty-one-sided": lambda d, p: F.relu(norms(d, between(p)) - 1).square().mean(),
    "dragan": dragan,
    "r1": lambda d, p: slopes(d, p["real"]).square().sum(1).mean() / 2,
    "r2": lambda d, p: slopes(d, p["fake"]).square().sum(1).mean() / 2,
    "orthogonal": lambda d, p: orthogonal(p["w1"], p["w2"]),
    "lecam": lecam,
    "reconstruction": lambda d, p: (torch.tanh(p["real"] @ p["w1"] + p["b1"]) @ p["w1"].T - p["real"]).square().mean(),
    # The augmentation is the order of the coordinates turned round.
    "consistency": lambda d, p: (d(p["real"]) - d(p["real"].flip(1))).square().mean(),
    "balanced-consistency": lambda d, p: sum((d(x) - d(x.flip(1))).square().mean() for x in (p["real"], p["fake"])),
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


def guesses(p, samples):
    return torch.tanh(samples @ p["w1"] + p["b1"]) @ p["head"]


def classifier(d, p):
    classes = p["classes"].long()
    return F.cross_entropy(guesses(p, p["real"]), classes) + F.cross_entropy(guesses(p, p["fake"]), classes)


PENALTIES["auxiliary-classifier"] = classifier


def classified(p):
    return F.cross_entropy(guesses(p, torch.tanh(p["styles"] @ p["g1"]) @ p["g2"]), p["classes"].long())


GENERATOR_PENALTIES = {"path-length": path_length, "feature-matching": feature_matching, "auxiliary-classifier": classified,
                       "orthogonal": lambda p: orthogonal(p["g1"], p["g2"])}


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
    p |= {"head": draws(12)(5, 3), "classes": torch.tensor([0.0, 2.0, 1.0, 1.0])}
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


# Augmentations, sample by sample: x is [H, W, C], u and n are this sample's uniform and normal draws in order.
def shifted(x, rows, columns):
    """y[i, j] = x[i + rows, j + columns], beyond the edges reflected."""
    reach = max(abs(rows), abs(columns))
    wide = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return wide[reach + rows:reach + rows + x.shape[0], reach + columns:reach + columns + x.shape[1]]


def flip(x, u, n):
    return x[:, ::-1] if int(u[0] * 2) == 1 else x


def translation(x, u, n):
    moves = []
    for axis in range(2):
        most = int(x.shape[axis] * 0.125 + 0.5)
        moves.append(int(u[axis] * (2 * most + 1)) - most)
    wide = np.pad(x, ((4, 4), (4, 4), (0, 0)))
    return wide[4 + moves[0]:4 + moves[0] + x.shape[0], 4 + moves[1]:4 + moves[1] + x.shape[1]]


def cutout(x, u, n):
    hole = [int(side * 0.5 + 0.5) for side in x.shape[:2]]
    centre = [int(u[i] * (x.shape[i] + 1 - hole[i] % 2)) for i in range(2)]
    y = x.copy()
    (top, left) = [max(centre[i] - hole[i] // 2, 0) for i in range(2)]
    (bottom, right) = [centre[i] - hole[i] // 2 + hole[i] for i in range(2)]
    y[top:max(bottom, 0), left:max(right, 0)] = 0
    return y


def color(x, u, n):
    x, rest = x + (u[0] - 0.5), list(u[1:])
    if x.shape[2] > 1:
        grey = x.mean(2, keepdims=True)
        x = (x - grey) * (rest.pop(0) * 2) + grey
    return (x - x.mean()) * (rest[0] + 0.5) + x.mean()


def blit(x, u, n):
    x = x[:, ::-1] if int(u[0] * 2) == 1 else x
    # Half turns alone keep a rectangle's sides.
    x = np.rot90(x, -int(u[1] * 4)) if x.shape[0] == x.shape[1] else np.rot90(x, 2 * int(u[1] * 2))
    rows, columns = [int(np.floor((u[2 + i] * 2 - 1) * 0.125 * x.shape[i] + 0.5)) for i in range(2)]
    return shifted(x, rows, columns)


def jitter(x, u, n):
    """As one matrix on (r, g, b, 1); grey images are their own luma and have neither hue nor saturation."""
    if x.shape[2] == 1:
        return (x + n[0] * 0.2) * 2 ** (n[1] * 0.5) * (1 - 2 * int(u[0] * 2))
    v = np.ones(3) / np.sqrt(3)
    along = np.outer(v, v)
    matrix = np.eye(4)

    def then(m, shift=0.0):
        nonlocal matrix
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = m, shift
        matrix = step @ matrix

    then(np.eye(3), n[0] * 0.2)
    then(np.eye(3) * 2 ** (n[1] * 0.5))
    then(np.eye(3) - 2 * along * int(u[0] * 2))
    angle = (u[1] * 2 - 1) * np.pi
    crossed = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    then(np.cos(angle) * np.eye(3) + np.sin(angle) * crossed + (1 - np.cos(angle)) * along)
    then(along + (np.eye(3) - along) * 2 ** n[2])
    flat = np.concatenate([x.reshape(-1, 3), np.ones((x.shape[0] * x.shape[1], 1))], 1)
    return (flat @ matrix.T)[:, :3].reshape(x.shape)


SYM6 = np.array([
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466, 0.787641141030194,
    0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148])


def along(x, axis, f):
    return np.apply_along_axis(f, axis, x)


def doubled(line):
    """Twice the resolution, with 6 pixels of the source on each side as margin."""
    wide = np.pad(np.pad(line, 11, mode="reflect"), 1, mode="edge") if len(line) == 12 else np.pad(line, 12, mode="reflect")
    spread = np.zeros(2 * len(wide))
    spread[::2] = wide
    return np.convolve(spread, SYM6 * 2 / SYM6.sum(), "valid")[6:6 + 2 * (len(line) + 12)]


def halved(line):
    return np.correlate(line, SYM6 / SYM6.sum(), "valid")[1:1 + len(line) - 12:2]


def geometry(x, u, n):
    def scale(a, b):
        return np.diag([a, b, 1.0])

    def turn(draw):
        angle = (draw * 2 - 1) * np.pi
        return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

    shift = np.eye(3)
    shift[0, 2], shift[1, 2] = 2 * 0.125 * x.shape[0] * n[2], 2 * 0.125 * x.shape[1] * n[3]
    even, stretch = 2 ** (0.2 * n[0]), 2 ** (0.2 * n[1])
    matrix = scale(even, even) @ turn(u[0]) @ scale(stretch, 1 / stretch) @ turn(u[1]) @ shift
    large = along(along(x, 0, doubled), 1, doubled)
    middle = (np.array(large.shape[:2]) - 1) / 2
    moved = np.zeros((2 * x.shape[0] + 12, 2 * x.shape[1] + 12, x.shape[2]))
    for i in range(moved.shape[0]):
        for j in range(moved.shape[1]):
            at = (matrix @ [i - (moved.shape[0] - 1) / 2, j - (moved.shape[1] - 1) / 2, 1])[:2] + middle
            for k in range(2):
                last = large.shape[k] - 1
                # Beyond the margin, as the image's own edge pixels mirror it; their middles lie 12.5 inside.
                if not 0 <= at[k] <= last:
                    span = last - 25
                    at[k] = abs(at[k] - 12.5) % (2 * span)
                    at[k] = min(at[k], 2 * span - at[k]) + 12.5
            (r, c), (fr, fc) = np.floor(at).astype(int), at - np.floor(at)
            for dr, wr in ((0, 1 - fr), (1, fr)):
                for dc, wc in ((0, 1 - fc), (1, fc)):
                    moved[i, j] += wr * wc * large[min(r + dr, large.shape[0] - 1), min(c + dc, large.shape[1] - 1)]
    return along(along(moved, 0, halved), 1, halved)


# More images than square ones in colour, with sides that are odd and even.
RECTANGLES = {"grey": (3, 13, 16, 1), "wide": (3, 14, 13, 3)}
AUGMENTATIONS = {"flip": flip, "translation": translation, "cutout": cutout, "color": color, "blit": blit, "jitter": jitter,
                 "geometry": geometry}


def augmentations():
    random = np.random.default_rng(11)
    rounded = lambda x: np.float32(x).astype(np.float64)  # noqa: E731
    x = rounded(random.standard_normal((3, 12, 12, 3)) * 0.5)
    u, n = rounded(random.random((4, 3))), rounded(random.standard_normal((4, 3)))
    text = "# Made by tools/goldens_torch.py with NumPy in f64.\n"
    text += block("input", "uniform", u) + block("input", "normal", n)
    sets = {"images": x}
    sets |= {name: rounded(random.standard_normal(shape) * 0.5) for name, shape in RECTANGLES.items()}
    for of, x in sets.items():
        text += block("input", of, x)
        for name, f in AUGMENTATIONS.items():
            result = np.stack([f(x[i], u[:, i], n[:, i]) for i in range(len(x))])
            text += block("result", f"{of}/{name}", result)
    write("gan", "augmentations", text)


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
    augmentations()
    spectral_norm()
