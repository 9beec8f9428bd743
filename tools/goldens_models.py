#!/usr/bin/env python3
"""Writes goldens of attention, conditional layers and named models, computed by PyTorch in f64:

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/goldens_models.py

crates/nn/goldens/conditional.txt: attention and the layers that are told classes, with their gradients;
crates/gan/goldens/models.txt: what the networks of each model make of given latents and images. Weights are not stored:
both sides compute them from the name of each parameter (`formula`), so that whole networks at their published widths
fit in a few lines of results.
Files are blocks of a header line `CASE NAME SHAPE..` and a line of numbers.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

CRATES = pathlib.Path(__file__).resolve().parent.parent / "crates"
torch.set_default_dtype(torch.float64)


def block(case, name, value):
    value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, np.float64)
    header = " ".join([case, name, *map(str, value.shape)])
    return f"{header}\n{' '.join(repr(float(v)) for v in value.ravel())}\n"


def write(crate, name, text):
    folder = CRATES / crate / "goldens"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(f"# Made by tools/goldens_models.py with PyTorch {torch.__version__} in f64.\n{text}")
    print(f"{name}: {len(text) // 1024} KB")


def uniform(name, count):
    """Numbers in (-1, 1) that depend on the name alone: a Weyl sequence from its FNV-1a hash, mixed."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        x ^= x >> np.uint64(29)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(32)
    return (x >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1


def formula(name, shape):
    """The value of a parameter: scales near 1, shifts and means near 0, weights with the variance 2 / fan-in."""
    u = uniform(name, int(np.prod(shape)))
    kind = name.split("/")[-1]
    if kind in ("bias", "running_mean"):
        u = 0.1 * u
    elif kind == "running_var":
        u = 1 + 0.5 * u
    elif kind in ("gain", "gamma") or len(shape) == 1:
        u = 1 + 0.3 * u
    else:
        u = u * np.sqrt(6 / np.prod(shape[:-1]))
    return torch.from_numpy(np.float32(u).astype(np.float64).reshape(shape))


class Scope:
    """Parameters by their path, in the toolkit's layout: dense [in, out], convolutions [KH, KW, in, out], transposed ones
    as the convolution they transpose."""

    def __init__(self, path, value=formula, seen=None):
        self.path, self.value, self.seen = path, value, {} if seen is None else seen

    def at(self, name):
        return Scope(f"{self.path}/{name}" if self.path else name, self.value, self.seen)

    def __call__(self, name, *shape):
        path = f"{self.path}/{name}" if self.path else name
        if path not in self.seen:
            self.seen[path] = self.value(path, shape)
        assert self.seen[path].shape == shape, (path, shape)
        return self.seen[path]


# Layers on images [N, C, H, W], with parameters of a scope.
def dense(p, x, units, bias=True):
    y = x @ p("weight", x.shape[1], units)
    return y + p("bias", units) if bias else y


def conv(p, x, channels, kernel, stride=1, pad=0, bias=True):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    weight = p("weight", *kernel, x.shape[1], channels).permute(3, 2, 0, 1)
    return F.conv2d(x, weight, p("bias", channels) if bias else None, stride, pad)


def conv_transpose(p, x, channels, kernel, stride=1, pad=0):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    return F.conv_transpose2d(x, p("weight", *kernel, channels, x.shape[1]).permute(3, 2, 0, 1), None, stride, pad)


def shaped(v, x):
    return v.reshape(*v.shape, *[1] * (x.dim() - 2))


def batch_norm(p, x, training=True, affine=True):
    mean, var = (p(f"running_{name}", x.shape[1]).detach().clone() for name in ("mean", "var"))
    scale = [p("weight", x.shape[1]), p("bias", x.shape[1])] if affine else [None, None]
    return F.batch_norm(x, mean, var, *scale, training, 0.1, 1e-5)


def norm_by_classes(p, x, labels, classes, training=True):
    y = batch_norm(p, x, training, affine=False)
    gain, bias = p("gain", classes, x.shape[1]), p("bias", classes, x.shape[1])
    return y * shaped(F.embedding(labels, gain), x) + shaped(F.embedding(labels, bias), x)


def norm_by_vectors(p, x, vectors, training=True):
    y = batch_norm(p, x, training, affine=False)
    gain, bias = (vectors @ p(f"{name}_map", vectors.shape[1], x.shape[1]) for name in ("gain", "bias"))
    return y * shaped(1 + gain, x) + shaped(bias, x)


def attention(p, x):
    n, c, h, w = x.shape

    def pointwise(name, x, channels):
        return F.conv2d(x, p(name, 1, 1, x.shape[1], channels).permute(3, 2, 0, 1))

    query = pointwise("theta", x, c // 8).reshape(n, c // 8, h * w)
    key = F.max_pool2d(pointwise("phi", x, c // 8), 2).reshape(n, c // 8, h * w // 4)
    value = F.max_pool2d(pointwise("g", x, c // 2), 2).reshape(n, c // 2, h * w // 4)
    share = torch.softmax(torch.einsum("nci,ncj->nij", query, key), -1)
    seen = torch.einsum("nij,ncj->nci", share, value).reshape(n, c // 2, h, w)
    return x + p("gamma", 1) * pointwise("o", seen, c)


def projection(p, x, labels, classes):
    features = x.sum((2, 3)) if x.dim() == 4 else x
    of_class = F.embedding(labels, p("classes", classes, features.shape[1]))
    return dense(p, features, 1) + (of_class * features).sum(1, keepdim=True)


def concat(p, x, labels, classes, width=None):
    if width is None:
        vectors = F.one_hot(labels, classes).to(x.dtype)
    else:
        vectors = F.embedding(labels, p("weight", classes, width))
    return torch.cat([x, vectors], 1)


def nhwc(x):
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def conditional():
    classes, text = 3, ""
    labels = torch.tensor([2, 0, 1, 2])
    cases = {
        "attention": ((4, 8, 4, 6), attention),
        "norm-classes": ((4, 3, 2, 2), lambda p, x: norm_by_classes(p, x, labels, classes)),
        "norm-classes-running": ((4, 3, 2, 2), lambda p, x: norm_by_classes(p, x, labels, classes, training=False)),
        "norm-vectors": ((4, 3, 2, 2), lambda p, x: norm_by_vectors(p, x, p("vectors", 4, 2))),
        "projection": ((4, 5, 2, 2), lambda p, x: projection(p, x, labels, classes)),
        "concat": ((4, 3), lambda p, x: concat(p, x, labels, classes)),
        "concat-embedded": ((4, 3), lambda p, x: concat(p, x, labels, classes, 2)),
        "classify": ((4, 5), lambda p, x: dense(p, x, classes)),
    }
    for case, (shape, layer) in cases.items():
        p = Scope("", lambda name, shape: formula(f"{case}/{name}", shape).requires_grad_())
        x = torch.from_numpy(np.float32(uniform(f"{case}/x", int(np.prod(shape)))).astype(np.float64))
        x = x.reshape(shape).requires_grad_()
        y = layer(p, x)
        factor = torch.from_numpy(uniform(f"{case}/factor", y.numel())).reshape(y.shape)
        parameters = {name: value for name, value in p.seen.items() if "running" not in name}
        gradients = torch.autograd.grad((y * factor).sum(), [x, *parameters.values()])
        text += block(case, "labels", labels) + block(case, "x", nhwc(x)) + block(case, "factor", nhwc(factor))
        text += "".join(block(case, name, value) for name, value in p.seen.items())
        text += block(case, "y", nhwc(y)) + block(case, "gradient/x", nhwc(gradients[0]))
        text += "".join(block(case, f"gradient/{name}", g) for name, g in zip(parameters, gradients[1:]))
    write("nn", "conditional", text)


# The models, each from its published structure.
def dcgan_generator(p, z, channels, image, labels=None, classes=0):
    """pytorch/examples dcgan: a 4x4 convolution of the latent, then 4x4 of stride 2."""
    x = z.reshape(*z.shape, 1, 1)
    for i, width in enumerate(channels):
        x = conv_transpose(p.at(f"up{i}"), x, width, *((4,) if i == 0 else (4, 2, 1)))
        norm = p.at(f"norm{i}")
        x = F.relu(batch_norm(norm, x) if labels is None else norm_by_classes(norm, x, labels, classes))
    return torch.tanh(conv_transpose(p.at("image"), x, image, 4, 2, 1))


def dcgan_discriminator(p, x, channels, labels=None, classes=0):
    for i, width in enumerate(channels):
        x = conv(p.at(f"down{i}"), x, width, 4, 2, 1, bias=False)
        x = F.leaky_relu(x if i == 0 else batch_norm(p.at(f"norm{i}"), x), 0.2)
    y = conv(p.at("logit"), x, 1, 4, bias=False).reshape(-1, 1)
    if labels is not None:
        features = x.sum((2, 3))
        y = y + (features * F.embedding(labels, p.at("classes")("weight", classes, features.shape[1]))).sum(1, keepdim=True)
    return y


def up_block(p, x, channels, norm):
    """pfnet-research/sngan_projection gen_models/resblocks.py: both paths are upsampled before they are convolved."""
    def up(x):
        return F.interpolate(x, scale_factor=2, mode="nearest")

    y = conv(p.at("conv1"), up(F.relu(norm(p.at("norm1"), x))), channels, 3, pad=1)
    y = conv(p.at("conv2"), F.relu(norm(p.at("norm2"), y)), channels, 3, pad=1)
    return y + conv(p.at("shortcut"), up(x), channels, 1)


def residual_generator(p, z, widths, image, norm_of, attended=()):
    x = dense(p.at("base"), z, 16 * widths[0]).reshape(-1, 4, 4, widths[0]).permute(0, 3, 1, 2)
    for i, width in enumerate(widths[1:]):
        x = up_block(p.at(f"block{i}"), x, width, norm_of(i))
        x = attention(p.at(f"attention{i}"), x) if i in attended else x
    return torch.tanh(conv(p.at("image"), F.relu(batch_norm(p.at("norm"), x)), image, 3, pad=1))


def down_block(p, x, channels, halve, first, wide, layer_norm):
    """dis_models/resblocks.py: the first block pools the image before its shortcut, the others after theirs."""
    def normed(name, x):
        if not layer_norm or first:
            return x
        y = F.layer_norm(x, x.shape[1:])
        return y * shaped(p.at(name)("weight", x.shape[1])[None], x) + shaped(p.at(name)("bias", x.shape[1])[None], x)

    y = x if first else F.relu(normed("norm1", x))
    y = conv(p.at("conv1"), y, channels if wide or first else x.shape[1], 3, pad=1)
    y = conv(p.at("conv2"), F.relu(normed("norm2", y)), channels, 3, pad=1)
    y = F.avg_pool2d(y, 2) if halve else y
    if first:
        return y + conv(p.at("shortcut"), F.avg_pool2d(x, 2), channels, 1)
    if halve or x.shape[1] != channels:
        x = conv(p.at("shortcut"), x, channels, 1)
        x = F.avg_pool2d(x, 2) if halve else x
    return y + x


def residual_discriminator(p, x, blocks, labels=None, classes=0, wide=False, layer_norm=False, mean=False, attended=()):
    for i, (width, halve) in enumerate(blocks):
        x = down_block(p.at(f"block{i}"), x, width, halve, i == 0, wide, layer_norm)
        x = attention(p.at(f"attention{i}"), x) if i in attended else x
    features = F.relu(x).mean((2, 3)) if mean else F.relu(x).sum((2, 3))
    return dense(p.at("logit"), features, 1) if labels is None else projection(p.at("logit"), features, labels, classes)


def plain_norm(_):
    return batch_norm


def class_norm(labels, classes):
    return lambda _: lambda p, x: norm_by_classes(p, x, labels, classes)


def biggan_generator(p, z, widths, image, shared, labels=None, classes=0, attended=()):
    """ajbrock/BigGAN-PyTorch with hier: the first part of the latent makes the base, the others go to the blocks."""
    parts = torch.split(z, z.shape[1] // len(widths), 1)
    embedded = () if labels is None else (F.embedding(labels, p.at("classes")("weight", classes, shared)),)

    def norm_of(block):
        vectors = torch.cat([*embedded, parts[block + 1]], 1)
        return lambda p, x: norm_by_vectors(p, x, vectors)

    return residual_generator(p, parts[0], widths, image, norm_of, attended)


def sampled(x):
    """Every so many-th number, 48 at most."""
    flat = nhwc(x).reshape(-1)
    return flat[::max(1, len(flat) // 47)]


def models():
    text = ""
    classes, labels = 5, torch.tensor([3, 0, 4])

    def latents(n, dim):
        return torch.from_numpy(np.float32(1.7 * uniform("latents", n * dim)).astype(np.float64)).reshape(n, dim)

    def images(n, side, channels):
        flat = np.float32(uniform("images", n * side * side * channels)).astype(np.float64)
        return torch.from_numpy(flat).reshape(n, side, side, channels).permute(0, 3, 1, 2)

    def add(case, y, p):
        nonlocal text
        trained = sum(v.numel() for name, v in p.seen.items() if "running" not in name)
        print(f"{case}: {trained} parameters, root mean square {float(y.square().mean().sqrt()):.3f}")
        text += block(case, "parameters", trained) + block(case, "values", sampled(y))

    def generator(case, net, *arguments, **options):
        p = Scope("G")
        add(case, net(p, *arguments, **options), p)

    def discriminator(case, net, *arguments, **options):
        p = Scope("D")
        add(case, net(p, *arguments, **options), p)

    told = {"labels": labels, "classes": classes}
    with torch.no_grad():
        generator("dcgan-64-generator", dcgan_generator, latents(2, 100), (512, 256, 128, 64), 3)
        discriminator("dcgan-64-discriminator", dcgan_discriminator, images(2, 64, 3), (64, 128, 256, 512))
        generator("dcgan-classes-generator", dcgan_generator, latents(3, 10), (8, 4), 1, **told)
        discriminator("dcgan-classes-discriminator", dcgan_discriminator, images(3, 16, 1), (4, 8), **told)
        four = [(128, True), (128, True), (128, False), (128, False)]
        generator("sngan-32-generator", residual_generator, latents(2, 128), [256] * 4, 3, plain_norm)
        discriminator("sngan-32-discriminator", residual_discriminator, images(2, 32, 3), four)
        blocks = [(8, True), (8, True), (8, False), (8, False)]
        generator("resnet-classes-generator", residual_generator, latents(3, 10), [16, 16, 16], 3,
                  class_norm(labels, classes))
        discriminator("resnet-classes-discriminator", residual_discriminator, images(3, 16, 3), blocks, **told)
        discriminator("wgan-gp-discriminator", residual_discriminator, images(3, 16, 3), blocks, layer_norm=True, mean=True)
        generator("sagan-generator", residual_generator, latents(3, 10), [16, 16, 16], 3, class_norm(labels, classes),
                  attended=(0,))
        discriminator("sagan-discriminator", residual_discriminator, images(3, 16, 3), blocks, wide=True, attended=(0,),
                      **told)
        wide = [(16, True), (16, True), (16, False), (16, False)]
        generator("biggan-generator", biggan_generator, latents(3, 12), [16, 16, 16], 3, 6, attended=(0,), **told)
        generator("biggan-plain-generator", biggan_generator, latents(3, 12), [16, 16, 16], 3, 6, attended=(0,))
        discriminator("biggan-discriminator", residual_discriminator, images(3, 16, 3), wide, wide=True, attended=(0,),
                      **told)
    write("gan", "models", text)


if __name__ == "__main__":
    conditional()
    models()
