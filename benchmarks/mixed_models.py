"""CPU seconds of ``fit_mixed`` and its peers on the same data, in one run on one thread, as ratios.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/mixed_models.py [name ...] [--slow]

Data are simulated here (and InstEval is read from R's lme4 where R is installed). Ours always includes
reading the formula, the set-up, the fit, Satterthwaite and Kenward-Roger. ``--slow`` also runs the peers
that need many minutes. With names of cases only these are run, and the table beside this script stays.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FULL = "score ~ schedule + (1 + schedule | language) + (1 | seed) + (1 | seed:schedule)"
INTERCEPTS = "score ~ schedule + (1 | language) + (1 | schedule:language) + (1 | seed) + (1 | seed:schedule)"
LARGE = (
    "score ~ schedule + (1 + schedule | language) + (1 | seed) + (1 | seed:schedule) + (1 | task)"
    " + (1 | language:task)"
)
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One model on one data set, and the least ratios to peers that we promise."""

    name: str
    formula: str
    frame: pd.DataFrame
    promises: dict[str, float]
    slow: tuple[str, ...] = ()


def simulate(schedules: int, seeds: int, languages: int, tasks: int = 1, *, seed: int = 1) -> pd.DataFrame:
    """Return a complete design with variances between languages, seeds, runs (and tasks)."""
    normal = np.random.default_rng(seed).normal
    a, s, g, t = np.indices((schedules, seeds, languages, tasks)).reshape(4, -1)
    score = (
        8 * normal(size=languages)[g]
        + normal(size=(languages, schedules))[g, a]
        + 0.5 * normal(size=seeds)[s]
    )
    score = score + 0.8 * normal(size=(seeds, schedules))[s, a] + 1.5 * normal(size=len(a))
    if tasks > 1:
        score = score + 3 * normal(size=tasks)[t] + normal(size=(languages, tasks))[g, t]
    names = np.array(["sequential", "concurrent", "interleaved", "restart"])
    frame = pd.DataFrame(
        {"score": score, "schedule": names[a], "seed": _labels("s", s), "language": _labels("l", g)}
    )
    return frame.assign(task=_labels("t", t)) if tasks > 1 else frame


def _labels(letter: str, index: np.ndarray) -> np.ndarray:
    return np.array([f"{letter}{i:03d}" for i in range(int(index.max()) + 1)])[index]


def cases() -> list[Case]:
    """Return all data sets; InstEval only where R can give it."""
    small, large = simulate(3, 10, 36), simulate(3, 20, 112)
    found = [
        Case("3 x 10 x 36, slopes", FULL, small, {"lmerTest": 5.0}, ("pbkrtest",)),
        Case("3 x 20 x 112, slopes", FULL, large, {"lmerTest": 15.0}),
        Case("3 x 10 x 36, intercepts", INTERCEPTS, small, {}),
        Case("3 x 20 x 112, intercepts", INTERCEPTS, large, {"statsmodels": 200.0}),
        Case(
            "4 x 50 x 112 x 9, 14 variance parameters", LARGE, simulate(4, 50, 112, 9), {"lme4": 50.0},
            ("lme4", "lmerTest"),
        ),
    ]  # fmt: skip
    if shutil.which("Rscript"):
        place = Path(tempfile.mkdtemp()) / "insteval.csv"
        program = f'library(lme4); write.csv(InstEval, "{place}", row.names = FALSE)'
        if subprocess.run(["Rscript", "-e", program], capture_output=True, check=False).returncode == 0:
            frame = pd.read_csv(place)
            frame["service"] = frame["service"].astype(str)
            formula = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
            found.append(Case("two crossed factors, 4,100 levels", formula, frame, {"lmerTest": 1 / 1.5}))
    return found


def ours(case: Case) -> dict[str, float]:
    """Time everything from the data frame to both kinds of degrees of freedom, in a process of its own."""
    program = (
        "import json, sys, time, pandas as pd\n"
        "from alignaudit import fit_mixed\n"
        "import alignaudit.infer.mixed.fit\n"
        "frame = pd.read_csv(sys.argv[1], dtype={'service': str})\n"
        "start = time.process_time()\n"
        "fit = fit_mixed(sys.argv[2], frame)\n"
        "fit.tidy(df='satterthwaite'); fit.tidy(df='kenward-roger')\n"
        "used = time.process_time() - start\n"
        "peak = next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]\n"
        "print(json.dumps({'cpu_s': used, 'peak_mb': int(peak) / 1024, 'loglik': fit.loglik,"
        " 'certified': fit.certificate.passed}))\n"
    )
    return _timed([sys.executable, "-c", program], case)


