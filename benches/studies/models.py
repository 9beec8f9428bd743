"""Every model at a CPU's width: 300 steps on real images. Are all losses finite, and do the samples improve?

    python3 benches/studies/models.py --data path/to/cifar-10-batches-bin

Two scores of 2,000 samples beside as many real ones after 30 and after 300 steps: the Frechet distance in the features of a classifier
of the same data, and 1000 times the sliced Wasserstein distance of patches, which knows no classes: on few images a classifier takes
blots of colour for things. Samples improve where the latter falls.
"""

import math

import study

FIRST, STEPS = 30, 300
ADAM = "beta1 = 0.0, beta2 = 0.99"
RECIPE = """
name = "{name}"
about = "{name} for a study"
[data]
shape = [32, 32, 3]
default = "path/to/cifar-10-batches-bin"
{classes}
[latent]
dim = {latent}
[train]
batch = {batch}
images = {images}
[loss]
name = "{loss}"
{more}
[ema]
half_life = 500
[generator]
model = "{name}"
options = {{ {generator} }}
optimizer = {{ kind = "adam", lr = {lr}, {adam} }}
[discriminator]
model = "{name}"
options = {{ {discriminator} }}
{spectral}
optimizer = {{ kind = "adam", lr = {critic_lr}, {adam} }}
"""

R1R2 = '[[regularizers]]\nname = "r1"\nstrength = 0.5\n[[regularizers]]\nname = "r2"\nstrength = 0.5'
USUAL = dict(classes="", latent=64, batch=32, more="", adam=ADAM, spectral="", lr=2e-4, critic_lr=2e-4, loss="hinge")
HINGE = dict(USUAL, spectral="spectral_norm = 1", lr=1e-4, critic_lr=4e-4)
MODELS = {
    "dcgan": dict(USUAL, batch=64, loss="non-saturating", adam="beta1 = 0.5, beta2 = 0.999", generator="channels = 32",
                  discriminator="channels = 32"),
    "resnet": dict(HINGE, generator="channels = 8, multipliers = [8, 8, 6, 3]",
                   discriminator="channels = 8, multipliers = [4, 6, 6, 6]"),
    "sagan": dict(HINGE, generator="channels = 8, multipliers = [8, 8, 6, 3], attention = [16]",
                  discriminator="channels = 8, multipliers = [4, 6, 6, 6], attention = [16]"),
    "biggan": dict(HINGE, classes="classes = 10", generator="channels = 8, multipliers = [8, 8, 6, 3], attention = [16], shared = 32",
                   discriminator="channels = 8, multipliers = [4, 6, 6, 6], attention = [16]"),
    "stylegan2": dict(USUAL, batch=16, loss="non-saturating", lr=2.5e-3, critic_lr=2.5e-3,
                      more='[[regularizers]]\nname = "r1"\nstrength = 0.1\nevery = 16',
                      generator="channel_base = 2048, channel_max = 64, style_width = 64, mapping_layers = 2",
                      discriminator="channel_base = 2048, channel_max = 64"),
    "r3gan": dict(USUAL, loss="relativistic-pairing", more=R1R2, lr=1e-3, critic_lr=1e-3,
                  generator="widths = [96, 64, 48, 32], blocks = [1, 1, 1, 0]",
                  discriminator="widths = [96, 64, 48, 32], blocks = [1, 1, 1, 0]"),
    "fastgan": dict(USUAL, batch=8, more='[[regularizers]]\nname = "reconstruction"', adam="beta1 = 0.5, beta2 = 0.999",
                    generator="width = 16", discriminator="width = 16"),
}


def scored(args, folder):
    """The Frechet distance, and the mean of the sliced Wasserstein distance over levels."""
    report = study.scores(args, folder, args.data, "frechet,sliced-wasserstein", "--n", 2000)
    values = {score["name"]: score["value"] for score in report["scores"]}
    return [next(value for name, value in values.items() if name.startswith(wanted))
            for wanted in ("Frechet distance", "sliced Wasserstein distance x 1000, mean")]


def main():
    args = study.arguments(__doc__, data=dict(required=True), only=dict(default=",".join(MODELS)))
    rows = []
    for name in args.only.split(","):
        keys = MODELS[name]
        args.out.mkdir(parents=True, exist_ok=True)
        recipe = args.out / f"{name}.toml"
        recipe.write_text(RECIPE.format(name=name, images=STEPS * keys["batch"], **keys))
        folder, first_seconds = study.train(args, name, args.data, "--recipe", recipe, "--seed", 1, "--images", FIRST * keys["batch"])
        first = scored(args, folder)
        seconds = first_seconds + study.resume(args, folder, STEPS * keys["batch"])
        last = scored(args, folder)
        ticks = study.log(folder)
        values = [tick[key] for tick in ticks for key in ("d_loss", "g_loss")]
        finite = all(math.isfinite(value) for value in values) and sum(tick["skipped"] for tick in ticks) == 0
        rows.append([f"`{name}`", keys["batch"], f"{seconds:.0f} s", "all finite" if finite else "NOT FINITE",
                     *(f"{value:.1f}" for pair in zip(first, last) for value in pair), "yes" if last[1] < first[1] else "NO"])
        study.table(["model", "batch", "time", "losses", f"Frechet after {FIRST} steps", f"after {STEPS}",
                     f"sliced Wasserstein after {FIRST}", f"after {STEPS}", "improved"], rows)


main()
