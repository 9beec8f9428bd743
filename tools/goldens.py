#!/usr/bin/env python3
"""Writes crates/graph/goldens/*.txt: losses and gradients of small networks, computed by JAX in f64.

    python -m venv venv && venv/bin/pip install jax numpy
    venv/bin/python tools/goldens.py

The networks are those of crates/graph/src/cases/networks.rs, written a second time with JAX's own convolutions,
pooling and derivatives. Operands are drawn from a fixed seed and rounded to f32, so that a run in f32 starts from the
same numbers.
"""

import pathlib

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "crates" / "graph" / "goldens"
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x, w, stride=1, pad=0, groups=1):
    return lax.conv_general_dilated(
        x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=LAYOUT, feature_group_count=groups)


def conv_transposed(x, w, stride, pad):
    """The adjoint of conv by its input, for weights [KH, KW, C_out, C_in]: zeros between the pixels, then a
    convolution with the kernel turned by half a circle and its channels exchanged."""
    turned = jnp.swapaxes(w[::-1, ::-1], 2, 3)
    border = w.shape[0] - 1 - pad
    return lax.conv_general_dilated(
        x, turned, (1, 1), [(border, border)] * 2, lhs_dilation=(stride, stride), dimension_numbers=LAYOUT)


def leaky_relu(x):
    return jax.nn.leaky_relu(x, 0.2)


def normalize(x, axes, scale, offset):
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + offset


def max_pool(x, window):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, window, window, 1), "VALID")


def network(p):
    h = conv(p["x"], p["conv/weight"], 2, 1)
    h = leaky_relu(normalize(h, (0, 1, 2), p["norm/scale"], p["norm/offset"]))
    h = conv_transposed(h, p["deconv/weight"], 2, 1)
    h = leaky_relu(conv(h, p["grouped/weight"], 1, 1, groups=2) + p["grouped/bias"])
    y = max_pool(h, 2).reshape(3, 96) @ p["dense/weight"] + p["dense/bias"]
    return jnp.mean((y - p["target"]) ** 2)


def r1(p):
    def d(x):
        h = leaky_relu(conv(x, p["conv1/weight"], 2, 1) + p["conv1/bias"])
        h = jax.nn.silu(conv(h, p["conv2/weight"], 1, 1) + p["conv2/bias"])
        return h.reshape(3, 54) @ p["dense/weight"] + p["dense/bias"]

    slope = jax.grad(lambda x: jnp.sum(d(x)))(p["real"])
    penalty = jnp.mean(jnp.sum(slope ** 2, (1, 2, 3)))
    return jnp.mean(jax.nn.softplus(-d(p["real"]))) + jnp.mean(jax.nn.softplus(d(p["fake"]))) + 1.5 * penalty


def wgan_gp(p):
    def d(x):
        h = conv(x, p["conv1/weight"], 2, 1)
        h = leaky_relu(normalize(h, (1, 2, 3), p["norm/scale"], p["norm/offset"]))
        return jnp.tanh(conv(h, p["conv2/weight"], 1, 1)).reshape(3, 54) @ p["dense/weight"]

    between = p["real"] + p["alpha"] * (p["fake"] - p["real"])
    slope = jax.grad(lambda x: jnp.sum(d(x)))(between)
    norm = jnp.sqrt(jnp.sum(slope ** 2, (1, 2, 3)))
    return jnp.mean(d(p["fake"])) - jnp.mean(d(p["real"])) + 10.0 * jnp.mean((norm - 1.0) ** 2)


def path_length(p):
    def modulated(x, style, weight):
        # As in the paper, one set of weights a sample: the form that the shared convolution must equal.
        def one(x, s):
            scaled = weight * s[None, None, :, None]
            scaled = scaled * lax.rsqrt(jnp.sum(scaled ** 2, (0, 1, 2)) + 1e-8)
            return conv(x[None], scaled, 1, 1)[0]

        return jax.vmap(one)(x, style)

    def generate(w):
        x = jnp.broadcast_to(p["constant"], (3, 4, 4, 4))
        h = leaky_relu(modulated(x, w @ p["affine1/weight"] + p["affine1/bias"] + 1.0, p["conv1/weight"]))
        return modulated(h, w @ p["affine2/weight"] + p["affine2/bias"] + 1.0, p["conv2/weight"])

    product = jax.grad(lambda w: jnp.sum(generate(w) * p["noise"]))(p["w"])
    length = jnp.sqrt(jnp.sum(product ** 2, 1))
    return jnp.mean((length - p["mean"]) ** 2)


IMAGES = {"real": (3, 6, 6, 2), "fake": (3, 6, 6, 2)}
LOSSES = {
    "network": (network, {
        "x": (3, 8, 8, 3), "target": (3, 3), "conv/weight": (4, 4, 3, 6), "norm/scale": (6,), "norm/offset": (6,),
        "deconv/weight": (4, 4, 4, 6), "grouped/weight": (3, 3, 2, 6), "grouped/bias": (6,),
        "dense/weight": (96, 3), "dense/bias": (3,)}),
    "r1": (r1, IMAGES | {
        "conv1/weight": (4, 4, 2, 5), "conv1/bias": (5,), "conv2/weight": (3, 3, 5, 6), "conv2/bias": (6,),
        "dense/weight": (54, 1), "dense/bias": (1,)}),
    "wgan_gp": (wgan_gp, IMAGES | {
        "alpha": (3, 1, 1, 1), "conv1/weight": (4, 4, 2, 5), "norm/scale": (5,), "norm/offset": (5,),
        "conv2/weight": (3, 3, 5, 6), "dense/weight": (54, 1)}),
    "path_length": (path_length, {
        "w": (3, 5), "noise": (3, 4, 4, 3), "mean": (), "constant": (1, 4, 4, 4), "affine1/weight": (5, 4),
        "affine1/bias": (4,), "conv1/weight": (3, 3, 4, 6), "affine2/weight": (5, 6), "affine2/bias": (6,),
        "conv2/weight": (3, 3, 6, 3)}),
}


def block(kind, name, value):
    value = np.asarray(value, np.float64)
    header = " ".join([kind, name, *map(str, value.shape)])
    return f"{header}\n{' '.join(repr(float(v)) for v in value.ravel())}\n"


def main():
    FOLDER.mkdir(exist_ok=True)
    for seed, (name, (loss, shapes)) in enumerate(LOSSES.items()):
        random = np.random.default_rng(seed)
        draw = lambda shape: np.float32(0.5 * random.standard_normal(shape)).astype(np.float64)  # noqa: E731
        p = {key: draw(shape) for key, shape in shapes.items()}
        value, gradients = jax.value_and_grad(loss)({k: jnp.asarray(v) for k, v in p.items()})
        text = f"# Made by tools/goldens.py with JAX {jax.__version__} in f64.\n"
        text += "".join(block("input", k, v) for k, v in p.items())
        text += block("loss", "loss", value)
        text += "".join(block("gradient", k, v) for k, v in gradients.items())
        (FOLDER / f"{name}.txt").write_text(text)
        print(f"{name}: loss {float(value):.6f}, {len(text) // 1024} KB")


if __name__ == "__main__":
    main()
