"""`mlp2d` on mixtures in the plane: modes, share within 3 sigma, reverse KL, spread inside modes, seconds.

    python3 benches/studies/points.py [--seeds 5]

The 25-grid over several seeds, and other spacings, deviations, weights and a ring once each, on which nothing was tuned.
"""

import json

import study

OTHERS = [
    "synthetic:grid25?spacing=1&sigma=.05",
    "synthetic:grid25?spacing=1.5&sigma=.08",
    "synthetic:grid25?spacing=3&sigma=.05",
    "synthetic:grid25?weights=linear",
    "synthetic:ring8",
    "synthetic:ring8?radius=3&sigma=.08",
]


def main():
    args = study.arguments(__doc__, seeds=dict(type=int, default=5), recipe=dict(default="mlp2d"),
                           others=dict(default=" ".join(OTHERS)))
    runs = [("synthetic:grid25", seed) for seed in range(1, args.seeds + 1)] + [(data, 1) for data in args.others.split()]
    rows = []
    for data, seed in runs:
        folder = args.out / "points"
        output = study.call(args, "train", data, "--recipe", args.recipe, "--seed", seed, "--out", study.emptied(folder), "--json")
        end = json.loads(output.splitlines()[-1])
        m = end["mixture"]
        spread = [value for value in m["spread"] if value is not None]
        rows.append([f"`{data}`", seed, f"{m['modes']} of {m['total_modes']}", f"{100 * m['high_quality']:.1f} %",
                     f"{m['reverse_kl']:.4f}", f"{min(spread):.2f} to {max(spread):.2f}", f"{end['seconds']:.0f}"])
        study.table(["data", "seed", "modes", "within 3 sigma", "reverse KL", "spread inside modes", "seconds"], rows[-1:])
    print()
    study.table(["data", "seed", "modes", "within 3 sigma", "reverse KL", "spread inside modes", "seconds"], rows)


main()
