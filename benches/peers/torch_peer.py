"""A training step of one workload in PyTorch. Layers, batch, loss and optimizer are those of crates/gan/workloads.

    torch_peer.py WORKLOAD [--threads N] [--channels-last] [--bf16] [--compile] [--no-freeze] [--quick]

The discriminator is frozen in the generator's step, where no gradient of its weights is needed; --no-freeze leaves it
trainable there, as many scripts do."""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

from timing import measure, report, unsupported

P = argparse.ArgumentParser()
P.add_argument("workload")
P.add_argument("--threads", type=int, default=0)
for flag in ("--channels-last", "--bf16", "--compile", "--no-freeze", "--quick"):
    P.add_argument(flag, action="store_true")
O = P.parse_args()
if O.threads:
    torch.set_num_threads(O.threads)
torch.manual_seed(0)


def leaky():
    return nn.LeakyReLU(0.2)


def view(*shape):
    return nn.Unflatten(1, shape)


def chain(*layers):
    return nn.Sequential(*layers)


def guide_dense():
    g = chain(nn.Linear(100, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 784), nn.Tanh(), view(1, 28, 28))
    d = chain(nn.Conv2d(1, 64, 5), nn.ReLU(), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(36864, 1024), nn.ReLU(), nn.Linear(1024, 1))
    return g, d


def guide_deconv():
    def up(a, b):
        return nn.ConvTranspose2d(a, b, 5, stride=2, padding=2, output_padding=1)

    g = chain(nn.Linear(100, 49), nn.ReLU(), view(1, 7, 7), up(1, 64), leaky(), up(64, 32), leaky(), nn.Conv2d(32, 1, 5, padding=2), nn.Tanh())
    d = chain(
        nn.Conv2d(1, 64, 5, stride=2, padding=2), leaky(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 5, stride=2, padding=2), leaky(), nn.Flatten(), nn.Linear(2048, 1),
    )
    return g, d


def dcgan28():
    def up(a, b):
        return [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), nn.BatchNorm2d(b), leaky()]

    def down(a, b):
        return [nn.Conv2d(a, b, 5, stride=2, padding=2), leaky()]

    g = chain(
        nn.Linear(100, 6272), nn.BatchNorm1d(6272), leaky(), view(128, 7, 7), *up(128, 64), *up(64, 32),
        nn.Conv2d(32, 1, 5, padding=2), nn.Tanh(),
    )
    return g, chain(*down(1, 64), *down(64, 128), nn.Flatten(), nn.Linear(6272, 1))


def dcgan64():
    def up(a, b, stride=2, padding=1):
        return [nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    def down(a, b):
        return [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), leaky()]

    g = chain(
        view(100, 1, 1), *up(100, 512, 1, 0), *up(512, 256), *up(256, 128), *up(128, 64),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )
    d = chain(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False), leaky(), *down(64, 128), *down(128, 256), *down(256, 512),
        nn.Conv2d(512, 1, 4, bias=False), nn.Flatten(),
    )
    return g, d


def mlp2d():
    def net():
        return chain(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())

    return chain(*net(), nn.Linear(128, 2)), chain(*net(), nn.Linear(128, 1))


def ctgan():
    def block(a, b):
        return [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]

    g = chain(*block(128, 256), *block(256, 256), nn.Linear(256, 156), nn.Tanh())
    return g, chain(nn.Linear(156, 256), leaky(), nn.Linear(256, 256), leaky(), nn.Linear(256, 1))


# Networks, batch, latent size, sample shape, weights of the gradient penalty and of R1 (on the squared norm).
WORKLOADS = {
    "guide-dense": (guide_dense, 100, 100, (1, 28, 28), 0.0, 0.0),
    "guide-deconv": (guide_deconv, 100, 100, (1, 28, 28), 0.0, 0.0),
    "dcgan28": (dcgan28, 128, 100, (1, 28, 28), 0.0, 0.0),
    "wgangp28": (dcgan28, 128, 100, (1, 28, 28), 10.0, 0.0),
    "r1-28": (dcgan28, 128, 100, (1, 28, 28), 0.0, 5.0),
    "dcgan64": (dcgan64, 64, 100, (3, 64, 64), 0.0, 0.0),
    "mlp2d": (mlp2d, 256, 2, (2,), 0.0, 0.0),
    "ctgan": (ctgan, 500, 128, (156,), 10.0, 0.0),
}
if O.workload not in WORKLOADS:
    raise SystemExit(f"unknown workload {O.workload}: expected one of {', '.join(WORKLOADS)}")
networks, batch, latent, shape, penalty, r1 = WORKLOADS[O.workload]
if O.compile and (penalty or r1):
    unsupported("torch.compile has no double backward")
generator, discriminator = networks()
parameters = [sum(p.numel() for p in net.parameters()) for net in (generator, discriminator)]
if O.channels_last:
    generator, discriminator = (net.to(memory_format=torch.channels_last) for net in (generator, discriminator))
weights_g, weights_d = list(generator.parameters()), list(discriminator.parameters())
optimizer_g, optimizer_d = (torch.optim.Adam(w, lr=2e-4, betas=(0.5, 0.999)) for w in (weights_g, weights_d))
real = torch.randn(batch, *shape)
if O.channels_last and len(shape) == 3:
    real = real.to(memory_format=torch.channels_last)
G, D = (torch.compile(generator), torch.compile(discriminator)) if O.compile else (generator, discriminator)


def mixed():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=O.bf16)


def gradient_norms(outputs, inputs):
    gradient, = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return gradient.flatten(1)


def discriminator_step():
    optimizer_d.zero_grad()
    with mixed():
        with torch.no_grad():
            fake = G(torch.randn(batch, latent))
        shown = real.detach().requires_grad_(True) if r1 else real
        on_real, on_fake = D(shown), D(fake)
        loss = on_fake.mean() - on_real.mean() if penalty else F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
    if penalty:
        share = torch.rand(batch, *[1] * len(shape))
        between = (share * real + (1 - share) * fake.float()).requires_grad_(True)
        loss = loss + penalty * (gradient_norms(D(between), between).norm(2, dim=1) - 1).square().mean()
    if r1:
        loss = loss + r1 * gradient_norms(on_real, shown).square().sum(1).mean()
    loss.backward()
    optimizer_d.step()


def generator_step():
    optimizer_g.zero_grad()
    if not O.no_freeze:
        for w in weights_d:
            w.requires_grad_(False)
    with mixed():
        logits = D(G(torch.randn(batch, latent)))
        loss = -logits.mean() if penalty else F.softplus(-logits).mean()
    loss.backward()
    optimizer_g.step()
    if not O.no_freeze:
        for w in weights_d:
            w.requires_grad_(True)
    return loss


def step():
    discriminator_step()
    return generator_step()


figures = measure(step, lambda loss: loss.item(), O.quick)
names = [("channels_last", "channels-last"), ("bf16", "bf16"), ("compile", "torch.compile"), ("no_freeze", "not frozen")]
said = [name for key, name in names if getattr(O, key)]
report(peer=" ".join(["PyTorch", torch.__version__, *said]), workload=O.workload, batch=batch, parameters=parameters, **figures)
