#!/usr/bin/env python3
"""Writes goldens of the latent tools, computed by PyTorch in f64:

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/goldens_latent.py

crates/gan/goldens/directions.txt: the strongest directions of first weights, as right singular vectors of A with squared
singular values (SeFa by another road than eigenvectors of its Gram matrix), and those that weights scaled row by row to unit
length would give, as the authors' program takes them;
crates/gan/goldens/distance.txt: the distance of images from a target, with its gradient.
"""

import numpy as np
import torch
import torch.nn.functional as F

from goldens_torch import block, draws, write

COUNT = 3


def strongest(weight):
    """Squared singular values and right singular vectors of A, the transpose of a layer's weight [inputs, outputs]."""
    _, values, vectors = torch.linalg.svd(weight.T, full_matrices=False)
    return values[:COUNT] ** 2, vectors[:COUNT]


def directions():
    draw = draws(11)
    # Columns of different length, so that scaling them matters.
    dense = draw(6, 9) * torch.linspace(0.25, 2, 9)
    affine = [draw(4, 8) * torch.linspace(2, 0.25, 8) for _ in range(3)]
    text = ""
    for name, weights in [("dense", [dense]), ("affine", affine)]:
        for i, weight in enumerate(weights):
            text += block("input", f"{name}{i}", weight.float().double())
        weight = torch.cat([w.float().double() for w in weights], 1)
        values, vectors = strongest(weight)
        text += block("strength", name, values) + block("direction", name, vectors)
        scaled = weight / weight.norm(dim=0, keepdim=True)
        text += block("scaled", name, strongest(scaled)[1])
    return text


def distance():
    draw = draws(12)
    short = lambda *shape: (draw(*shape) * 16).round() / 64
    samples, target = short(2, 9, 8, 1), short(1, 9, 8, 1)
    filters = [short(3, 3, 1, 16), short(3, 3, 16, 32) / 4]
    samples.requires_grad_()

    def levels(x):
        x = x.permute(0, 3, 1, 2)
        for i, weight in enumerate(filters):
            x = F.avg_pool2d(x, 2) if i else x
            x = F.leaky_relu(F.conv2d(x, weight.permute(3, 2, 0, 1), padding=1), 0.2)
            yield x

    apart = lambda a, b: (a - b).square().mean(dim=(1, 2, 3))
    of_levels = [apart(a, b) for a, b in zip(levels(samples), levels(target))]
    value = apart(samples, target) + sum(of_levels) / len(of_levels)
    gradient = torch.autograd.grad(value.sum(), samples)[0]
    text = block("input", "samples", samples) + block("input", "target", target)
    text += "".join(block("input", f"features/level{i}", weight) for i, weight in enumerate(filters))
    return text + block("output", "distance", value) + block("output", "gradient", gradient)


if __name__ == "__main__":
    head = "# Written by tools/goldens_latent.py; torch {}, numpy {}.\n".format(torch.__version__, np.__version__)
    write("gan", "directions", head + directions())
    write("gan", "distance", head + distance())
