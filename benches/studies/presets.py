"""Recipes on real data for some minutes each: images shown, time, peak memory, Frechet distance early and at the end, and a picture.

    python3 benches/studies/presets.py --data path/to/data --large path/to/pictures [--minutes 6] [--only r3-32,dcgan64]

--data is a folder with mnist, cifar-10-batches-bin, photos and facades in it, --large one of at least 64 pictures of any size, which the
recipes for many images of 64 pixels learn. OUT/RECIPE.png is the last grid of samples. The early score is that of a run of a tenth of the
time; both are of 1,000 samples, seen through --extractor (random-conv, as it needs no labels), and compare with nothing else.
"""

import json
import shutil

import study

CIFAR, LARGE = "cifar-10-batches-bin", "large"
SETS = {
    "wgangp28": "mnist", "residual28": "mnist", "sg2-28": "fashion-mnist", "r3-32": CIFAR, "r3-32-cond": CIFAR, "sngan32": CIFAR,
    "r3-64": LARGE, "dcgan64": LARGE, "sg2-64-ada": "photos?size=64", "fewshot-64": "facades?size=64",
}


def main():
    args = study.arguments(__doc__, data=dict(required=True), large=dict(required=True), minutes=dict(type=float, default=6),
                           extractor=dict(default="random-conv"), only=dict(default=",".join(SETS)))
    rows, head = [], ["recipe", "data", "images", "minutes", "memory, MiB", "Frechet early", "at the end"]
    for name in args.only.split(","):
        data = f"{args.large}?size=64" if SETS[name] == LARGE else f"{args.data}/{SETS[name]}"
        folder = study.emptied(args.out / name)
        scored = []
        for minutes in (args.minutes / 10, args.minutes):
            words = ["train", data, "--recipe", name, "--seed", 1, "--minutes", minutes, "--out", study.emptied(folder)]
            end = json.loads(study.call(args, *words, "--json").splitlines()[-1])
            report = study.scores(args, folder, data, "frechet", "--n", 1000, "--extractor", args.extractor)
            scored.append(report["scores"][0]["value"])
        grids = sorted((folder / "samples").glob("*.png"))
        shutil.copy(grids[-1], args.out / f"{name}.png")
        told = [end["images"], f"{end['seconds'] / 60:.1f}", f"{end['peak_rss_bytes'] / 2**20:.0f}"]
        rows.append([f"`{name}`", SETS[name].split("?")[0], *told, *(f"{value:.3g}" for value in scored)])
        (args.out / "presets.json").write_text(json.dumps(rows))
        study.table(head, rows[-1:])
    print()
    study.table(head, rows)


main()
