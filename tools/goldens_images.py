#!/usr/bin/env python3
"""Writes goldens of objectives on images and of whole steps, computed by PyTorch in f64:

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/goldens_images.py

crates/gan/goldens/logits.txt: every loss by its logits, with other targets too, and with gradients;
crates/gan/goldens/images.txt: every regularizer on networks of convolutions, for images [N, H, W, C] and styles
[N, layers, width], with gradients; whole losses under spectral norm and with deviations over the batch;
crates/gan/goldens/steps.txt: loss and gradients of whole steps with smoothed labels, top-k, instance noise and packs, and
those of steps that do one thing wrongly.
Operands are drawn from a fixed seed and rounded to f32. Files are blocks of a header line `KIND NAME SHAPE..` and a line
of numbers.
"""

import numpy as np
import torch
import torch.nn.functional as F

from goldens_torch import LOSSES, bce, block, draws, write

HEADER = f"# Made by tools/goldens_images.py with PyTorch {torch.__version__} in f64.\n"
STRENGTH = 0.75
SMOOTHED = (0.9, 0.2)


def rounded(x):
    return torch.from_numpy(np.float32(np.asarray(x)).astype(np.float64))


def with_gradients(kind, name, value, variables):
    """The block of a value and those of its gradients by named variables; one zero where it does not depend on one."""
    gradients = torch.autograd.grad(value, list(variables.values()), allow_unused=True, retain_graph=True)
    text = block(kind, name, value)
    for variable, gradient in zip(variables, gradients):
        text += block(f"{kind}-gradient", f"{name}/{variable}", torch.zeros(()) if gradient is None else gradient)
    return text


# Losses by their logits.
def towards(real, fake):
    squares = lambda r, f: ((r - real).square().mean() + (f - fake).square().mean()) / 2  # noqa: E731
    entropies = lambda r, f: bce(r, real) + bce(f, fake)  # noqa: E731
    return {"minimax": entropies, "non-saturating": entropies, "least-squares": squares}


def logits():
    draw = draws(20)
    r, f = draw(5).requires_grad_(), (rounded(draw(5).numpy() - 0.4)).requires_grad_()
    both = {"real": r, "fake": f}
    text = HEADER + "".join(block("input", k, v) for k, v in both.items())
    for name, (of_d, of_g) in LOSSES.items():
        text += with_gradients("discriminator", name, of_d(r, f), both)
        text += with_gradients("generator", name, of_g(r, f), both)
    for name, of_d in towards(*SMOOTHED).items():
        text += with_gradients("smoothed", name, of_d(r, f), both)
    write("gan", "logits", text)


# Networks on images, as PyTorch has them: [N, C, H, W] inside, [N, H, W, C] outside.
def conv(x, w):
    return F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), padding="same").permute(0, 2, 3, 1)


def hidden(p, x):
    return torch.tanh(conv(x, p["w1"]) + p["b1"])


def judge(p, x):
    return (hidden(p, x).flatten(1) @ p["w2"])[:, 0]


def guess(p, x):
    return hidden(p, x).flatten(1) @ p["head"]


def generate(p):
    s = p["styles"]
    x = torch.tanh(s[:, 0] @ p["g0"]).reshape(4, 4, 5, 3)
    x = torch.tanh(conv(x * (1 + s[:, 1] @ p["m1"])[:, None, None, :], p["k1"]))
    return conv(x * (1 + s[:, 2] @ p["m2"])[:, None, None, :], p["k2"])


