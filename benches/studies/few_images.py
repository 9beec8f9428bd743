"""A thousand images: what differentiable and adaptive augmentation change, as curves over the length of training.

    python3 benches/studies/few_images.py --data path/to/fashion-mnist --seeds 3

Frechet distance of 5,000 samples from 5,000 of all training images (not only the thousand), in the features of --extractor
or of a classifier trained on all of them; precision and recall beside it. Figures go to OUT/few_images.json after each run.
"""

import json
import statistics

import study

RUNS = {
    "none": [],
    "diffaugment": ["--set", 'augment.policy=["translation","cutout"]'],
    "ada": ["--set", 'augment.policy=["blit","geometry"]', "--set", "augment.target=0.6", "--set", "augment.ramp=20000"],
}


def main():
    args = study.arguments(__doc__, data=dict(required=True), extractor=dict(default=None), recipe=dict(default="dcgan28"),
                           seeds=dict(type=int, default=3), limit=dict(default="1000"), only=dict(default=",".join(RUNS)),
                           images=dict(default="10000,20000,30000,45000,60000"))
    seen = ["--extractor", args.extractor] if args.extractor else []
    lengths = [int(length) for length in args.images.split(",")]
    found = {}
    for seed in range(1, args.seeds + 1):
        for name in args.only.split(","):
            words = ["--limit", args.limit, "--recipe", args.recipe, "--seed", seed, "--images", lengths[0], *RUNS[name]]
            folder, seconds = study.train(args, f"{name}-{seed}", args.data, *words)
            for length in lengths:
                if length != lengths[0]:
                    seconds += study.resume(args, folder, length)
                report = study.scores(args, folder, args.data, "frechet,precision-recall", "--n", 5000, *seen)
                point = {score["name"]: score["value"] for score in report["scores"]}
                found.setdefault(name, {}).setdefault(length, []).append(dict(point, seed=seed, seconds=seconds))
            (args.out / "few_images.json").write_text(json.dumps(found, indent=1))
            show(found, lengths)


def show(found, lengths):
    rows = []
    for name, points in found.items():
        for length in lengths:
            runs = points[length]
            cells = []
            for score in (key for key in runs[0] if key not in ("seed", "seconds")):
                values = [run[score] for run in runs]
                spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.3g}{spread}")
            rows.append([name, length, len(runs), *cells])
    names = [key.split(" (")[0] for key in next(iter(found.values()))[lengths[0]][0] if key not in ("seed", "seconds")]
    study.table(["augmentation", "images shown", "seeds", *names], rows)


main()
