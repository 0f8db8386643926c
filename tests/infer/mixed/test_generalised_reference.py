"""Binomial and beta-binomial mixed models against glmmTMB; versions are in the README beside the values."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.generalised import fit_generalised

CHECKOUT = Path(__file__).resolve().parents[3]
REAL = Path(os.environ.get("ALIGNAUDIT_REAL_DATA") or CHECKOUT.parent / "shared" / "real")


@pytest.fixture(scope="module")
def reference():
    folder = REAL.parent / "reference" / "stats"
    if not folder.is_dir():
        pytest.skip("reference: folder not found; set ALIGNAUDIT_REAL_DATA to the real data")
    return folder


def reference_fit(reference, name, family):
    stored = json.loads((reference / f"{name}.json").read_text())
    factors = {"herd": str, "period": str, "seed": str, "language": str}
    frame = pd.read_csv(reference / stored["data"], dtype=factors)
    frame["obs"] = [f"o{row}" for row in range(len(frame))]
    levels = {"schedule": ["sequential", "concurrent"]} if "schedule" in frame else None
    fit = fit_generalised(build_design(stored["formula"], frame, saturated=True, levels=levels), family)
    key = "glmmTMB_laplace" if family == "binomial" else "glmmTMB_betabinomial"
    return fit, stored[key], stored


@pytest.mark.parametrize("family", ["binomial", "beta-binomial"])
@pytest.mark.parametrize("name", ["cbpp_glmm", "simG_binomial", "simG_binomial_olre"])
def test_glmmtmb(reference, name, family):
    """Estimates to 1e-4 and standard errors to 1e-3, as glmmTMB stops within that of its own optimum."""
    fit, theirs, _ = reference_fit(reference, name, family)
    at_limit = fit.dispersion == np.inf
    # At φ = 1.4e8 glmmTMB's gamma functions of 1e8 leave rounding of this size in its log-likelihood.
    assert fit.loglik == pytest.approx(theirs["logLik"], abs=1e-3 if at_limit else 1e-5)
    np.testing.assert_allclose(fit.beta, list(theirs["fixef"].values()), rtol=2e-4 if at_limit else 1e-4)
    errors = np.sqrt(np.diagonal(fit.beta_covariance))
    np.testing.assert_allclose(errors, list(theirs["se"].values()), rtol=1e-3)
    assert fit.certificate.passed


def test_glmmtmb_dispersion(reference):
    for name in ("cbpp_glmm", "simG_binomial"):
        fit, theirs, _ = reference_fit(reference, name, "beta-binomial")
        assert fit.dispersion == pytest.approx(theirs["dispersion"], rel=1e-4)


def test_lme4_covariances(reference):
    """lme4 stops short of the optimum, so its standard deviations are right to 1e-3."""
    fit, _, stored = reference_fit(reference, "simG_binomial", "binomial")
    theirs = stored["laplace"]["theta"]
    root = fit.theta[0]
    assert [root[0, 0], root[1, 0], root[1, 1]] == pytest.approx(
        [value for key, value in theirs.items() if key.startswith("language")], rel=1e-3
    )
    assert fit.theta[1][0, 0] == pytest.approx(theirs["seed:schedule.(Intercept)"], rel=1e-3)
