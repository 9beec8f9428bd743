"""A thousand images: what differentiable and adaptive augmentation change, as curves over the length of training.

    python3 benches/studies/few_images.py --data path/to/fashion-mnist --seeds 3

Frechet distance of 5,000 samples from 5,000 of all training images (not only the thousand), in the features of --extractor
or of a classifier trained on all of them; precision, recall and how far the discriminator knows its images by heart (r_v, the
mean of the last ticks) beside it. Figures go to OUT/few_images.json after each run.

    python3 benches/studies/few_images.py --draw curves.png OUT/few_images.json [..]

With --on the runs in OUT are trained on to further lengths, and the figures added. The second command
draws the curves of such files, the mean over seeds with the range between them, and prints their table (matplotlib is needed).
"""

import json
import pathlib
import statistics
import sys

import study

# Ticks of which r_v is the mean: one alone is of 128 training and 128 held-out images.
LAST = 8
RECIPE = pathlib.Path(__file__).parent / "few28.toml"
RUNS = {
    "none": [],
    "diffaugment": ["--set", 'augment.policy=["translation","cutout"]'],
    "ada": ["--set", 'augment.policy=["blit","geometry"]', "--set", "augment.target=0.6", "--set", "augment.ramp=20000"],
}


def draw(picture, files):
    """The Frechet distance over the length of training, a curve each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plot

    found = {}
    for file in files:
        for name, points in json.loads(pathlib.Path(file).read_text()).items():
            for length, runs in points.items():
                found.setdefault(name, {}).setdefault(int(length), []).extend(runs)
    figure, axes = plot.subplots(figsize=(7, 4.2), dpi=110)
    for name, points in found.items():
        lengths = sorted(points)
        values = [[run[key] for run in points[length] for key in run if key.startswith("Frechet")] for length in lengths]
        drawn = axes.plot([length / 1000 for length in lengths], [statistics.mean(v) for v in values], marker="o", label=name)
        axes.fill_between([length / 1000 for length in lengths], [min(v) for v in values], [max(v) for v in values], alpha=0.2,
                          color=drawn[0].get_color(), linewidth=0)
    axes.set(xlabel="thousand images shown", ylabel="Frechet distance, classifier features", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(title="augmentation")
    figure.tight_layout()
    figure.savefig(picture)
    show(found, sorted(next(iter(found.values()))))


def main():
    if sys.argv[1:2] == ["--draw"]:
        if len(sys.argv) < 4:
            raise SystemExit("few_images.py --draw PICTURE FILE..: expected a picture to write and files to draw")
        return draw(sys.argv[2], sys.argv[3:])
    args = study.arguments(__doc__, data=dict(required=True), extractor=dict(default=None), recipe=dict(default=str(RECIPE)),
                           seeds=dict(type=int, default=3), limit=dict(default="1000"), only=dict(default=",".join(RUNS)),
                           first=dict(type=int, default=1), on=dict(action="store_true"),
                           images=dict(default="100000,300000,600000,1000000"))
    seen = ["--extractor", args.extractor] if args.extractor else []
    lengths = [int(length) for length in args.images.split(",")]
    kept = args.out / "few_images.json"
    found = json.loads(kept.read_text()) if args.on else {}
    for seed in range(args.first, args.first + args.seeds):
        for name in args.only.split(","):
            folder, seconds = args.out / f"{name}-{seed}", 0.0
            if not args.on:
                words = ["--limit", args.limit, "--recipe", args.recipe, "--seed", seed, "--images", lengths[0], *RUNS[name]]
                folder, seconds = study.train(args, folder.name, args.data, *words)
            for length in lengths:
                if args.on or length != lengths[0]:
                    seconds += study.resume(args, folder, length)
                report = study.scores(args, folder, args.data, "frechet,precision-recall", "--n", 5000, *seen)
                point = {score["name"]: score["value"] for score in report["scores"]}
                ticks = [line["overfitting"] for line in study.log(folder) if line.get("overfitting") is not None]
                point["r_v"] = statistics.mean(ticks[-LAST:]) if ticks else float("nan")
                found.setdefault(name, {}).setdefault(str(length), []).append(dict(point, seed=seed, seconds=seconds))
            kept.write_text(json.dumps(found, indent=1))
            show(found, [str(length) for length in lengths])


def show(found, lengths):
    rows = []
    for name, points in found.items():
        for length in lengths:
            runs = points[length]
            cells = []
            for score in (key for key in runs[0] if key not in ("seed", "seconds")):
                values = [run.get(score, float("nan")) for run in runs]
                spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.3g}{spread}")
            rows.append([name, length, len(runs), *cells])
    names = [key.split(" (")[0] for key in next(iter(found.values()))[lengths[0]][0] if key not in ("seed", "seconds")]
    study.table(["augmentation", "images shown", "seeds", *names], rows)


main()
