#!/usr/bin/env python3
"""Speed beside TensorFlow, PyTorch, Burn and Candle, in one command:

    python3 benches/peers/run.py                    everything; writes the table in docs/benchmarks.md
    python3 benches/peers/run.py --quick            a look at it: one round of short measurements, writes nothing
    python3 benches/peers/run.py --workloads dcgan28 dcgan64 --peers torch tensorflow
    python3 benches/peers/run.py --table-from target/peers/results.jsonl
    python3 benches/peers/run.py --roofline         only where our own time goes

Ours and a peer are measured in turn (ours, PyTorch, ours, TensorFlow, ours, ..; the whole sequence --rounds times), each
in a process of its own, so that every peer has a run of ours on either side. A ratio compares neighbours only, since the
speed of a shared machine drifts; the table has the median of these ratios. Needs cargo and Python 3.9 with venv; PyTorch
and TensorFlow are installed under target/peers unless --torch-python and --tf-python name interpreters that have them."""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / "target" / "peers"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PEERS_PART, ROOFLINE_PART = "peers", "roofline"

WORKLOADS = ["guide-dense", "guide-deconv", "dcgan28", "wgangp28", "r1-28", "dcgan64", "mlp2d", "ctgan"]
BF16_WORKLOADS = ["dcgan28", "dcgan64"]
IMAGES = ["guide-dense", "guide-deconv", "dcgan28", "wgangp28", "r1-28", "dcgan64"]
RUST_WORKLOADS = ["dcgan28"]
PACKAGES = {"torch": ["torch==2.11.0", "numpy"], "tf": ["tensorflow-cpu==2.21.0"]}


class Peer:
    """A peer: its column, which environment or crate runs it with which options, and what it is asked to do."""

    def __init__(self, name, column, kind, options=(), workloads=WORKLOADS, precision="f32"):
        self.name, self.column, self.kind, self.options = name, column, kind, list(options)
        self.workloads, self.precision = workloads, precision


PEERS = [
    Peer("torch", "PyTorch", "torch"),
    Peer("torch-channels-last", "PyTorch, channels-last", "torch", ["--channels-last"], IMAGES),
    Peer("torch-compile", "torch.compile", "torch", ["--compile"]),
    Peer("tensorflow", "TensorFlow", "tf"),
    Peer("burn", "Burn (flex)", "burn", workloads=RUST_WORKLOADS),
    Peer("candle", "Candle", "candle", workloads=RUST_WORKLOADS),
    Peer("torch-bf16", "PyTorch", "torch", ["--bf16"], BF16_WORKLOADS, "bf16"),
    Peer("torch-bf16-channels-last", "PyTorch, channels-last", "torch", ["--bf16", "--channels-last"], BF16_WORKLOADS, "bf16"),
]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS, metavar="W", help="only these")
    p.add_argument("--peers", nargs="+", choices=[x.name for x in PEERS], default=[x.name for x in PEERS], metavar="P",
                   help="only these: " + ", ".join(x.name for x in PEERS))
    p.add_argument("--rounds", type=int, default=3, help="times that the sequence of a workload is run (default 3)")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                   help="threads of ours and of all peers (default: all cores)")
    p.add_argument("--quick", action="store_true", help="one round of short measurements; the document stays as it is")
    p.add_argument("--torch-python", help="a Python that has PyTorch and NumPy")
    p.add_argument("--tf-python", help="a Python that has TensorFlow")
    p.add_argument("--ganymede", type=Path, help="the binary (default: built with cargo build --release)")
    p.add_argument("--wrap", default="", help="a command put before each measurement, e.g. `taskset -c 0-1`")
    p.add_argument("--results", type=Path, default=KEPT / "results.jsonl", help="where each measurement is kept as a line")
    p.add_argument("--append", action="store_true", help="add to the results of an earlier run instead of beginning anew")
    p.add_argument("--table-from", type=Path, help="measure nothing, make the table from the lines in this file")
    p.add_argument("--roofline", action="store_true", help="no peers: profile ours alone and write that table")
    p.add_argument("--print", action="store_true", help="print the table and leave the document as it is")
    return p.parse_args()


