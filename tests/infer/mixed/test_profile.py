"""Profile-likelihood intervals against a dense likelihood, minimised with one parameter held."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.fit import fit_mixed
from alignaudit.infer.mixed.profile import profile_intervals

LEVELS = [0.95, 0.8]
FORMULAS = {"one": "y ~ x + (1 | g)", "slope": "y ~ x + (1 + z | g)"}
PARAMETERS = [
    ("one", "sd", "g", "Intercept"),
    ("one", "sd", "Residual", ""),
    ("one", "fixed", "", "x"),
    ("one", "fixed", "", "Intercept"),
    ("slope", "sd", "g", "Intercept"),
    ("slope", "sd", "g", "z"),
    ("slope", "correlation", "g", "Intercept, z"),
    ("slope", "sd", "Residual", ""),
    ("slope", "fixed", "", "x"),
]


class DenseProfile:
    """Minus twice the full log-likelihood over standard deviations, correlation and fixed effects."""

    def __init__(self, formula: str, frame: pd.DataFrame, dense) -> None:
        self.design = build_design(formula, frame)
        self.width = len(self.design.terms[0].columns)
        self.Z = dense(self.design, [np.eye(self.width)], False).columns[0]
        self.names = [("sd", name) for name in self.design.terms[0].columns]
        if self.width == 2:
            self.names.append(("correlation", ", ".join(self.design.terms[0].columns)))
        self.names.append(("sd", ""))

    def deviance(self, parameters: dict[tuple[str, str], float], held: tuple[str, float] | None) -> float:
        """Return the deviance at given standard deviations; ``held`` fixes one fixed effect."""
        sds = np.array([parameters["sd", name] for name in self.design.terms[0].columns])
        S = np.diag(sds**2)
        if self.width == 2:
            S[0, 1] = S[1, 0] = math.tanh(parameters[self.names[2]]) * sds.prod()
        groups = len(self.design.terms[0].levels)
        V = self.Z @ np.kron(np.eye(groups), S) @ self.Z.T + parameters["sd", ""] ** 2 * np.eye(self.design.n)
        X, y = self.design.fixed, self.design.response
        if held:
            column = self.design.fixed_names.index(held[0])
            y, X = y - held[1] * X[:, column], np.delete(X, column, axis=1)
        inverse = np.linalg.inv(V)
        rest = y - X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ y)
        return float(np.linalg.slogdet(V)[1] + rest @ inverse @ rest + len(y) * math.log(2 * math.pi))

    def lowest(self, start: dict, held: tuple[tuple[str, str], float] | None = None) -> float:
        """Return the minimum with one parameter held, over logarithms and atanh of the others."""
        kept = held[0] if held and held[0][0] != "fixed" else None
        free = [name for name in self.names if name != kept]
        fixed = (held[0][1], held[1]) if held and held[0][0] == "fixed" else None

        def function(values: np.ndarray) -> float:
            chosen = {
                n: v if n[0] == "correlation" else math.exp(v) for n, v in zip(free, values, strict=True)
            }
            if kept:
                chosen[kept] = math.atanh(held[1]) if kept[0] == "correlation" else held[1]
            return self.deviance(chosen, fixed)

        guess = [math.atanh(start[n]) if n[0] == "correlation" else math.log(start[n]) for n in free]
        return float(optimize.minimize(function, guess, method="BFGS", options={"gtol": 1e-5}).fun)


def grouped(seed: int, deviations: tuple[float, float]) -> pd.DataFrame:
    """Return nine groups of five rows, whose intercepts and slopes of z have these standard deviations."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(9), 5)
    x, z, u = rng.normal(size=45), rng.normal(size=45), rng.normal(size=(9, 2)) * deviations
    y = 4 + x + u[g, 0] + u[g, 1] * z + 0.7 * rng.normal(size=45)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": [f"g{i}" for i in g]})


@pytest.fixture(scope="module")
def profiles(dense):
    frame = grouped(8, (2.4, 0.9))
    known = {}

    def make(name: str, level: float):
        if (name, level) not in known:
            table = profile_intervals(fit_mixed(FORMULAS[name], frame), conf_level=level)
            known[name, level] = table, DenseProfile(FORMULAS[name], frame, dense)
        return known[name, level]

    return make


@pytest.mark.parametrize(("model", "kind", "group", "term"), PARAMETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_deviance_rises_by_the_quantile_at_both_bounds(model, kind, group, term, level, profiles):
    """By 1e-5, so a bound is exact to about a millionth of the interval's length."""
    table, oracle = profiles(model, level)
    own = table[table["kind"] != "fixed"]
    start = {(row.kind, row.term): row.estimate for row in own.itertuples()}
    row = table[(table["kind"] == kind) & (table["group"] == group) & (table["term"] == term)].iloc[0]
    lowest = oracle.lowest(start)
    assert row["conf_low"] < row["estimate"] < row["conf_high"]
    for bound in (row["conf_low"], row["conf_high"]):
        rise = oracle.lowest(start, ((kind, term), float(bound))) - lowest
        assert rise == pytest.approx(stats.chi2.ppf(level, 1), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "seed"),
    [("one", 1), ("one", 4), ("one", 8), ("slope", 1), ("slope", 3), ("slope", 4), ("slope", 8)],
)
def test_lower_bounds_near_zero(name, seed, dense):
    """Of standard deviations hardly told from zero: zero itself, or where the deviance has risen."""
    frame = grouped(seed, (0.5, 0.5))
    table = profile_intervals(fit_mixed(FORMULAS[name], frame))
    oracle = DenseProfile(FORMULAS[name], frame, dense)
    own = table[table["kind"] != "fixed"]
    start = {
        (row.kind, row.term): row.estimate if row.kind == "sd" else np.clip(row.estimate, -0.99, 0.99)
        for row in own.itertuples()
    }
    limit = oracle.lowest(start) + stats.chi2.ppf(0.95, 1)
    for row in own[(own["group"] == "g") & (own["kind"] == "sd")].itertuples():
        held = (row.kind, row.term)
        if oracle.lowest(start, (held, 1e-8)) < limit:
            assert row.conf_low == 0
        else:
            assert oracle.lowest(start, (held, row.conf_low)) - limit == pytest.approx(0, abs=1e-4)


def test_full_likelihood_is_used_whatever_the_fit(random_frame):
    frame = random_frame(2)
    one, other = (
        profile_intervals(fit_mixed("y ~ x + (1 | g)", frame, method=method)) for method in ("reml", "ml")
    )
    np.testing.assert_allclose(one[["conf_low", "conf_high"]], other[["conf_low", "conf_high"]], rtol=1e-6)


def test_a_bound_at_the_edge_is_the_edge():
    """Equal group means: the variance is estimated as zero, and zero is within any interval."""
    frame = pd.DataFrame({"y": [1.0, -1.0, 3.0, -3.0] * 5, "g": np.repeat(list("abcde"), 4)})
    row = profile_intervals(fit_mixed("y ~ 1 + (1 | g)", frame)).iloc[0]
    assert (row["estimate"], row["conf_low"]) == (0.0, 0.0)
    assert row["conf_high"] > 0


def test_rows_of_the_table(profiles):
    table, _ = profiles("slope", 0.95)
    assert list(zip(table["group"], table["term"], table["kind"], strict=True)) == [
        ("g", "Intercept", "sd"),
        ("g", "z", "sd"),
        ("g", "Intercept, z", "correlation"),
        ("Residual", "", "sd"),
        ("", "Intercept", "fixed"),
        ("", "x", "fixed"),
    ]
