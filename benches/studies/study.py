"""What the studies share: running the binary and reading what it wrote. Only the standard library is needed."""

import argparse
import json
import pathlib
import shutil
import subprocess
import time


def arguments(about, **more):
    """The options of a study; `more` maps further ones to their keywords."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--ganymede", default="target/release/ganymede", help="the binary")
    parser.add_argument("--out", default="studies", type=pathlib.Path, help="folder of the runs, each emptied first")
    parser.add_argument("--threads", default="2", help="threads of a run")
    for name, keywords in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)
    return parser.parse_args()


def call(args, *words):
    """Standard output of `ganymede WORDS`; its message ends the study where it fails."""
    done = subprocess.run([args.ganymede, *map(str, words), "--threads", args.threads], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"ganymede {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def emptied(folder):
    """`folder`, which is not there any more and whose parent is."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def train(args, name, data, *words):
    """Trains anew into `args.out`/name and gives (folder, seconds)."""
    folder = emptied(args.out / name)
    began = time.monotonic()
    call(args, "train", data, *words, "--out", folder)
    return folder, time.monotonic() - began


def resume(args, folder, images):
    """Trains on to `images` and gives the seconds it took."""
    began = time.monotonic()
    call(args, "train", "--resume", folder, "--images", images)
    return time.monotonic() - began


def log(folder):
    """The lines of a run's log that tell of a tick."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines() if '"d_loss"' in line]


def scores(args, folder, data, metrics, *words):
    """Scores of a run by name, as `ganymede eval` writes them."""
    call(args, "eval", folder, "--data", data, "--metrics", metrics, *words)
    return json.loads((folder / "report.json").read_text())


def table(head, rows):
    """Prints rows under a head, as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    print("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines), flush=True)
