"""CPU seconds and peak memory of the alignment measures and of their peers on the same data, as ratios.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/alignment_measures.py \
        --google Demo.ipynb --laser xsim.py [case ...] [--small] [--device cuda]

Every measurement is taken in a process of its own, on one thread, from inputs read from disk; the
engines of a case take turns, and the least time of all turns counts. ``README.md`` says what is
counted. With names of cases (A to E) or ``--small`` the table beside this script stays.
"""

from __future__ import annotations

import argparse
import csv
import gc
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import alignment_engines as engines
import numpy as np
from alignment_engines import Answer, Engine
from alignment_inputs import exact, inputs

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
COLUMNS = (
    "case engine version seconds peak_mb times_our_seconds times_our_memory share_of_matrix_rate"
    " share_of_bandwidth answer against_float64 against_ours promise"
).split()
SECONDS_A_TURN = 3.0


@dataclass(frozen=True)
class Case:
    """Inputs of one size and those who work on them; the first of the engines is ours."""

    title: str
    shape: tuple[int, ...]
    small: tuple[int, ...]
    turns: int
    engines: tuple[Engine, ...]
    most_memory: float = math.inf

    def necessary(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Return floating-point operations and bytes that no exact method can do without."""
        *pairs, n, d = shape
        reading = 2.0 * 4 * math.prod(shape)
        if not pairs:
            return 2.0 * n * n * d, reading
        if self.engines is engines.MATRIX:
            return 2.0 * pairs[0] * n * n * d + 1.0 * (pairs[0] * n) ** 2, reading
        return pairs[0] * min(2.0 * n * n * d, 4.0 * n * d * d), reading


CASES = {
    "A": Case("A: CKA, 25 pairs", (25, 1000, 768), (3, 120, 48), 3, engines.FEW_PAIRS),
    "B": Case("B: CKA, 25 x 25 layers", (25, 1000, 768), (3, 120, 48), 2, engines.MATRIX),
    "C": Case("C: CKA, one pair", (1, 10_000, 1024), (1, 400, 64), 2, engines.LARGE_PAIR),
    "D": Case("D: retrieval, k = 4", (50_000, 1024), (1500, 64), 2, engines.RETRIEVAL, 1000.0),
    "E": Case("E: retrieval, k = 4", (1000, 1024), (200, 64), 3, engines.SMALL_RETRIEVAL),
}


class Meter:
    """Time and memory on one device: CPU seconds and resident set, or wall seconds and CUDA memory."""

    def __init__(self, device: str) -> None:
        self.cuda = None
        if device == "cuda":
            import torch

            self.cuda = torch.cuda

    def seconds(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """Return what a call took, and what it returned."""
        clock = time.perf_counter if self.cuda else time.process_time
        self.wait()
        start = clock()
        result = call()
        self.wait()
        return clock() - start, result

    def wait(self) -> None:
        """Let the device finish."""
        if self.cuda:
            self.cuda.synchronize()

    def start_memory(self) -> float:
        """Forget the peak so far and return the bytes in use."""
        gc.collect()
        if self.cuda:
            self.cuda.reset_peak_memory_stats()
            return self.cuda.memory_allocated()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return resident("VmRSS")

    def peak_memory(self) -> float:
        """Return the most bytes in use at one time since ``start_memory``."""
        return self.cuda.max_memory_allocated() if self.cuda else resident("VmHWM")


def resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith(name)).split()[1])


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one engine on the inputs in a folder, and leave its answer there."""
    warnings.simplefilter("ignore")
    if options.device == "cuda":
        import torch
    key, number, folder = options.work
    engine = CASES[key].engines[int(number)]
    try:
        call = engine.prepare(options)
    except ModuleNotFoundError as error:
        return {"skipped": str(error)}
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    x, y = (np.load(Path(folder) / f"{side}.npy") for side in "xy")
    if options.device == "cuda":
        x, y = (torch.from_numpy(side).to("cuda") for side in (x, y))
    call(*(side[..., :64, :] + 0 for side in (x, y)))  # loads what is loaded late
    meter = Meter(options.device)
    before = meter.start_memory()
    least, answer = meter.seconds(lambda: call(x, y))
    peak = (meter.peak_memory() - before) / 1e6
    spent = least
    while spent < (0.1 if options.small else SECONDS_A_TURN):
        seconds, _ = meter.seconds(lambda: call(x, y))
        least, spent = min(least, seconds), spent + seconds
    np.savez(Path(folder) / f"answer-{number}.npz", **answer)
    return {"seconds": least, "peak_mb": peak}


def machine(device: str) -> dict[str, Any]:
    """Measure what the machine gives: float32 operations a second of a product, bytes a second of a copy."""
    if device == "cuda":
        import torch as library
    else:
        library = np
    place = {"device": "cuda"} if device == "cuda" else {}
    size, meter = (8192, Meter(device)) if device == "cuda" else (3072, Meter(device))
    a, b, out = (library.ones((size, size), dtype=library.float32, **place) for _ in range(3))
    rate = min(meter.seconds(lambda: library.matmul(a, b, out=out))[0] for _ in range(7))
    source, target = (library.ones(1 << 27, dtype=library.float32, **place) for _ in range(2))

    def copy() -> None:
        target[:] = source

    copying = min(meter.seconds(copy)[0] for _ in range(7))
    name = library.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {processor()}"
    return {"name": name, "operations": 2 * size**3 / rate, "bytes": 2 * 4 * (1 << 27) / copying}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    found = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else "unknown processor"


def child(options: argparse.Namespace, *arguments: str) -> dict[str, Any]:
    """Run this script once more, on one thread, and return what it prints last."""
    command = [sys.executable, __file__, "--device", options.device, *arguments]
    for name in ("google", "laser"):
        command += [f"--{name}", str(path)] if (path := getattr(options, name)) else []
    command += ["--small"] if options.small else []
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    print(done.stderr[-2000:], file=sys.stderr)
    return {"skipped": f"failed: {(done.stderr.strip().splitlines() or [done.returncode])[-1]}"}


def origin_version(origin: str, options: argparse.Namespace) -> str:
    if origin in engines.FILES:
        path = getattr(options, origin)
        source = engines.FILES[origin](path) if path else ""
        return f"{path.name}, sha256 {hashlib.sha256(source.encode()).hexdigest()[:12]}" if path else ""
    try:
        return f"{origin} {version(origin)}"
    except ModuleNotFoundError:
        return ""


def measure(key: str, options: argparse.Namespace, limits: dict[str, Any]) -> list[dict[str, Any]]:
    """Run all engines of a case in turns, and return a row for each."""
    case = CASES[key]
    shape = case.small if options.small else case.shape
    chosen = [i for i, engine in enumerate(case.engines) if options.device in engine.devices]
    with tempfile.TemporaryDirectory() as folder:
        sides = inputs(shape)
        for side, array in zip("xy", sides, strict=True):
            np.save(Path(folder) / f"{side}.npy", array)
        truth = exact(*sides, all_pairs=case.engines is engines.MATRIX)
        del sides
        found: dict[int, dict[str, Any]] = {}
        for _ in range(1 if options.small else case.turns):
            for i in chosen:
                if "skipped" not in found.get(i, {}):
                    found[i] = better(found.get(i), child(options, "--work", key, str(i), folder))
        answers = {i: read(Path(folder) / f"answer-{i}.npz") for i in chosen}
    products = [i for i in chosen if "rows" in case.engines[i].name]
    slower = sorted(products, key=lambda i: found[i].get("seconds", math.inf))[1:]
    necessary = case.necessary(shape)
    rows = []
    for i in chosen:
        engine, result = case.engines[i], found[i]
        row = {
            "case": f"{case.title}, n = {shape[-2]:,}, d = {shape[-1]:,}",
            "engine": engine.name,
            "version": origin_version(engine.origin, options),
        }
        rows.append(row)
        if "skipped" in result:
            row["answer"] = f"skipped: {result['skipped']}"
            continue
        row |= result | {"answer": summary(answers[i]), "against_float64": agreement(answers[i], truth)}
        if engine.origin in ("alignaudit", "numpy", "torch"):
            row["share_of_matrix_rate"] = necessary[0] / result["seconds"] / limits["operations"]
            row["share_of_bandwidth"] = necessary[1] / result["seconds"] / limits["bytes"]
        if engine.origin != "alignaudit":
            row["against_ours"] = agreement(answers[i], answers[chosen[0]])
        if i != chosen[0]:
            row |= ratios(result, found[chosen[0]])
        if not options.small:
            least = None if i in slower else engine.promise
            row["promise"] = verdict(row, least, case.most_memory if i == chosen[0] else math.inf)
    return rows


def ratios(result: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    return {
        f"times_our_{name}": result[key] / ours[key]
        for name, key in (("seconds", "seconds"), ("memory", "peak_mb"))
        if ours.get(key, 0) > 0
    }


def verdict(row: dict[str, Any], least: float | None, most_memory: float) -> str:
    """Say whether a promised ratio of seconds, or limit of memory, is kept."""
    if most_memory < math.inf:
        return f"below {most_memory:,.0f} MB: {'kept' if row['peak_mb'] < most_memory else 'MISSED'}"
    if least is None or "times_our_seconds" not in row:
        return ""
    return f"at least {least:g} times: {'kept' if row['times_our_seconds'] >= least else 'MISSED'}"


def better(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """Return the least time and the largest peak of two turns."""
    if before is None or "skipped" in now:
        return now
    return {
        "seconds": min(before["seconds"], now["seconds"]),
        "peak_mb": max(before["peak_mb"], now["peak_mb"]),
    }


def read(path: Path) -> Answer:
    return dict(np.load(path)) if path.exists() else {}


def summary(answer: Answer) -> str:
    """Return the mean CKA, or the share of items found, per direction."""
    if "cka" in answer:
        return f"mean CKA {answer['cka'].mean():.6f}"
    if "accuracy" in answer:
        return "accuracy " + ", ".join(f"{share:.5f}" for share in answer["accuracy"])
    shares = [
        f"{name} {(a == np.arange(len(a))).mean():.5f}" for name, a in answer.items() if name != "margin"
    ]
    return "accuracy " + ", ".join(shares) if shares else ""


def agreement(answer: Answer, other: Answer) -> str:
    """Return equal predictions and largest differences, over all items or those ``other`` has."""
    told = []
    for name in [name for name in answer if name in other]:
        a, b = answer[name], other[name]
        if "items" in other:
            a = a[other["items"]]
        if name in ("cka", "margin"):
            told.append(f"{name} within {np.abs(a - b).max():.1e}")
        else:
            told.append(f"{name} {np.count_nonzero(a == b)} of {len(b)} equal")
    return ", ".join(told)


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="case", help="A to E; without any, all of them")
    parser.add_argument("--google", type=Path, help="representation_similarity/Demo.ipynb of google-research")
    parser.add_argument("--laser", type=Path, help="source/xsim.py of LASER")
    parser.add_argument("--small", action="store_true", help="tiny inputs, to see that everything runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--machine", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"There is no case {', '.join(sorted(unknown))}.")
    return options


def main() -> None:
    options = options_given()
    if options.work or options.machine:
        print(json.dumps(work(options) if options.work else machine(options.device)))
        return
    limits = child(options, "--machine")
    if "skipped" in limits:
        sys.exit(f"This machine has no {options.device} to measure on.")
    place = (
        f"{limits['name']}, {os.cpu_count()} cores, one thread; float32 product"
        f" {limits['operations'] / 1e9:.0f} GFLOP/s, copy {limits['bytes'] / 1e9:.1f} GB/s;"
        f" Python {platform.python_version()}, NumPy {np.__version__}"
    )
    print(place)
    rows = []
    for key in options.cases or CASES:
        for row in measure(key, options, limits):
            rows.append([row.get(name, "") for name in COLUMNS])
            cells = [f"{cell:.4g}" if isinstance(cell, float) else cell for cell in rows[-1]]
            print(*cells, sep=" | ", flush=True)
    if options.cases or options.small:
        return
    ending = "" if options.device == "cpu" else "_cuda"
    with (HERE / f"alignment_measures{ending}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows([f"{c:.6g}" if isinstance(c, float) else c for c in row] for row in rows)
        table.writerow([place])


if __name__ == "__main__":
    main()
