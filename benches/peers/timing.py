"""The timing protocol, the same as `ganymede bench` (crates/gan/src/workloads/measure.rs): three steps to warm up, one to
learn how many fit a repetition of 0.8 s, then five repetitions; milliseconds a step, least and median."""

import json
import resource
import time


def measure(step, wait, quick=False):
    """Times `step`, a callable that starts one training step and returns its result; `wait(result)` returns once the
    result is there."""
    repetitions, span = (3, 0.3) if quick else (5, 0.8)

    def seconds(count):
        began = time.perf_counter()
        for _ in range(count):
            result = step()
        wait(result)
        return (time.perf_counter() - began) / count

    seconds(3)
    count = max(1, int(span / seconds(1)))
    ms = sorted(1e3 * seconds(count) for _ in range(repetitions))
    return {"ms_min": ms[0], "ms_med": ms[repetitions // 2]}


def report(**figures):
    """One JSON line; the peak of the resident set is in units of 1024 bytes on Linux."""
    figures["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(figures))


def unsupported(reason):
    """Says why this peer cannot do the workload."""
    print(json.dumps({"unsupported": reason}))
    raise SystemExit(0)
