"""StackedMNIST: how many of the 1000 modes a recipe keeps, and the KL divergence of their shares from equal ones.

    python3 benches/studies/stacked.py --mnist path/to/mnist --extractor judge.safetensors --minutes 20 --seed 2

26,000 samples, labelled by the classifier of one digit that --extractor names, as Metz et al. (2017) and Lin et al. (2018) count.
Without --extractor a classifier is trained on the data. `--set KEY=VALUE` goes to `ganymede train`, `--loss non-saturating` stands for
that loss without penalties at DCGAN's rates.
"""

import study

PLAIN = ["--set", "loss.name=non-saturating", "--set", "regularizers=[]", "--set", "lr=2e-4", "--set", "beta1=0.5", "--set", "beta2=0.999"]


def main():
    args = study.arguments(__doc__, mnist=dict(required=True), extractor=dict(default=None), recipe=dict(default="r3-stacked"),
                           seed=dict(default="1"), minutes=dict(default=None), images=dict(default=None),
                           loss=dict(choices=["recipe", "non-saturating"], default="recipe"),
                           set=dict(action="append", default=[]))
    data = f"stacked:{args.mnist}"
    words = ["--recipe", args.recipe, "--seed", args.seed]
    for option in ("minutes", "images"):
        if getattr(args, option):
            words += [f"--{option}", getattr(args, option)]
    words += PLAIN if args.loss == "non-saturating" else []
    for change in args.set:
        words += ["--set", change]
    folder, seconds = study.train(args, f"stacked-{args.loss}-{args.seed}", data, *words)
    seen = ["--extractor", args.extractor] if args.extractor else []
    report = study.scores(args, folder, data, "modes", *seen)
    images = report["source"]["images"]
    values = [score["value"] for score in report["scores"]]
    study.table(["loss", "seed", "images", "minutes", "modes of 1000", "KL", "digits with p >= .9"],
                [[args.loss, args.seed, images, f"{seconds / 60:.1f}", f"{values[0]:.0f}", f"{values[1]:.3f}", f"{100 * values[2]:.1f} %"]])


main()