def slopes(d, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(d(x).sum(), x, create_graph=True)[0]


def squares(d, x):
    return slopes(d, x).flatten(1).square().sum(1)


def excess(d, x):
    return (squares(d, x) + 1e-12).sqrt() - 1


def between(p):
    return p["t"] * p["real"] + (1 - p["t"]) * p["fake"]


def averaged(old, share, now):
    return ((0.99 * old + 0.01 * now.mean()) / (0.99 * share + 0.01)).detach()


def lecam(d, p):
    r, f = d(p["real"]), d(p["fake"])
    anchor_r, anchor_f = averaged(p["real_mean"], p["real_share"], r), averaged(p["fake_mean"], p["fake_share"], f)
    return (r - anchor_f).square().mean() + (f - anchor_r).square().mean()


def around(p):
    return p["real"] + p["t"] * 0.5 * p["real"].std(unbiased=False) * p["noise"]


def orthogonal(*weights):
    total = 0
    for w in weights:
        w = w.reshape(-1, w.shape[-1])
        total = total + ((w.T @ w) * (1 - torch.eye(w.shape[1]))).square().sum()
    return total


def crossed(p, x):
    return F.cross_entropy(guess(p, x), p["classes"].long())


PENALTIES = {
    "gradient-penalty": lambda d, p: excess(d, between(p)).square().mean(),
    "gradient-penalty-one-sided": lambda d, p: F.relu(excess(d, between(p))).square().mean(),
    "dragan": lambda d, p: excess(d, around(p)).square().mean(),
    "r1": lambda d, p: squares(d, p["real"]).mean() / 2,
    "r2": lambda d, p: squares(d, p["fake"]).mean() / 2,
    "orthogonal": lambda d, p: orthogonal(p["w1"], p["w2"]),
    "lecam": lecam,
    "reconstruction": lambda d, p: (conv(hidden(p, p["real"]), p["back"]) - p["real"]).square().mean(),
    # The augmentation is left and right exchanged.
    "consistency": lambda d, p: (d(p["real"]) - d(p["real"].flip(2))).square().mean(),
    "balanced-consistency": lambda d, p: sum((d(x) - d(x.flip(2))).square().mean() for x in (p["real"], p["fake"])),
    "auxiliary-classifier": lambda d, p: crossed(p, p["real"]) + crossed(p, p["fake"]),
}


def path_length(p):
    """As the program of StyleGAN2 takes it: y over the root of the pixels, squares summed over a style's numbers, their
    mean over the layers."""
    made = generate(p)
    y = p["y"] / np.sqrt(made.shape[1] * made.shape[2])
    product = torch.autograd.grad((made * y).sum(), p["styles"], create_graph=True)[0]
    lengths = (product.square().sum(2).mean(1) + 1e-12).sqrt()
    return (lengths - averaged(p["mean"], p["mean_share"], lengths)).square().mean()


def feature_matching(p):
    return (hidden(p, p["real"]).mean(0) - hidden(p, generate(p)).mean(0)).square().sum()


GENERATOR_PENALTIES = {
    "path-length": path_length,
    "feature-matching": feature_matching,
    "auxiliary-classifier": lambda p: crossed(p, generate(p)),
    "orthogonal": lambda p: orthogonal(*(p[k] for k in G)),
}
D, G = ("w1", "b1", "w2"), ("g0", "m1", "k1", "m2", "k2")


def over_singular_value(w, u):
    """The weight over its largest singular value after one power iteration from u, whose vectors are constants."""
    matrix = w.reshape(-1, w.shape[-1])
    v = F.normalize(matrix.detach() @ u, dim=0)
    u = F.normalize(matrix.detach().T @ v, dim=0)
    return w / (v @ matrix @ u)


def with_deviations(h):
    """A channel more: deviations over groups of every second sample, averaged over pixels and channels."""
    groups = h.reshape(2, 2, -1)
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean(1)
    return torch.cat([h, deviation.repeat(2)[:, None, None, None].expand(4, 4, 5, 1)], 3)


def whole(d, p):
    """The discriminator's non-saturating loss with R1."""
    real, fake = d(p["real"]), d(p["fake"])
    return bce(real, 1) + bce(fake, 0) + STRENGTH * squares(d, p["real"]).mean() / 2


def images():
    draw, unit = draws(21), np.random.default_rng(22)
    scaled = lambda scale, *shape: rounded(scale * draw(*shape).numpy())  # noqa: E731
    d = {"w1": scaled(0.4, 3, 3, 2, 3), "b1": scaled(0.3, 3), "w2": scaled(0.22, 60, 1)}
    g = {"g0": scaled(0.6, 4, 60), "m1": scaled(0.5, 4, 3), "k1": scaled(0.3, 3, 3, 3, 3), "m2": scaled(0.5, 4, 3),
         "k2": scaled(0.6, 1, 1, 3, 2)}
    p = {"real": draw(4, 4, 5, 2), "fake": scaled(0.7, 4, 4, 5, 2), "head": scaled(0.3, 60, 3),
         "back": scaled(0.5, 3, 3, 3, 2), "classes": torch.tensor([2.0, 0.0, 1.0, 1.0]),
         "styles": scaled(0.8, 4, 3, 4), "y": draw(4, 4, 5, 2),
         "t": rounded(unit.random((4, 1, 1, 1))), "noise": rounded(unit.random((4, 4, 5, 2))),
         "u1": draw(3), "u2": draw(1), "w2_wide": scaled(0.3, 80, 1),
         "real_mean": torch.tensor(0.25), "real_share": torch.tensor(0.5), "fake_mean": torch.tensor(-0.125),
         "fake_share": torch.tensor(0.375), "mean": torch.tensor(0.5), "mean_share": torch.tensor(0.75)}
    # The last sample saturates the features: gradients are above 1 at some samples and below at others.
    p |= d | g | {k: p[k] * torch.tensor([1.0, 1.0, 1.0, 4.0])[:, None, None, None] for k in ("real", "fake")}
    excesses = excess(lambda x: judge(p | d, x), between(p))
    assert excesses.min() < -0.1 and excesses.max() > 0.1, excesses
    text = HEADER + "".join(block("input", k, v) for k, v in p.items())
    for name in D + G + ("styles", "w2_wide"):
        p[name].requires_grad_()
    named = lambda names: {k: p[k] for k in names}  # noqa: E731
    for name, penalty in PENALTIES.items():
        text += with_gradients("penalty", name, STRENGTH * penalty(lambda x: judge(p, x), p), named(D))
    for name, penalty in GENERATOR_PENALTIES.items():
        text += with_gradients("generator-penalty", name, STRENGTH * penalty(p), named(G))
    text += block("constraint", "weight-clipping", p["w1"].clamp(-STRENGTH / 2, STRENGTH / 2))

    q = p | {"w1": over_singular_value(p["w1"], p["u1"]), "w2": over_singular_value(p["w2"], p["u2"])}
    text += with_gradients("whole", "spectral-norm", whole(lambda x: judge(q, x), p), named(D))
    wide = lambda x: (with_deviations(hidden(p, x)).flatten(1) @ p["w2_wide"])[:, 0]  # noqa: E731
    text += with_gradients("whole", "minibatch-stddev", whole(wide, p), named(("w1", "b1", "w2_wide")))
    write("gan", "images", text)


# Random numbers by their definition: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
def philox(counter, key):
    c, k, low = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & low, (a >> 32) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


KEY, FIRST = (5, 6), 7


def normals(stream, *shape):
    """Row r is that of the sample FIRST + r."""
    count = int(np.prod(shape[1:]))
    word = lambda row, e: philox((e // 4, FIRST + row, 0, stream), KEY)[e % 4]  # noqa: E731
    uniform = np.array([[((word(row, e) >> 9) + 0.5) / 2**23 for e in range(count)] for row in range(shape[0])])
    return torch.special.erfinv(torch.from_numpy(2 * uniform - 1)).reshape(shape) * np.sqrt(2)


def stream_of(path):
    """FNV-1a, its low word with the top bit set."""
    h = 0xCBF29CE484222325
    for b in path.encode():
        h = ((h ^ b) * 0x100000001B3) % 2**64
    return (h & 0xFFFFFFFF) | 0x80000000


def side_by_side(x, pack):
    """Consecutive samples, one after the other along the channels."""
    return torch.cat([x[i::pack] for i in range(pack)], 3)


def noisy(x, deviation, path):
    return x + deviation * normals(stream_of(path), *x.shape)


def top(each, scores, k):
    return each[torch.argsort(scores)[len(each) - k:]].mean()


def step(p, real_label=1.0, fake_label=0.0, g_label=1.0, k=None, chosen=top, noise=0.0, pack=1, packed=side_by_side,
         d_noise=None):
    """Losses of both networks' steps and their gradients, from the weights and real samples of p."""
    g_weights = [p[n] for n in ("G/dense1/weight", "G/dense1/bias")]
    d_weights = [p[n] for n in (f"D{pack}/dense1/weight", f"D{pack}/dense1/bias", f"D{pack}/dense2/weight",
                                f"D{pack}/dense2/bias")]

    def make(stream):
        return torch.tanh(normals(stream, 4, 3) @ g_weights[0] + g_weights[1]).reshape(4, 2, 3, 2)

    def logits_of(x):
        h = torch.tanh(packed(x, pack).flatten(1) @ d_weights[0] + d_weights[1])
        return (h @ d_weights[2] + d_weights[3])[:, 0]

    shown = d_noise or (lambda x, path: noisy(x, noise, path))
    real = logits_of(shown(p["real"], "instance_noise#1"))
    fake = logits_of(shown(make(1).detach(), "instance_noise#2"))
    d_loss = bce(real, real_label) + bce(fake, fake_label)
    fake = logits_of(noisy(make(2), noise, "generator-step/instance_noise#1"))
    each = F.binary_cross_entropy_with_logits(fake, torch.full_like(fake, g_label), reduction="none")
    g_loss = each.mean() if k is None else chosen(each, fake, k)
    results = [d_loss, *torch.autograd.grad(d_loss, d_weights), g_loss, *torch.autograd.grad(g_loss, g_weights)]
    return torch.cat([r.flatten() for r in results])


R, FAKE = SMOOTHED
ALL = {"real_label": R, "fake_label": FAKE, "k": 1, "noise": 0.375, "pack": 2}
# Each with steps that do one thing wrongly.
STEPS = {
    "plain": ({}, {"labels-exchanged": {"real_label": 0.0, "fake_label": 1.0}}),
    "smoothed": ({"real_label": R, "fake_label": FAKE}, {
        "one-sided": {"real_label": R},
        "towards-half": {"real_label": R - 0.2, "fake_label": FAKE + 0.2},
        "generator-too": {"real_label": R, "fake_label": FAKE, "g_label": R}}),
    "top-k": ({"k": 2}, {
        "of-all": {},
        "the-smallest": {"k": 2, "chosen": lambda each, scores, k: top(each, -scores, k)},
        "over-the-batch": {"k": 2, "chosen": lambda each, scores, k: top(each, scores, k) * k / len(each)}}),
    "noise": ({"noise": 0.375}, {
        "by-variance": {"noise": 0.375**2},
        "not-for-the-generator": {"d_noise": lambda x, path: noisy(x, 0.375, path)},
        "real-alone": {"noise": 0.375, "d_noise": lambda x, path: noisy(x, 0.375 * path.endswith("1"), path)},
        "the-same-twice": {"noise": 0.375, "d_noise": lambda x, path: noisy(x, 0.375, "instance_noise#1")}}),
    "packed": ({"pack": 2}, {
        "halves-of-the-batch": {"pack": 2, "packed": lambda x, pack: torch.cat(x.chunk(pack), 3)},
        "channels-mixed": {"pack": 2, "packed": lambda x, pack: torch.stack([x[::2], x[1::2]], 4).flatten(3)}}),
    "all": (ALL, {"without-noise": ALL | {"noise": 0.0}, "without-top-k": ALL | {"k": None},
                  "with-hard-labels": ALL | {"real_label": 1.0, "fake_label": 0.0}}),
}


def steps():
    draw = draws(23)
    p = {"real": draw(4, 2, 3, 2), "G/dense1/weight": draw(3, 12), "G/dense1/bias": draw(12)}
    for pack in (1, 2):
        p |= {f"D{pack}/dense1/weight": rounded(draw(12 * pack, 5).numpy() * 0.4), f"D{pack}/dense1/bias": draw(5),
              f"D{pack}/dense2/weight": draw(5, 1), f"D{pack}/dense2/bias": draw(1)}
    text = HEADER + "".join(block("input", k, v) for k, v in p.items())
    for name in p:
        p[name].requires_grad_(name != "real")
    for name, (right, wrong) in STEPS.items():
        text += block("step", name, step(p, **right))
        for what, options in wrong.items():
            text += block("twin", f"{name}/{what}", step(p, **options))
    write("gan", "steps", text)


if __name__ == "__main__":
    logits()
    images()
    steps()
