"""Degrees of freedom against the mean squares of balanced designs, computed here from group means."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignaudit.infer.mixed.contrast import contrasts, joint_test
from alignaudit.infer.mixed.degrees import joint_from_single
from alignaudit.infer.mixed.fit import fit_mixed
from alignaudit.infer.mixed.terms import joint_tests

EXACT = ["strata", "kenward-roger", "satterthwaite"]
ALL = [*EXACT, "wald"]
PLOTS, REPEATS = 6, 4


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of independent parts, each with its own."""
    return sum(part for part, _ in parts) ** 2 / sum(part**2 / df for part, df in parts)


def split_plot(*, between: float, centred: bool = False) -> pd.DataFrame:
    """Return two schedules of six runs each, every run measured once in four languages.

    ``between`` is the standard deviation of the runs; the residual's is one. Where residuals are centred
    in each run, they add nothing to the mean square of the runs.
    """
    rng = np.random.default_rng(11)
    rows = []
    for schedule, run in itertools.product(["first", "second"], range(PLOTS)):
        level = between * rng.normal() + (schedule == "second")
        noise = rng.normal(size=REPEATS)
        noise -= noise.mean() if centred else 0.0
        rows += [
            (schedule, f"{schedule}{run}", f"l{language}", 0.5 * language + level + noise[language])
            for language in range(REPEATS)
        ]
    return pd.DataFrame(rows, columns=["schedule", "run", "language", "y"])


