"""Error rates of the variance contrast R2 and the tail contrast R3 at 3 to 20 runs per arm, as CSV.

python analysis/error_rates/variance_and_tail.py [FILE.csv] [REPLICATES]

Every row is the share of simulated studies with p < .05 and its Monte-Carlo standard error. Where the
truth is "equal" that is the error rate, else the power. About ten minutes on one core; the same seed
gives the same table.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from alignaudit.core import rng
from alignaudit.infer.student import student_test
from alignaudit.infer.tail import tail_values
from alignaudit.infer.variance import log_sd_ratio, unpaired_log_sd_ratio
from alignaudit.infer.variance_robust import robust_log_sd_ratio, robust_unpaired_log_sd_ratio

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
Study = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
Test = Callable[[Floats, Floats], float]

SEED = 2024
RUNS = (3, 5, 10, 20)
ALPHA = 0.05
SIGNS = 2.0 * rng.stream(SEED, "signs").integers(0, 2, (999, max(RUNS))) - 1

VALUES: dict[str, Draw] = {
    "normal": lambda g, shape: g.normal(size=shape),
    "t with 5 df": lambda g, shape: g.standard_t(5, size=shape),
    "one run in twenty with 4 times the SD": lambda g, shape: (
        g.normal(size=shape) * np.where(g.random(shape) < 0.05, 4, 1)
    ),
}


def exchanged(first: Floats, second: Floats) -> float:
    """Exchange the arms within pairs: sign flips of the differences of squared residuals."""
    u = (second - second.mean()) ** 2 - (first - first.mean()) ** 2
    if len(u) <= 10:
        signs = np.array(np.meshgrid(*[[1.0, -1.0]] * len(u))).reshape(len(u), -1).T
        return float(np.mean(abs(signs @ u) >= abs(u.sum()) * (1 - 1e-9)))
    return float((1 + (abs(SIGNS[:, : len(u)] @ u) >= abs(u.sum())).sum()) / (1 + len(SIGNS)))


PAIRED: dict[str, Test] = {
    "Pitman-Morgan": lambda x, y: log_sd_ratio(x, y).p_value,
    "jackknife": lambda x, y: robust_log_sd_ratio(x, y).p_value,
    "exchange within pairs": exchanged,
}
UNPAIRED: dict[str, Test] = {
    "F": lambda x, y: unpaired_log_sd_ratio(x, y).p_value,
    "jackknife": lambda x, y: robust_unpaired_log_sd_ratio(x, y).p_value,
    "Brown-Forsythe": lambda x, y: float(stats.levene(x, y, center="median").pvalue),
}


def paired_study(draw: Draw, ratio: float) -> Study:
    """Half of the variance is shared by the runs of a pair."""

    def study(g: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        shared, first, second = draw(g, (3, runs))
        return shared + first, ratio * (shared + second)

    return study


def unpaired_study(draw: Draw, ratio: float) -> Study:
    def study(g: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        first, second = draw(g, (2, runs))
        return first, ratio * second

    return study


def tail_study(draw: Draw, paired: bool, run_ratio: float = 1.0, item_ratio: float = 1.0) -> Study:
    """Twelve languages that are all alike; accuracies [runs, languages, halves of the items] by arm.

    ``run_ratio`` and ``item_ratio`` multiply the second arm's SD of what a run does to a language, and
    of what is peculiar to a half of the items.
    """

    def study(g: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        items = 0.02 * g.normal(size=(12, 2))
        pair = 0.02 * draw(g, (runs if paired else 2 * runs, 12, 1)).reshape(-1, runs, 12, 1)
        run_sd = 0.02 * np.array([1.0, run_ratio]).reshape(2, 1, 1, 1)
        item_sd = 0.03 * np.array([1.0, item_ratio]).reshape(2, 1, 1, 1)
        run = 0.01 * draw(g, (2, runs, 1, 1)) + run_sd * draw(g, (2, runs, 12, 1))
        first, second = 0.5 + items + pair + run + item_sd * g.normal(size=(2, runs, 12, 2))
        return first, second

    return study


def cross_fitted(paired: bool, leave_out: bool) -> Test:
    """Return the p-value of ``tail_contrast`` without its sign flips: a million patterns at 20 pairs."""

    def test(x: Floats, y: Floats) -> float:
        first, second = tail_values(np.stack([x, y]), leave_out=leave_out).values
        if paired:
            return float(stats.ttest_rel(second, first).pvalue)
        return float(stats.ttest_ind(second, first, equal_var=False).pvalue)

    return test


def naive(x: Floats, y: Floats) -> float:
    """Each arm's own worst quarter, chosen and evaluated on all items; paired t."""
    tails = []
    for arm in (x, y):
        by_language = arm.mean(axis=2)
        worst = np.argsort(by_language.mean(axis=0))[: by_language.shape[1] // 4]
        tails.append(by_language[:, worst].mean(axis=1))
    d = tails[1] - tails[0]
    error = float(d.std(ddof=1)) / len(d) ** 0.5
    return student_test(float(d.mean()), error, len(d) - 1, conf_level=0.95).p_value


TAIL: dict[str, dict[str, Test]] = {
    design: {
        "cross-fitted over items": cross_fitted(design == "paired", leave_out=False),
        "cross-fitted over items and runs": cross_fitted(design == "paired", leave_out=True),
    }
    for design in ("paired", "unpaired")
}
TAIL["paired"]["naive: own worst of each arm on the same items"] = naive


def scenarios() -> Iterator[tuple[tuple[str, str, str, str], Study, dict[str, Test]]]:
    """Yield (estimand, design, values, truth), how to simulate it, and the tests."""
    for values, draw in VALUES.items():
        for truth, ratio in (("equal", 1.0), ("SD ratio 2", 2.0), ("SD ratio 3", 3.0)):
            yield ("R2", "paired", values, truth), paired_study(draw, ratio), PAIRED
            yield ("R2", "unpaired", values, truth), unpaired_study(draw, ratio), UNPAIRED
        for design in ("paired", "unpaired"):
            yield ("R3", design, values, "equal"), tail_study(draw, design == "paired"), TAIL[design]
    for what, ratios in (("item", (1.0, 3.0)), ("run-by-language", (3.0, 1.0))):
        for design in ("paired", "unpaired"):
            values = f"normal; second arm 3 times the {what} SD"
            study = tail_study(VALUES["normal"], design == "paired", *ratios)
            yield ("R3", design, values, "equal"), study, TAIL[design]


def main(path: Path, replicates: int) -> None:
    rows = []
    for (estimand, design, values, truth), study, tests in scenarios():
        for runs in RUNS:
            g = rng.stream(SEED, estimand, design, values, truth, runs)
            studies = [study(g, runs) for _ in range(replicates)]
            for name, test in tests.items():
                p = np.array([test(*one) for one in studies])
                rate = float(np.mean(p < ALPHA))
                error = (rate * (1 - rate) / replicates) ** 0.5
                untested = int(np.isnan(p).sum())
                rows.append([estimand, design, name, values, truth, runs, replicates, untested, rate, error])
        print(f"{estimand} {design}, {values}, {truth}", file=sys.stderr)
    columns = "estimand design test values truth runs_per_arm replicates untested".split()
    frame = pd.DataFrame(rows, columns=[*columns, "rejection_rate", "monte_carlo_standard_error"])
    frame.round(5).to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".csv")
    main(out, int(sys.argv[2]) if len(sys.argv) > 2 else 4000)
