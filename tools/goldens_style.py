#!/usr/bin/env python3
"""Writes goldens of the models r3gan, stylegan2 and fastgan, computed by PyTorch in f64:

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tools/goldens_style.py

crates/gan/goldens/style.txt: parameter counts at the published widths, and what the networks make of given latents and
images. The networks are written here from the structure that the authors published: Networks.py of R3GAN (Huang et al.
2024), training/networks.py of stylegan2-ada-pytorch (Karras et al. 2020), models.py of FastGAN-pytorch (Liu et al. 2021).
Every parameter is a function of its name and shape (`values`), so that the file holds results alone. Files are blocks of a
header line `KIND NAME SHAPE..` and a line of numbers.
"""

import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

CRATES = pathlib.Path(__file__).resolve().parent.parent / "crates"
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def uniform(name, count):
    """Values in (-1, 1) that depend on the name and on their index alone."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float64) / 2**23 - 1 + 2**-24


def values(name, shape):
    u = uniform(name, math.prod(shape))
    last = name.rsplit("/", 1)[-1]
    if last == "running_var":
        u = 1 + u / 2
    elif len(shape) == 1:
        u = u / 4 + (1 if last == "weight" or name.endswith("style/bias") else 0)
    elif "stylegan2" in name:
        u = u * (170 if "mapping/dense" in name else 1.7)
    elif last == "weight":
        u = u * 1.7 / math.sqrt(math.prod(shape[:-1]))
    else:
        u = u * 1.7
    return u.reshape(shape)


class At:
    """A place in the tree of parameters. On the device `meta` it only counts."""

    def __init__(self, path, device="cpu", record=None):
        self.path, self.device, self.record = path, device, {} if record is None else record

    def __truediv__(self, name):
        return At(f"{self.path}/{name}", self.device, self.record)

    def __call__(self, name, *shape, trainable=True):
        name = f"{self.path}/{name}"
        if trainable:
            self.record[name] = math.prod(shape)
        if self.device == "meta":
            return torch.empty(shape, device="meta")
        return torch.from_numpy(values(name, shape))

    def count(self):
        return sum(self.record.values())


def oihw(weight):
    return weight.permute(3, 2, 0, 1)


def conv2d(at, x, out, size=1, groups=1, **options):
    return F.conv2d(x, oihw(at("weight", size, size, x.shape[1] // groups, out)), groups=groups, **options)


def linear(at, x, out):
    return x @ at("weight", x.shape[1], out)


def one_hot(classes, count):
    return F.one_hot(classes, count).to(torch.float64) if classes.device.type != "meta" else torch.empty(
        (len(classes), count), device="meta")


def tap(channels, gain, like):
    f = torch.tensor([1.0, 3.0, 3.0, 1.0])
    f = torch.outer(f, f) / 64 * gain
    return f.to(like.device).expand(channels, 1, 4, 4)


def up(x):
    return F.conv_transpose2d(x, tap(x.shape[1], 4, x), stride=2, padding=1, groups=x.shape[1])


def down(x):
    return F.conv2d(x, tap(x.shape[1], 1, x), stride=2, padding=1, groups=x.shape[1])


# R3GAN


class R3Gan:
    def __init__(self, widths, blocks, classes=None, group=16):
        self.widths, self.blocks, self.classes, self.group = widths, blocks, classes, group

    def act(self, at, x):
        return F.leaky_relu(x + at("bias", x.shape[1]).view(1, -1, 1, 1), 0.2)

    def stage(self, at, x, count):
        for k in range(count):
            a = at / f"block{k}"
            wide = 2 * x.shape[1]
            y = self.act(a / "expand", conv2d(a / "expand", x, wide))
            y = self.act(a / "spatial", conv2d(a / "spatial", y, wide, 3, groups=max(wide // self.group, 1), padding=1))
            x = x + conv2d(a / "project", y, x.shape[1])
        return x

    def generator(self, at, z, size, channels, labels=None):
        if self.classes:
            z = torch.cat([z, linear(at / "embedding", one_hot(labels, self.classes), z.shape[1])], 1)
        sides = [s >> (len(self.widths) - 1) for s in size]
        basis = at / "basis"
        x = basis("constant", *sides, self.widths[0]).permute(2, 0, 1)[None]
        x = x * linear(basis / "scale", z, self.widths[0])[:, :, None, None]
        for i, (width, count) in enumerate(zip(self.widths, self.blocks)):
            a = at / f"stage{i}"
            if i:
                x = up(conv2d(a / "narrow", x, width) if width != x.shape[1] else x)
            x = self.stage(a, x, count)
        return conv2d(at / "image", x, channels)

    def discriminator(self, at, x, labels=None):
        x = conv2d(at / "image", x, self.widths[-1])
        for i in reversed(range(len(self.widths))):
            a = at / f"stage{i}"
            if i < len(self.widths) - 1:
                x = down(x)
                x = conv2d(a / "widen", x, self.widths[i]) if self.widths[i] != x.shape[1] else x
            x = self.stage(a, x, self.blocks[i])
        weight = oihw((at / "basis")("weight", x.shape[2], x.shape[3], 1, x.shape[1]))
        x = F.conv2d(x, weight, groups=x.shape[1]).flatten(1)
        if not self.classes:
            return linear(at / "logit", x, 1)
        y = linear(at / "embedding", one_hot(labels, self.classes), self.widths[0])
        return (linear(at / "logit", x, self.widths[0]) * y).sum(1, keepdim=True)


# StyleGAN2


def normalize(x):
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def lrelu(x, gain=1.0):
    return F.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)


class StyleGan2:
    def __init__(self, base, most, width, mapping, classes=None, residual=True, residual_generator=False, group=4, stddev=1):
        self.base, self.most, self.width, self.mapping = base, most, width, mapping
        self.classes, self.residual, self.residual_generator = classes, residual, residual_generator
        self.group, self.stddev = group, stddev

    def channels(self, level):
        return min(self.base // (4 << level), self.most)

    def dense(self, at, x, out, rate=1.0):
        weight = at("weight", x.shape[1], out) * (rate / math.sqrt(x.shape[1]))
        return x @ weight + at("bias", out) * rate

    def embed(self, at, labels, out):
        return normalize(self.dense(at / "embedding", one_hot(labels, self.classes), out))

    def layers(self, at, x, out):
        for i in range(self.mapping):
            x = lrelu(self.dense(at / f"dense{i}", x, out, 0.01))
        return x

    def map(self, at, z, labels):
        x = normalize(z)
        if self.classes:
            x = torch.cat([x, self.embed(at, labels, self.width)], 1)
        return self.layers(at, x, self.width)

    def blur(self, x, pad, gain):
        return F.conv2d(x, tap(x.shape[1], gain, x), padding=pad, groups=x.shape[1])

    def conv(self, at, x, out, size, how):
        weight = oihw(at("weight", size, size, x.shape[1], out)) / math.sqrt(size * size * x.shape[1])
        if how == "keep":
            return F.conv2d(x, weight, padding=size // 2)
        if size == 1:
            return up(F.conv2d(x, weight)) if how == "double" else F.conv2d(down(x), weight)
        return F.conv2d(self.blur(x, 2, 1), weight, stride=2)

    def modulated(self, at, x, style, out, size, how, demodulate=True):
        """Weights of their own for each sample, as the paper's equations have them."""
        inputs, result = x.shape[1], []
        if how == "double":
            weight = at("weight", size, size, out, inputs).permute(2, 3, 0, 1)
        else:
            weight = oihw(at("weight", size, size, inputs, out))
        for n in range(len(x)):
            w = weight * style[n].view(1, -1, 1, 1)
            if demodulate:
                w = w * (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
            if how == "double":
                y = F.conv_transpose2d(x[n:n + 1], w.transpose(0, 1), stride=2)
                result.append(self.blur(y, 1, 4))
            else:
                result.append(F.conv2d(x[n:n + 1], w, padding=size // 2))
        return torch.cat(result)

    def styled(self, at, x, w, out, how, gain=1.0):
        x = self.modulated(at, x, self.dense(at / "style", w, x.shape[1]), out, 3, how)
        noise = at("noise", x.shape[2], x.shape[3], 1, trainable=False)[None, :, :, 0]
        x = x + noise * at("noise_strength", 1)
        return lrelu(x + at("bias", out).view(1, -1, 1, 1), gain)

    def image(self, at, x, w, channels):
        style = self.dense(at / "style", w, x.shape[1]) / math.sqrt(x.shape[1])
        return self.modulated(at, x, style, channels, 1, "keep", False) + at("bias", channels).view(1, -1, 1, 1)

    def generator(self, at, z, size, channels, labels=None, truncation=1.0):
        w = self.map(at / "mapping", z, labels)
        if truncation != 1:
            mean = (at / "mapping")("w_mean", self.width, trainable=False)
            w = mean + (w - mean) * truncation
        at, levels = at / "synthesis", halvings(size, 4)
        sides = [s >> levels for s in size]
        x = at("constant", *sides, self.channels(0)).permute(2, 0, 1)[None].expand(len(z), -1, -1, -1)
        gain = math.sqrt(0.5) if self.residual_generator else 1.0
        sum = None
        for level in range(levels + 1):
            a, out = at / f"stage{level}", self.channels(level)
            if level:
                beside = self.conv(a / "beside", x, out, 1, "double") * gain if self.residual_generator else 0
                x = self.styled(a / "conv0", x, w, out, "double")
                x = self.styled(a / "conv1", x, w, out, "keep", gain) + beside
            else:
                x = self.styled(a / "conv1", x, w, out, "keep")
            sum = None if sum is None else up(sum)
            if level == levels or not self.residual_generator:
                image = self.image(a / "image", x, w, channels)
                sum = image if sum is None else sum + image
        return sum

    def activated(self, at, x, out, size, how, gain=1.0):
        return lrelu(self.conv(at, x, out, size, how) + at("bias", out).view(1, -1, 1, 1), gain)

    def discriminator(self, at, x, labels=None):
        levels = halvings(x.shape[2:], 4)
        x = self.activated(at / "image", x, self.channels(levels), 1, "keep")
        gain = math.sqrt(0.5) if self.residual else 1.0
        for level in range(levels, 0, -1):
            a = at / f"stage{level}"
            beside = self.conv(a / "beside", x, self.channels(level - 1), 1, "halve") * gain if self.residual else 0
            x = self.activated(a / "conv0", x, self.channels(level), 3, "keep")
            x = self.activated(a / "conv1", x, self.channels(level - 1), 3, "halve", gain) + beside
        if self.stddev:
            n, c, h, w = x.shape
            group = min(self.group, n)
            y = x.reshape(group, -1, self.stddev, c // self.stddev, h, w)
            y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((2, 3, 4))
            x = torch.cat([x, y.reshape(-1, self.stddev, 1, 1).repeat(group, 1, h, w)], 1)
        x = self.activated(at / "conv", x, self.channels(0), 3, "keep")
        # Pixels before channels, as images are stored.
        x = lrelu(self.dense(at / "dense", x.permute(0, 2, 3, 1).flatten(1), self.channels(0)))
        if not self.classes:
            return self.dense(at / "logit", x, 1)
        out = self.channels(0)
        y = self.layers(at / "mapping", self.embed(at / "mapping", labels, out), out)
        return (self.dense(at / "logit", x, out) * y).sum(1, keepdim=True) / math.sqrt(out)


def halvings(size, least):
    levels, size = 0, list(size)
    while all(s % 2 == 0 and s // 2 >= least for s in size):
        levels, size = levels + 1, [s // 2 for s in size]
    return levels


# FastGAN


class FastGan:
    MULTIPLES = [16, 8, 4, 2, 2, 1, 0.5, 0.25, 0.125]

    def __init__(self, width, classes=None):
        self.width, self.classes = width, classes

    def normalized(self, at, shape, transposed=False):
        """The weight over what one power iteration from the kept vector finds."""
        weight = at("weight", *shape)
        matrix = weight.transpose(2, 3) if transposed else weight
        matrix = matrix.reshape(-1, matrix.shape[3])
        u = at("weight_u", matrix.shape[1], trainable=False)
        unit = lambda v: v * (v.square().sum() + 1e-24).rsqrt()  # noqa: E731
        v = unit(matrix @ u)
        u = unit(matrix.T @ v)
        return weight / (v @ matrix @ u)

    def conv(self, at, x, out, size=1, **options):
        height, width = (size, size) if isinstance(size, int) else size
        return F.conv2d(x, oihw(self.normalized(at, (height, width, x.shape[1], out))), **options)

    def norm(self, at, x):
        mean, variance = (at(n, x.shape[1], trainable=False) for n in ("running_mean", "running_var"))
        return F.batch_norm(x, mean, variance, at("weight", x.shape[1]), at("bias", x.shape[1]))

    def excite(self, at, small, large, pooled):
        x = F.silu(self.conv(at / "squeeze", F.adaptive_avg_pool2d(small, pooled), large.shape[1], pooled))
        return large * torch.sigmoid(self.conv(at / "excite", x, large.shape[1]))

    def generator(self, at, z, size, channels, labels=None):
        if self.classes:
            z = torch.cat([z, self.embed(at, labels, z.shape[1])], 1)
        levels = halvings(size, 4)
        base = [s >> levels for s in size]
        out = lambda level: int(self.MULTIPLES[level] * self.width)  # noqa: E731
        a = at / "stage0"
        weight = self.normalized(a / "conv", (*base, 2 * out(0), z.shape[1]), True)
        x = F.conv_transpose2d(z[:, :, None, None], oihw(weight))
        stages = [F.glu(self.norm(a / "norm", x), 1)]
        for level in range(1, levels + 1):
            a = at / f"stage{level}"
            x = F.interpolate(stages[-1], scale_factor=2)
            for i in range(2 if level % 2 else 1):
                if level % 2:
                    (a / f"noise{i}")("strength", 1)
                x = self.conv(a / f"conv{i}", x, 2 * out(level), 3, padding=1)
                x = F.glu(self.norm(a / f"norm{i}", x), 1)
            if level >= 4:
                x = self.excite(a / "excitation", stages[level - 4], x, base)
            stages.append(x)
        return self.conv(at / "image", stages[-1], channels, 3, padding=1)

    def embed(self, at, labels, out):
        return one_hot(labels, self.classes) @ self.normalized_table(at / "embedding", self.classes, out)

    def normalized_table(self, at, rows, columns):
        weight = at("weight", rows, columns)
        u = at("weight_u", columns, trainable=False)
        unit = lambda v: v * (v.square().sum() + 1e-24).rsqrt()  # noqa: E731
        v = unit(weight @ u)
        return weight / (v @ weight @ unit(weight.T @ v))

    def decode(self, at, x, count, channels):
        widths = [128, 64, 64, 32]
        for i, out in enumerate(widths[4 - count:]):
            a = at / f"stage{i}"
            x = F.glu(self.norm(a / "norm", self.conv(a / "conv", F.interpolate(x, scale_factor=2), 2 * out, 3, padding=1)), 1)
        return torch.tanh(self.conv(at / "image", x, channels, 3, padding=1))

    def discriminator(self, at, image, labels=None):
        levels = halvings(image.shape[2:], 7)
        out = lambda left: 8 * self.width >> left  # noqa: E731
        stages = [F.leaky_relu(self.conv(at / "image", image, out(levels), 3, padding=1), 0.2)]
        for level in range(1, levels + 1):
            a, c, before = at / f"stage{level}", out(levels - level), stages[-1]
            x = F.leaky_relu(self.norm(a / "norm0", self.conv(a / "conv0", before, c, 4, stride=2, padding=1)), 0.2)
            x = F.leaky_relu(self.norm(a / "norm1", self.conv(a / "conv1", x, c, 3, padding=1)), 0.2)
            y = self.norm(a / "beside_norm", self.conv(a / "beside", F.avg_pool2d(before, 2), c))
            x = (x + F.leaky_relu(y, 0.2)) / 2
            if level >= 3:
                x = self.excite(a / "excitation", stages[level - 3], x, (4, 4))
            stages.append(x)
        last, a = stages[-1], at / "logit"
        x = F.leaky_relu(self.norm(a / "norm", self.conv(a / "conv", last, 16 * self.width)), 0.2)
        logits = self.conv(a / "patches", x, 1, 4).flatten(1)
        halved = x = F.avg_pool2d(image, 2)
        distances = None
        if levels >= 2:
            a = at / "small"
            for level in range(2, levels + 1):
                x = self.conv(a / f"stage{level}" / "conv", x, out(levels - level + 1), 4, stride=2, padding=1)
                x = F.leaky_relu(self.norm(a / f"stage{level}" / "norm", x) if level > 2 else x, 0.2)
            small = x
            logits = torch.cat([logits, self.conv(a / "patches", small, 1, 4).flatten(1)], 1)
            a, channels = at / "decoder", image.shape[1]
            quarter = lambda t: t[:, :, :t.shape[2] // 2, :t.shape[3] // 2]  # noqa: E731
            distance = lambda a, b: (a - b).square().mean((1, 2, 3))  # noqa: E731
            draw = lambda name, f: self.decode(a / name, f, levels - 1, channels)  # noqa: E731
            distances = distance(draw("large", last), halved) + distance(draw("small", small), halved)
            distances = distances + distance(draw("part", quarter(stages[-2])), quarter(image))
        logits = logits.mean(1, keepdim=True)
        if self.classes:
            logits = logits + (last.mean((2, 3)) * self.embed(at, labels, out(0))).sum(1, keepdim=True)
        return logits, distances


TEXT = [f"# Made by tools/goldens_style.py with PyTorch {torch.__version__} in f64."]


def block(kind, name, value):
    TEXT.append(" ".join([kind, name, *map(str, value.shape)]))
    TEXT.append(" ".join(f"{float(v):.12g}" for v in value.reshape(-1)))


def counts(name, model, latent, size, channels=3):
    """Trainable parameters of both networks, found by building them without values."""
    at = lambda side: At(f"{name}/{side}", "meta")  # noqa: E731
    labels = torch.zeros(4, dtype=torch.int64, device="meta")
    g, d = at("G"), at("D")
    model.generator(g, torch.empty((4, latent), device="meta"), size, channels, labels)
    model.discriminator(d, torch.empty((4, channels, *size), device="meta"), labels)
    print(f"{name}: G {g.count():,}, D {d.count():,}")
    block("counts", name, np.array([g.count(), d.count()]))


def golden(name, model, latent, size, channels=3, batch=2, every=1, **options):
    z = torch.from_numpy(uniform(f"{name}/z", batch * latent).reshape(batch, latent) * 1.7)
    images = torch.from_numpy(uniform(f"{name}/x", batch * math.prod(size) * channels).reshape(batch, *size, channels))
    labels = torch.tensor([(3 * i + 1) % model.classes for i in range(batch)]) if model.classes else None
    made = model.generator(At(f"{name}/G"), z, size, channels, labels, **options).permute(0, 2, 3, 1)
    block("image", name, made[:, ::every, ::every].detach().numpy())
    judged = model.discriminator(At(f"{name}/D"), images.permute(0, 3, 1, 2), labels)
    if isinstance(judged, tuple):
        judged, distances = judged
        if distances is not None:
            block("distances", name, distances.numpy())
    block("logits", name, judged[:, 0].numpy())


def main():
    # Published widths: R3GAN's train.py; stylegan2-ada-pytorch's train.py (configurations cifar, paper256, auto);
    # FastGAN's train.py. FastGAN's generator has in addition a convolution to a second image, 64 x 3 weights.
    counts("r3gan/cifar", R3Gan([768] * 4, [2] * 4, 10), 64, (32, 32))
    counts("r3gan/ffhq64", R3Gan([768] * 4 + [384], [2] * 5), 64, (64, 64))
    counts("r3gan/ffhq256", R3Gan([768] * 4 + [384, 192, 96], [2] * 7), 64, (256, 256))
    cifar = dict(classes=10, residual=False, group=32)
    cifar_g, cifar_d = StyleGan2(32768, 512, 512, 2, **cifar), StyleGan2(32768, 512, 512, 8, **cifar)
    cifar_g.discriminator = cifar_d.discriminator
    counts("stylegan2/cifar", cifar_g, 512, (32, 32))
    counts("stylegan2/ffhq256", StyleGan2(16384, 512, 512, 8), 512, (256, 256))
    counts("stylegan2/ffhq1024", StyleGan2(32768, 512, 512, 8), 512, (1024, 1024))
    counts("fastgan/256", FastGan(64), 256, (256, 256))
    golden("r3gan/cifar", R3Gan([768] * 4, [2] * 4, 10), 64, (32, 32), every=2)
    golden("r3gan/rectangle", R3Gan([48, 24, 16], [1, 2, 0]), 8, (12, 20), channels=4)
    golden("stylegan2/plain", StyleGan2(128, 16, 12, 2), 8, (16, 16), batch=4, every=2)
    golden("stylegan2/classes", StyleGan2(128, 16, 12, 3, classes=5, group=2), 8, (16, 16), batch=4, every=2, truncation=0.7)
    golden("stylegan2/other", StyleGan2(128, 16, 12, 1, residual=False, residual_generator=True, group=2, stddev=2), 8,
           (12, 20), channels=4, batch=4, every=2)
    golden("fastgan/64", FastGan(4), 10, (64, 64), every=4)
    golden("fastgan/rectangle", FastGan(4, classes=3), 10, (28, 56), channels=1, every=4)
    path = CRATES / "gan/goldens/style.txt"
    path.write_text("\n".join(TEXT) + "\n")
    print(f"{path.name}: {path.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main()