def python_for(kind, given):
    """An interpreter with the packages of a peer, installed if need be."""
    if given:
        return given
    env = KEPT / f"venv-{kind}"
    python = env / "bin" / "python"
    if not python.exists():
        print(f"installing {' '.join(PACKAGES[kind])} to {env} (another Python that has it: --{kind}-python)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[kind]], check=True)
    return str(python)


def crate_for(kind):
    """The program of a Rust peer, built in its own workspace so that its compiler flags hold."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=HERE / kind, check=True)
    return str(KEPT / "release" / f"ganymede-peer-{kind}")


def commands(options, peers):
    """The command of each peer but for the workload, and ours."""
    made = {}
    given = {"torch": options.torch_python, "tf": options.tf_python}
    for kind in dict.fromkeys(p.kind for p in peers):
        made[kind] = [python_for(kind, given[kind]), str(HERE / f"{kind}_peer.py")] if kind in given else [crate_for(kind)]
    ours = options.ganymede
    if ours is None:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        ours = ROOT / "target" / "release" / "ganymede"
    return str(ours), made


def run(command, options):
    """One measurement: its JSON object, or why there is none."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads), OMP_NUM_THREADS=str(options.threads))
    done = subprocess.run([*options.wrap.split(), *command], capture_output=True, text=True, env=environment)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    # Ours begins with what is wrong, a Python traceback ends with it.
    errors = [line for line in said if line.lower().startswith("error")] or said[-1:] or [f"exit status {done.returncode}"]
    return {"failed": errors[0][:200]}


def measure(options, peers):
    """Runs everything in turn; one line of results a measurement."""
    ours, programs = commands(options, peers)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rounds = 1 if options.quick else options.rounds
    with open(options.results, "a" if options.append else "w", encoding="utf-8") as kept:
        for precision in ("f32", "bf16"):
            for workload in options.workloads:
                asked = [p for p in peers if p.precision == precision and workload in p.workloads]
                if asked:
                    sequence(options, ours, programs, asked, workload, precision, rounds, kept)


def sequence(options, ours, programs, peers, workload, precision, rounds, kept):
    sitting = f"{time.time():.0f}-{workload}-{precision}"
    turn = 0

    def keep(who, column, result):
        nonlocal turn
        result = {k: v for k, v in result.items() if k != "kernels"}
        line = {"sitting": sitting, "turn": turn, "who": who, "column": column, "workload": workload, "precision": precision,
                "threads": options.threads, "quick": options.quick, "date": time.strftime("%d %B %Y"), "cpu": cpu(), **result}
        turn += 1
        kept.write(json.dumps(line) + "\n")
        kept.flush()
        told = result.get("unsupported") or result.get("failed") or f"{result['ms_med']:.3f} ms, {result['rss_mb']} MB"
        print(f"{workload:<13} {precision} {who:<26} {told}", file=sys.stderr)
        return "ms_med" in result

    def own():
        command = [ours, "bench", workload, "--json", "--threads", str(options.threads)]
        result = run(command + (["--precision", precision] if precision != "f32" else []), options)
        return keep("ganymede", "Ganymede", result), result

    fine, first = own()
    if not fine:
        return
    for _ in range(rounds):
        for peer in list(peers):
            command = programs[peer.kind] + ([workload, "--threads", str(options.threads)] if peer.kind in PACKAGES else [])
            result = run(command + peer.options + (["--quick"] if options.quick else []), options)
            if keep(peer.name, peer.column, result):
                same_networks(first, result, workload)
                own()
            else:
                # It will not do better in the next round.
                peers.remove(peer)


def same_networks(ours, peer, workload):
    """The same layers have the same number of parameters."""
    if "parameters" in ours and "parameters" in peer and ours["parameters"] != peer["parameters"]:
        sys.exit(f"{workload}: ours has {ours['parameters']} parameters (generator, discriminator), {peer['peer']} {peer['parameters']}")


def cpu():
    """The processor's name as the system tells it."""
    try:
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def ratios(lines):
    """Peer over ours for each pair of neighbours in time, by workload, precision and peer."""
    found = {}
    lines = [x for x in lines if "ms_med" in x]
    for a, b in zip(lines, lines[1:]):
        pair = [a, b] if b["who"] == "ganymede" else [b, a]
        if a["sitting"] == b["sitting"] and pair[0]["who"] != "ganymede" and pair[1]["who"] == "ganymede":
            key = (a["precision"], a["workload"], pair[0]["who"])
            found.setdefault(key, []).append(pair[0]["ms_med"] / pair[1]["ms_med"])
    return found


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def figure(value):
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def table(lines):
    """The part of the document between the markers."""
    found = ratios(lines)
    out = []
    first = next(x for x in lines if x["who"] == "ganymede")
    versions = list(dict.fromkeys(x["peer"] for x in lines if "peer" in x))
    versions = [v for v in versions if not any(word in v for word in ("bf16", "channels-last", "compile"))]
    pairs = [len(v) for v in found.values()]
    out.append(
        f"{first['cpu']}, {instructions(first)}, {first['threads']} threads, {first['date']}"
        + (" (`--quick`: short measurements)" if any(x["quick"] for x in lines) else "") + f". {', '.join(versions)}. Each cell:"
        f" median milliseconds a step (peak resident MB) and, in bold, the median of {min(pairs)} to {max(pairs)} ratios of"
        " neighbouring runs, peer over ours: above 1 ours is faster."
    )
    best_all, peer_all = [], {}
    for precision in ("f32", "bf16"):
        here = [x for x in lines if x["precision"] == precision]
        if not any(x["who"] != "ganymede" for x in here):
            continue
        columns = list(dict.fromkeys((x["who"], x["column"]) for x in here if x["who"] != "ganymede"))
        order = {p.name: i for i, p in enumerate(PEERS)}
        columns.sort(key=lambda c: order.get(c[0], 99))
        out += ["", f"| {precision} | ours | " + " | ".join(c for _, c in columns) + " | fastest peer / ours | GFLOP/s | of peak |",
                "|---" * (len(columns) + 5) + "|"]
        for workload in [w for w in WORKLOADS if any(x["workload"] == w for x in here)]:
            cells, best = [], []
            mine = [x for x in here if x["workload"] == workload and x["who"] == "ganymede" and "ms_med" in x]
            for who, _ in columns:
                runs = [x for x in here if x["workload"] == workload and x["who"] == who]
                timed = [x for x in runs if "ms_med" in x]
                ratio = found.get((precision, workload, who))
                if timed and ratio:
                    middle = statistics.median(ratio)
                    best.append(middle)
                    if precision == "f32":
                        peer_all.setdefault(who, []).append(middle)
                    cells.append(f"{cell(timed)} **{middle:.2f}**")
                else:
                    cells.append(next((x.get("unsupported") or "failed" for x in runs), ""))
            if not mine:
                reason = next((x.get("failed", "") for x in here if x["workload"] == workload and x["who"] == "ganymede"), "")
                out.append(f"| {workload} | not measured: {reason} |" + " |" * (len(columns) + 3))
                continue
            rate = statistics.median(x["gflops"] for x in mine)
            share = [x["peak_share"] for x in mine if x.get("peak_share")]
            out.append(
                f"| {workload} | {cell(mine)} | " + " | ".join(cells) + f" | {f'**{min(best):.2f}**' if best else ''} | {rate:.0f} | "
                + (f"{100 * statistics.median(share):.0f} %" if share else "") + " |"
            )
            if precision == "f32" and best:
                best_all.append(min(best))
    if best_all:
        columns = {x["who"]: x["column"] for x in lines if x["precision"] == "f32"}
        each = ", ".join(f"{columns[who]} {geometric_mean(v):.2f} ({len(v)} rows)" for who, v in peer_all.items())
        out += ["", f"Geometric mean over the f32 rows, the fastest peer of each over ours: **{geometric_mean(best_all):.2f}**. By peer: {each}."]
    return "\n".join(out)


def cell(runs):
    return f"{figure(statistics.median(x['ms_med'] for x in runs))} ({statistics.median_high([x['rss_mb'] for x in runs])})"


# What the work of a step is counted by, and how the table calls the other kernels.
CONTRACTIONS = ("matmul", "conv", "winograd")
OTHERS = {
    "pass": "elementwise passes", "pass.reduce": "reductions", "variance": "batch statistics", "pass.multi": "optimizer and sums",
    "philox": "random bits", "window.argmax": "pooling", "window.gather": "pooling", "window.scatter": "pooling",
}


def profiles(options):
    """`ganymede bench --profile` of every workload."""
    ours, _ = commands(options, [])
    command = [*options.wrap.split(), ours, "bench", *options.workloads, "--profile", "--json", "--threads", str(options.threads)]
    done = subprocess.run(command + (["--quick"] if options.quick else []), stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def roofline(lines):
    """For each workload what its work and its traffic would take at the machine's best, and where the time went."""
    first = lines[0]
    out = [
        f"{cpu()}, {instructions(first)}, {first['threads']} threads, {time.strftime('%d %B %Y')}: at best {first['peak_gflops']:.0f} GFLOP/s on"
        f" registers and {first['memory_gbs']:.0f} GB/s through memory. Milliseconds a step, of the kernels' profile; what a"
        " barrier waits for counts to the kernel before it.",
        "",
        "| workload | GFLOP | at the peak | contractions | GB of operands | at memory's rate | other kernels | the largest of them | all |",
        "|---" * 9 + "|",
    ]
    for line in lines:
        parts = {}
        for kernel in line["kernels"]:
            family = kernel["label"].split(" ")[0]
            name = "contractions" if family.split(".")[0] in CONTRACTIONS else OTHERS.get(family, family)
            ms, gb = parts.get(name, (0.0, 0.0))
            parts[name] = (ms + kernel["ms"], gb + kernel["gbs"] * kernel["ms"] / 1e3)
        contractions, _ = parts.pop("contractions", (0.0, 0.0))
        other, traffic = (sum(part[i] for part in parts.values()) for i in range(2))
        largest = sorted(parts.items(), key=lambda part: -part[1][0])[:3]
        told = ", ".join(f"{name} {figure(ms)}" for name, (ms, _) in largest)
        out.append(
            f"| {line['workload']} | {figure(line['gflop'])} | {figure(line['gflop'] / line['peak_gflops'] * 1e3)} |"
            f" {figure(contractions)} | {figure(traffic)} | {figure(traffic / line['memory_gbs'] * 1e3)} | {figure(other)} | {told} |"
            f" {figure(contractions + other)} |"
        )
    return "\n".join(out)


def instructions(line):
    """The instruction set of a measurement; a matrix unit for bf16 makes another machine of it."""
    return line["isa"] + (" with AMX" if line.get("matrix_unit") else "")


def instruction_set(lines, source):
    """That of all our measurements: the document has a table for each."""
    found = sorted({instructions(x) for x in lines if x.get("who", "ganymede") == "ganymede" and "isa" in x})
    if len(found) != 1:
        sys.exit(f"{source}: one table is of one instruction set, these are measurements of {', '.join(found) or 'none'}")
    return found[0]


def write(part, text):
    begin, end = f"<!-- {part}: written by benches/peers/run.py -->", f"<!-- {part}: end -->"
    document = DOCUMENT.read_text(encoding="utf-8")
    if begin not in document or end not in document:
        sys.exit(f"{DOCUMENT}: the table goes between the lines\n{begin}\n{end}\nwhich are not there")
    head, rest = document.split(begin, 1)
    tail = rest.split(end, 1)[1]
    beside = DOCUMENT.with_suffix(".md.new")
    beside.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")
    beside.replace(DOCUMENT)


def main():
    options = arguments()
    parts = []
    if not options.roofline:
        if options.table_from is None:
            measure(options, [p for p in PEERS if p.name in options.peers])
        source = options.table_from or options.results
        lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        if not ratios(lines):
            sys.exit(f"{source}: no pair of measurements to compare")
        parts.append((f"{PEERS_PART}, {instruction_set(lines, source)}", table(lines)))
    # A table of some workloads would replace the rows of the others.
    if options.table_from is None and set(options.workloads) == set(WORKLOADS):
        lines = profiles(options)
        parts.append((f"{ROOFLINE_PART}, {instruction_set(lines, 'the profile')}", roofline(lines)))
    for part, text in parts:
        if options.quick or options.print:
            print(text + "\n")
        else:
            write(part, text)
            print(f"{DOCUMENT} has the table of the {part}", file=sys.stderr)


if __name__ == "__main__":
    main()
