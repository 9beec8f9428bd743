#!/usr/bin/env python3
"""Images a minute through Inception-v3: ours (crates/gan/examples/network_speed.rs) beside PyTorch's, in turn.

    python -m venv torch && torch/bin/pip install torch torchvision numpy
    torch/bin/python benches/peers/inception.py [--threads N] [--rounds N] [--batch N] [--bin FILE]

One JSON line a measurement, and at the end the medians side by side. PyTorch runs torchvision's network (the layers of the FID
form; its pools differ in what they count) under random weights, in eval and inference mode, its images already of 299x299, with the
usual and with the channels-last layout; ours under random weights too. The least and the median of five repetitions, as
timing.py has it."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from timing import measure, report

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def torch_side(options):
    import torch
    import torchvision

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = torchvision.models.inception_v3(weights=None, init_weights=False).eval()
    images = torch.rand(options.batch, 3, 299, 299) * 2 - 1
    if options.torch == "channels-last":
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        times = measure(lambda: model(images), lambda _: None)
    rate = lambda ms: round(60_000 * options.batch / ms)
    report(network="inception-v3", peer=f"torch {torch.__version__} {options.torch}", batch=options.batch,
           threads=torch.get_num_threads(), images_a_minute=rate(times["ms_min"]),
           images_a_minute_median=rate(times["ms_med"]))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--bin", help="the built example; without, cargo builds it")
    p.add_argument("--torch", choices=("plain", "channels-last"), help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.torch:
        return torch_side(options)
    if not options.bin:
        build = ["cargo", "build", "--release", "-p", "ganymede", "--example", "network_speed", "--message-format", "json"]
        lines = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        options.bin = next(m["executable"] for m in map(json.loads, lines)
                           if m.get("target", {}).get("name") == "network_speed" and m.get("executable"))
    ours = [options.bin, f"--batch={options.batch}"] + ([f"--threads={options.threads}"] if options.threads else [])
    theirs = [sys.executable, __file__, "--batch", str(options.batch), "--threads", str(options.threads), "--torch"]
    commands = {"ganymede": ours, "torch": theirs + ["plain"], "torch, channels last": theirs + ["channels-last"]}
    found = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            print(line, flush=True)
            found[name].append(json.loads(line)["images_a_minute_median"])
    for name, rates in found.items():
        print(f"{name:22} {statistics.median(rates):7.0f} images a minute (median of {len(rates)})")


main()
