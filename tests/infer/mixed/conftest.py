"""What the tests of mixed models share: the reference values' place, and a dense likelihood as oracle."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from alignaudit.infer.mixed.criterion import factorise
from alignaudit.infer.mixed.curvature import curvature
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.model import GaussianModel
from alignaudit.infer.mixed.optimise import Certificate, Optimum
from alignaudit.infer.mixed.products import cross_products, standardised_rows

Floats = NDArray[np.float64]
CHECKOUT = Path(__file__).resolve().parents[3]
REAL = Path(os.environ.get("ALIGNAUDIT_REAL_DATA") or CHECKOUT.parent / "shared" / "real")
GIVEN = Certificate(
    passed=True,
    gradient_norm=math.nan,
    deviance_gap=math.nan,
    multipliers=(math.nan,),
    hessian_eigenvalues=(math.nan,),
    restarts=0,
    evaluations=1,
)
"""Certificate of a model that a test evaluates somewhere, not at an optimum."""


@pytest.fixture(scope="session")
def stats_folder() -> Path:
    """Values that lme4 and its companions gave."""
    path = REAL.parent / "reference" / "stats"
    if not path.is_dir():
        pytest.skip("stats: folder of reference values not found; set ALIGNAUDIT_REAL_DATA to the real data")
    return path


def _model_at(design: MixedDesign, roots: Sequence[Floats], *, reml: bool, **changes: int) -> GaussianModel:
    """Return the engine's model at relative Cholesky factors in the data's units, by the design's terms."""
    rows = standardised_rows(design, **changes)
    products = cross_products(design, rows, **changes)
    scaled = tuple(rows.scales[block.term][:, None] * roots[block.term] for block in products.blocks)
    at = factorise(products, scaled, reml=reml)
    return GaussianModel(design, rows, products, Optimum(scaled, at, curvature(products, at), GIVEN))


@pytest.fixture(scope="session")
def model_at() -> Callable[..., GaussianModel]:
    return _model_at


@pytest.fixture(scope="session")
def random_frame() -> Callable[[int], pd.DataFrame]:
    """Unbalanced data with crossed groups g and h, a factor arm, numbers x and z, weights w and offset o."""

    def make(seed: int, n: int = 40) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        g, h = rng.integers(6, size=n), rng.integers(4, size=n)
        x, z, u = rng.normal(2, 1.5, size=n), rng.normal(size=n), rng.normal(size=6)
        return pd.DataFrame(
            {
                "y": 50 + x + 2 * u[g] + rng.normal(size=n), "x": x, "z": z, "w": rng.uniform(0.5, 2, size=n),
                "o": rng.normal(size=n), "arm": np.array(["b", "c", "a"])[rng.integers(3, size=n)],
                "g": [f"g{i}" for i in g], "h": [f"h{i}" for i in h],
            }
        )  # fmt: skip

    return make


@dataclass(frozen=True)
class Dense:
    """A linear mixed model solved with n × n matrices, from the textbook's formulas.

    Everything is in units of the residual variance: V = sum of Z_j (I ⊗ S_j) Z_j' + 1 / weights.
    """

    design: MixedDesign
    covariances: Sequence[Floats]
    reml: bool

    @property
    def columns(self) -> list[Floats]:
        """Return Z_j, shape [n, groups × k], by the design's terms, the effects of a group together."""
        found = []
        for term in self.design.terms:
            n, k = term.values.shape
            Z = np.zeros((n, len(term.levels) * k))
            for row in range(n):
                Z[row, term.index[row] * k : (term.index[row] + 1) * k] = term.values[row]
            found.append(Z)
        return found

    @property
    def V(self) -> Floats:
        total = np.diag(1 / self.design.weights)
        for Z, S, term in zip(self.columns, self.covariances, self.design.terms, strict=True):
            total = total + Z @ np.kron(np.eye(len(term.levels)), S) @ Z.T
        return total

    @property
    def y(self) -> Floats:
        return self.design.response - self.design.offset

    @property
    def P(self) -> Floats:
        X, inverse = self.design.fixed, np.linalg.inv(self.V)
        return inverse - inverse @ X @ self.fixed_covariance @ X.T @ inverse

    @property
    def fixed_covariance(self) -> Floats:
        """Return C = (X'V⁻¹X)⁻¹."""
        X = self.design.fixed
        return np.linalg.inv(X.T @ np.linalg.solve(self.V, X))

    @property
    def beta(self) -> Floats:
        return self.fixed_covariance @ self.design.fixed.T @ np.linalg.solve(self.V, self.y)

    @property
    def free(self) -> int:
        n, p = self.design.fixed.shape
        return n - p if self.reml else n

    @property
    def variance(self) -> float:
        """Return the residual variance that maximises the likelihood."""
        rest = self.y - self.design.fixed @ self.beta
        return float(rest @ np.linalg.solve(self.V, rest)) / self.free

    @property
    def loglik(self) -> float:
        """Return the log-density of y (of all contrasts of it that are free of b, as lme4 scales it)."""
        total = np.linalg.slogdet(self.V)[1] + self.free * (1 + math.log(2 * math.pi * self.variance))
        if self.reml:
            total -= np.linalg.slogdet(self.fixed_covariance)[1]
        return -0.5 * float(total)

    def modes(self) -> list[Floats]:
        """Return S Z'V⁻¹(y - Xb) of each term, shape [groups, k]."""
        rest = np.linalg.solve(self.V, self.y - self.design.fixed @ self.beta)
        return [
            (Z.T @ rest).reshape(len(term.levels), -1) @ S
            for Z, S, term in zip(self.columns, self.covariances, self.design.terms, strict=True)
        ]

    def with_covariances(self, covariances: Sequence[Floats]) -> Dense:
        return replace(self, covariances=covariances)


@pytest.fixture(scope="session")
def dense() -> type[Dense]:
    return Dense