def split_plot_squares(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the mean squares of the runs and of the residuals, with 10 and 30 degrees of freedom."""
    y = frame["y"].to_numpy().reshape(2, PLOTS, REPEATS)
    runs = y.mean(axis=2)
    ms_run = REPEATS * ((runs - runs.mean(axis=1, keepdims=True)) ** 2).sum() / (2 * (PLOTS - 1))
    cells = y.mean(axis=1, keepdims=True)
    rest = y - runs[:, :, None] - cells + y.mean(axis=(1, 2), keepdims=True)
    return float(ms_run), float((rest**2).sum() / (2 * (PLOTS - 1) * (REPEATS - 1)))


@pytest.fixture(scope="module")
def plots():
    return split_plot(between=1.5)


@pytest.fixture(scope="module")
def split(plots):
    fit = fit_mixed("y ~ schedule * language + (1 | run)", plots)
    assert not fit.is_singular
    return fit


WHOLE = np.array([[0, 1, 0, 0, 0, 0.25, 0.25, 0.25]])
"""The difference between schedules, averaged over languages."""


@pytest.mark.parametrize("df", EXACT)
def test_between_runs(df, split, plots):
    found = contrasts(split.model, WHOLE, ["difference"], df=df)
    ms_run, _ = split_plot_squares(plots)
    assert found.df[0] == pytest.approx(2 * (PLOTS - 1), rel=1e-6)
    assert found.std_errors[0] ** 2 == pytest.approx(2 * ms_run / (PLOTS * REPEATS), rel=1e-6)


@pytest.mark.parametrize("df", EXACT)
def test_within_runs(df, split, plots):
    """The interaction of two languages: a difference of differences."""
    within = np.array([[0, 0, 0, 0, 0, 1, -1, 0]])
    found = contrasts(split.model, within, ["interaction"], df=df)
    _, ms_rest = split_plot_squares(plots)
    assert found.df[0] == pytest.approx(2 * (PLOTS - 1) * (REPEATS - 1), rel=1e-6)
    assert found.std_errors[0] ** 2 == pytest.approx(4 * ms_rest / PLOTS, rel=1e-6)


@pytest.mark.parametrize("df", ["kenward-roger", "satterthwaite"])
def test_between_runs_in_one_language(df, split, plots):
    """A sum of the two mean squares: Satterthwaite's original formula (1946)."""
    found = contrasts(split.model, np.eye(8)[[1]], ["in one language"], df=df)
    ms_run, ms_rest = split_plot_squares(plots)
    own = (ms_run / REPEATS, 2 * (PLOTS - 1))
    rest = ((REPEATS - 1) * ms_rest / REPEATS, 2 * (PLOTS - 1) * (REPEATS - 1))
    assert found.df[0] == pytest.approx(satterthwaite(own, rest), rel=1e-5)
    assert found.std_errors[0] ** 2 == pytest.approx(2 / PLOTS * (own[0] + rest[0]), rel=1e-6)


@pytest.mark.parametrize("df", EXACT)
@pytest.mark.parametrize(
    ("term", "numerator", "denominator"),
    [("schedule", 1, 10), ("language", 3, 30), ("schedule:language", 3, 30)],
)
def test_f_tests_of_a_split_plot(df, term, numerator, denominator, split, plots):
    """Mean square of the term over that of its stratum."""
    y = plots["y"].to_numpy().reshape(2, PLOTS, REPEATS)
    cells = y.mean(axis=1)
    rows, columns, total = cells.mean(axis=1, keepdims=True), cells.mean(axis=0), cells.mean()
    squares = {
        "schedule": PLOTS * REPEATS * ((rows - total) ** 2).sum(),
        "language": 2 * PLOTS * ((columns - total) ** 2).sum() / 3,
        "schedule:language": PLOTS * ((cells - rows - columns + total) ** 2).sum() / 3,
    }
    ms_run, ms_rest = split_plot_squares(plots)
    expected = squares[term] / (ms_run if term == "schedule" else ms_rest)
    found = joint_tests(split, df=df).set_index("term").loc[term]
    assert found["statistic"] == pytest.approx(expected, rel=1e-5)
    assert found["numerator_df"] == numerator
    assert found["denominator_df"] == pytest.approx(denominator, rel=1e-5)
    assert found["p_value"] == pytest.approx(stats.f.sf(expected, numerator, denominator), rel=1e-4)


@pytest.mark.parametrize("between", [0.02, 0.1, 0.3])
def test_strata_where_the_runs_vary_less_than_their_residuals(between):
    """REML puts the variance of the runs at zero; the exact t test keeps the runs' own mean square."""
    frame = split_plot(between=between, centred=True)
    ms_run, ms_rest = split_plot_squares(frame)
    assert ms_run < ms_rest
    fit = fit_mixed("y ~ schedule * language + (1 | run)", frame)
    assert fit.theta[0] == 0
    found = contrasts(fit.model, WHOLE, ["difference"], df="strata")
    assert found.std_errors[0] ** 2 == pytest.approx(2 * ms_run / (PLOTS * REPEATS), rel=1e-4)
    assert found.df[0] == pytest.approx(2 * (PLOTS - 1), rel=1e-6)


def paired_runs(*, spread: float, arms: int = 2) -> tuple[pd.DataFrame, np.ndarray]:
    """Return seeds × schedules × five rows, and the mean of each run, shape [seeds, schedules].

    The deviations of the rows within a run sum to zero, so that the run's mean is what it was made to be.
    """
    rng = np.random.default_rng(12)
    means = 3 + rng.normal(0, 1, size=(7, 1)) + spread * rng.normal(size=(7, arms)) + 0.3 * np.arange(arms)
    rows = []
    for seed, arm in itertools.product(range(7), range(arms)):
        noise = rng.normal(size=5)
        rows += [(f"s{seed}", "abc"[arm], means[seed, arm] + value) for value in 2 * (noise - noise.mean())]
    return pd.DataFrame(rows, columns=["seed", "schedule", "y"]), means


@pytest.mark.parametrize("spread", [0.2, 3.0], ids=["variance of runs at zero", "inside"])
def test_strata_is_the_paired_t_test(spread):
    frame, means = paired_runs(spread=spread)
    fit = fit_mixed("y ~ schedule + (1 | seed) + (1 | seed:schedule)", frame)
    assert (fit.theta[0] == 0) == (spread < 1)
    found = fit.tidy("strata").iloc[1]
    expected = stats.ttest_rel(means[:, 1], means[:, 0])
    assert found["df"] == pytest.approx(expected.df, rel=1e-6)
    assert found["std_error"] == pytest.approx(
        np.std(means[:, 1] - means[:, 0], ddof=1) / math.sqrt(7), rel=1e-4
    )
    assert found["statistic"] == pytest.approx(expected.statistic, rel=1e-4)
    assert found["p_value"] == pytest.approx(expected.pvalue, rel=1e-3)


@pytest.mark.parametrize("spread", [0.2, 3.0], ids=["variance of runs at zero", "inside"])
def test_strata_is_the_f_test_of_randomised_blocks(spread):
    frame, means = paired_runs(spread=spread, arms=3)
    fit = fit_mixed("y ~ schedule + (1 | seed) + (1 | seed:schedule)", frame)
    assert (fit.theta[0] == 0) == (spread < 1)
    rest = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    expected = (7 * np.var(means.mean(axis=0), ddof=1)) / ((rest**2).sum() / 12)
    found = joint_tests(fit, df="strata").iloc[0]
    assert found["statistic"] == pytest.approx(expected, rel=1e-4)
    assert (found["numerator_df"], found["denominator_df"]) == (2, pytest.approx(12, rel=1e-6))


@pytest.mark.parametrize("df", EXACT)
def test_one_way(df):
    """The mean of a balanced one-way layout is tested by the mean square between groups."""
    rng = np.random.default_rng(13)
    y = rng.normal(size=(8, 1)) * 2 + rng.normal(size=(8, 5))
    frame = pd.DataFrame({"y": y.ravel(), "g": np.repeat([f"g{i}" for i in range(8)], 5)})
    found = fit_mixed("y ~ 1 + (1 | g)", frame).tidy(df).iloc[0]
    assert found["df"] == pytest.approx(7, rel=1e-6)
    assert found["std_error"] == pytest.approx(np.std(y.mean(axis=1), ddof=1) / math.sqrt(8), rel=1e-6)


@pytest.fixture(scope="module")
def two_way():
    """Return a balanced crossed layout of six by nine, its fit, and the three mean squares."""
    rng = np.random.default_rng(14)
    y = rng.normal(size=(6, 1)) * 2 + rng.normal(size=(1, 9)) * 1.5 + rng.normal(size=(6, 9))
    frame = pd.DataFrame(
        {"y": y.ravel(), "g": np.repeat([f"g{i}" for i in range(6)], 9), "h": [f"h{i}" for i in range(9)] * 6}
    )
    rows, columns = y.mean(axis=1, keepdims=True), y.mean(axis=0)
    ms_rest = ((y - rows - columns + y.mean()) ** 2).sum() / 40
    return (
        fit_mixed("y ~ 1 + (1 | g) + (1 | h)", frame),
        9 * rows.var(ddof=1),
        6 * columns.var(ddof=1),
        ms_rest,
    )


def test_satterthwaite_of_a_two_way_layout(two_way):
    """The variance of the mean is (MS_g + MS_h - MS_rest) / n."""
    fit, ms_g, ms_h, ms_rest = two_way
    found = fit.tidy("satterthwaite").iloc[0]
    assert found["std_error"] ** 2 == pytest.approx((ms_g + ms_h - ms_rest) / 54, rel=1e-6)
    assert found["df"] == pytest.approx(satterthwaite((ms_g, 5), (ms_h, 8), (-ms_rest, 40)), rel=1e-5)


def test_strata_of_a_two_way_layout(two_way):
    """The rows have the fewest degrees of freedom and take in the residual; the columns add their part."""
    fit, ms_g, ms_h, ms_rest = two_way
    found = fit.tidy("strata").iloc[0]
    assert found["df"] == pytest.approx(satterthwaite((ms_g, 5), (ms_h - ms_rest, 8)), rel=1e-5)


@pytest.mark.parametrize("df", ["strata", "satterthwaite"])
def test_nested_batches(df):
    """Treatments of batches, each with three samples measured twice: the error is that of the batches."""
    rng = np.random.default_rng(15)
    rows = [
        (arm, f"{arm}{batch}", f"{arm}{batch}{sample}", level + part + rng.normal() / 2)
        for arm, batch in itertools.product("ab", range(5))
        for level in [rng.normal()]
        for sample in range(3)
        for part in [rng.normal() / 2]
        for _ in range(2)
    ]
    frame = pd.DataFrame(rows, columns=["arm", "batch", "sample", "y"])
    fit = fit_mixed("y ~ arm + (1 | batch) + (1 | sample)", frame)
    assert not fit.is_singular
    batches = frame["y"].to_numpy().reshape(2, 5, 6).mean(axis=2)
    found = fit.tidy(df).iloc[1]
    assert found["df"] == pytest.approx(8, rel=1e-5)
    assert found["std_error"] ** 2 == pytest.approx(2 * batches.var(axis=1, ddof=1).mean() / 5, rel=1e-5)


@pytest.fixture(scope="module")
def unequal():
    """Return four and nine runs whose variance depends on the arm, five rows each, and the runs' means."""
    rng = np.random.default_rng(16)
    rows, means = [], {}
    for arm, runs, spread in [("a", 4, 1.5), ("b", 9, 4.0)]:
        for run in range(runs):
            values = spread * rng.normal() + rng.normal(size=5)
            means.setdefault(arm, []).append(values.mean())
            rows += [(arm, f"{arm}{run}", value) for value in values]
    frame = pd.DataFrame(rows, columns=["arm", "run", "y"])
    frame = frame.assign(in_a=(frame["arm"] == "a") * 1.0, in_b=(frame["arm"] == "b") * 1.0)
    return fit_mixed("y ~ arm + (0 + in_a | run) + (0 + in_b | run)", frame), means


def test_satterthwaite_is_welch_where_arms_have_variances_of_their_own(unequal):
    fit, means = unequal
    expected = stats.ttest_ind(means["b"], means["a"], equal_var=False)
    found = fit.tidy("satterthwaite").iloc[1]
    assert found["statistic"] == pytest.approx(expected.statistic, rel=1e-5)
    assert found["df"] == pytest.approx(expected.df, rel=1e-4)
    assert found["p_value"] == pytest.approx(expected.pvalue, rel=1e-4)


@pytest.fixture(scope="module")
def unbalanced(random_frame):
    return fit_mixed("y ~ x * arm + (1 + x | g) + (1 | h)", random_frame(21, n=90))


@pytest.mark.parametrize("df", ALL)
def test_joint_test_of_one_contrast_is_its_t_test_squared(df, unbalanced):
    single = unbalanced.tidy(df).iloc[1]
    joint = joint_test(unbalanced.model, np.eye(6)[[1]], df=df)
    assert joint.statistic == pytest.approx(single["statistic"] ** 2, rel=1e-9)
    assert joint.denominator_df == pytest.approx(single["df"], rel=1e-9)
    assert joint.numerator_df == 1


@pytest.mark.parametrize("df", ALL)
def test_joint_test_where_runs_lie_at_zero_is_the_t_test_squared(df):
    """Rows are missing, so that the estimate depends on the variances."""
    frame, _ = paired_runs(spread=0.2)
    fit = fit_mixed("y ~ schedule + (1 | seed) + (1 | seed:schedule)", frame.drop(index=[3, 17, 18, 40, 66]))
    assert fit.theta[0] == 0
    single, joint = fit.tidy(df).iloc[1], joint_test(fit.model, np.eye(2)[[1]], df=df)
    assert joint.statistic == pytest.approx(single["statistic"] ** 2, rel=1e-6)
    assert joint.denominator_df == pytest.approx(single["df"], rel=1e-6)


@pytest.mark.parametrize("df", ALL)
def test_redundant_contrasts_do_not_count(df, unbalanced):
    rows = np.eye(6)[[2, 3]]
    plain, more = (
        joint_test(unbalanced.model, L, df=df) for L in (rows, np.vstack([rows, rows[0] - 2 * rows[1]]))
    )
    assert more.numerator_df == plain.numerator_df == 2
    assert more.statistic == pytest.approx(plain.statistic, rel=1e-8)


def test_wald_has_infinite_degrees_of_freedom(unbalanced):
    table, joint = unbalanced.tidy("wald"), joint_test(unbalanced.model, np.eye(6)[[2, 3]], df="wald")
    np.testing.assert_allclose(table["p_value"], 2 * stats.norm.sf(np.abs(table["statistic"])), rtol=1e-12)
    assert math.isinf(joint.denominator_df)


@pytest.mark.parametrize(
    ("dfs", "expected"),
    [
        ([10.0, 10.0], 10.0),
        ([4.0, 6.0], 2 * (4 / 2 + 6 / 4) / (4 / 2 + 6 / 4 - 2)),
        ([2.0, 6.0], 2.0),
        ([math.inf, math.inf], math.inf),
    ],
    ids=["equal", "unequal", "two", "infinite"],
)
def test_denominator_of_fai_and_cornelius(dfs, expected, unbalanced):
    """The mean of F is that of the sum of squared t variables, each with its own df / (df - 2)."""
    basis = unbalanced.model.in_basis(np.eye(6)[[2, 3]])
    test = joint_from_single(unbalanced.model.facts, basis, np.array([1.0, 2.0]), lambda _: np.array(dfs))
    assert test.denominator_df == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_strata_is_the_paired_t_test_where_seeds_lie_at_zero(seed):
    """Seeds without variance: pooling the runs over seeds would change the error of a paired test."""
    rng = np.random.default_rng(seed)
    arm, pair, _ = np.indices((2, 6, 5)).reshape(3, -1)
    runs = rng.normal(size=(2, 6))
    runs[1] -= 1.5 * (
        runs[0] - runs[0].mean()
    )  # a negative correlation within pairs: no variance of pairs is left
    y = runs[arm, pair] + 0.3 * rng.normal(size=60)
    frame = pd.DataFrame({"y": y, "schedule": np.array(["u", "v"])[arm], "seed": [f"s{i}" for i in pair]})
    fit = fit_mixed("y ~ schedule + (1 | seed) + (1 | seed:schedule)", frame)
    assert fit.theta[1] == 0
    means = frame.pivot_table(index="seed", columns="schedule", values="y")
    expected = stats.ttest_rel(means["v"], means["u"])
    row = fit.tidy().iloc[1]
    assert row["df"] == pytest.approx(5)
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
    joint = joint_test(fit.model, np.eye(2)[[1]], df="strata")
    assert joint.statistic == pytest.approx(expected.statistic**2, rel=1e-6)