def _timed(command: list[str], case: Case, *more: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data.csv"
        case.frame.to_csv(place, index=False)
        done = subprocess.run(
            [*command, str(place), case.formula, *more], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        print(done.stderr[-2000:], file=sys.stderr)
        return {"cpu_s": float("nan"), "peak_mb": float("nan"), "loglik": float("nan")}
    return json.loads(done.stdout.strip().splitlines()[-1])


def from_r(case: Case, what: str) -> dict[str, float]:
    """Time lme4 (fit), lmerTest (fit and Satterthwaite) or pbkrtest on top of it."""
    kind = {"lme4": "fit", "lmerTest": "satterthwaite", "pbkrtest": "kenward-roger"}[what]
    return _timed(["Rscript", str(HERE / "mixed_models.R")], case, kind)


def statsmodels(case: Case) -> dict[str, float]:
    """Time MixedLM with one group and variance components, which is how it can express crossed effects."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    frame = case.frame.assign(run=case.frame["seed"] + case.frame["schedule"], all=1)
    frame["cell"] = frame["schedule"] + frame["language"]
    components = {name: f"0 + C({name})" for name in ("language", "cell", "seed", "run")}
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula(
            "score ~ schedule", groups="all", re_formula="0", vc_formula=components, data=frame
        )
        fit = model.fit(reml=True)
    used = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_s": used, "peak_mb": peak, "loglik": float(fit.llf)}


def repeated() -> list[tuple[str, float]]:
    """Time 1,000 parametric-bootstrap refits of both models, and 500 fits of a specification curve."""
    from alignaudit import bootstrap_test, fit_mixed

    frame = simulate(3, 10, 36)
    null = fit_mixed(FULL.replace("score ~ schedule", "score ~ 1"), frame, method="ml")
    fit = fit_mixed(FULL, frame, method="ml")
    start = time.process_time()
    bootstrap_test(null, fit, rng=np.random.default_rng(1), draws=500)
    results = [("1,000 bootstrap refits of 3 x 10 x 36 (500 of each model)", time.process_time() - start)]
    generator = np.random.default_rng(2)
    responses = frame["score"].to_numpy() + generator.normal(size=(500, len(frame)))
    template = fit_mixed(FULL, frame)
    start = time.process_time()
    for response in responses:
        template.refit(response).tidy()
    results.append(("500 fits and tests of 3 x 10 x 36", time.process_time() - start))
    return results


def main() -> None:
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    slow = "--slow" in sys.argv
    rows = []
    for case in cases():
        if wanted and not any(word in case.name for word in wanted):
            continue
        own = ours(case)
        rows.append((case.name, "alignaudit", own["cpu_s"], own["peak_mb"], own["loglik"], "", ""))
        peers = [p for p in ("lme4", "lmerTest", "pbkrtest") if slow or p not in case.slow]
        peers = [p for p in peers if shutil.which("Rscript") and (p != "pbkrtest" or "pbkrtest" in case.slow)]
        found = {peer: from_r(case, peer) for peer in peers}
        if "intercepts" in case.name:
            found["statsmodels"] = statsmodels(case)
        for peer, result in found.items():
            ratio = result["cpu_s"] / own["cpu_s"]
            promise = case.promises.get(peer)
            kept = (
                ""
                if promise is None
                else f"promised {promise:.2g}: {'kept' if ratio >= promise else 'MISSED'}"
            )
            rows.append(
                (case.name, peer, result["cpu_s"], result["peak_mb"], result["loglik"], f"{ratio:.1f}", kept)
            )
        for row in rows[-1 - len(found) :]:
            print(*(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row), sep=" | ")
    if wanted:
        return
    for name, seconds in repeated():
        print(name, f"{seconds:.1f} CPU s", sep=" | ")
        rows.append((name, "alignaudit", seconds, "", "", "", ""))
    with (HERE / "mixed_models.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["case", "engine", "cpu_s", "peak_mb", "loglik", "times_ours", "promise"])
        table.writerows([f"{c:.10g}" if isinstance(c, float) else c for c in row] for row in rows)
        table.writerow([f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"])


if __name__ == "__main__":
    main()
