"""The same minutes for the same pair of networks, ours and Keras's, at the same time on a core each, judged alike.

    python3 benches/studies/keras.py --data path/to/mnist --keras-python tf/bin/python --seeds 3

Recipe dcgan28 as it comes against benches/peers/keras_run.py. Each trains on one thread, kept to a core of its own; the next seed
exchanges the cores. 10,000 samples of each, the scores of one extractor.
"""

import json
import pathlib
import statistics
import subprocess

import study

PEER = pathlib.Path(__file__).parents[1] / "peers" / "keras_run.py"


def both(args, data, seed):
    """Trains the two at once: their folders and the images that each was shown."""
    ours, theirs = study.emptied(args.out / f"ours-{seed}"), study.emptied(args.out / f"keras-{seed}")
    cores = [str((seed + side) % 2) for side in (0, 1)]
    words = [args.ganymede, "train", data, "--recipe", "dcgan28", "--minutes", args.minutes, "--seed", str(seed), "--threads", "1",
             "--out", str(ours), "--json"]
    peer = [args.keras_python, str(PEER), data, str(theirs), "--minutes", args.minutes, "--seed", str(seed), "--threads", "1"]
    running = [subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for core, command in zip(cores, (words, peer))]
    ends = []
    for process in running:
        out, errors = process.communicate()
        if process.returncode != 0:
            raise SystemExit(errors)
        ends.append(json.loads(out.splitlines()[-1]))
    return [(ours, ends[0]["images"]), (theirs, ends[1]["images"])]


def main():
    args = study.arguments(__doc__, data=dict(required=True), seeds=dict(type=int, default=3), minutes=dict(default="10"),
                           keras_python=dict(default="python3"), first=dict(type=int, default=1),
                           metrics=dict(default="frechet,kid,precision-recall,classes"))
    rows, values = [], {}
    for seed in range(args.first, args.first + args.seeds):
        for name, (folder, images) in zip(("Ganymede", "Keras"), both(args, args.data, seed)):
            report = study.scores(args, folder, args.data, args.metrics, "--n", 10_000)
            scores = {score["name"]: score["value"] for score in report["scores"]}
            head = ["", "seed", "images", *scores]
            rows.append([name, seed, images, *(f"{value:.4g}" for value in scores.values())])
            values.setdefault(name, []).append(list(scores.values()))
            study.table(head, rows[-1:])
    for name, found in values.items():
        rows.append([name, "mean", "", *(f"{statistics.mean(column):.4g}" for column in zip(*found))])
    print()
    study.table(head, rows)


main()
