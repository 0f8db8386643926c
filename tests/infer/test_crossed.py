"""The contrast of the comparison: the mixed model of paired differences against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from alignaudit.errors import FitError
from alignaudit.infer.crossed import crossed_paired_contrast, language_predictions
from alignaudit.infer.paired import balanced_paired_contrast

POPULATIONS = ["these_languages", "languages_like_these"]


def draw(seed, P=6, L=7, run=1.0, language=0.7, residual=0.5):
    normal = np.random.default_rng(seed).normal
    return run * normal(size=(P, 1)) + language * normal(size=(1, L)) + residual * normal(size=(P, L))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    P=st.integers(3, 9),
    L=st.integers(3, 9),
    run=st.sampled_from([0.0, 0.3, 2.0]),
    language=st.sampled_from([0.0, 0.3, 2.0]),
    population=st.sampled_from(POPULATIONS),
)
def test_complete_cells_give_the_closed_form(seed, P, L, run, language, population):
    d = draw(seed, P, L, run, language)
    fit, expected = (f(d, population=population) for f in (crossed_paired_contrast, balanced_paired_contrast))
    assert fit.estimate == pytest.approx(expected.estimate, rel=1e-8, abs=1e-10)
    # the signed variance is found by a quasi-Newton search: 1e-5 of a standard error
    assert fit.standard_error == pytest.approx(expected.standard_error, rel=1e-5)
    assert fit.df == pytest.approx(expected.df, rel=1e-4)
    assert fit.p_value == pytest.approx(expected.p_value, rel=1e-3, abs=1e-9)


def test_these_languages_without_variance_between_runs_is_still_the_paired_t_test():
    for seed in range(12):
        d = draw(seed, 5, 8, run=0.0)
        expected = stats.ttest_1samp(d.mean(axis=1), 0)
        fit = crossed_paired_contrast(d)
        assert fit.p_value == pytest.approx(expected.pvalue, rel=1e-4)
        assert fit.df == pytest.approx(4)


def test_missing_cells_agree_with_statsmodels_inside_the_parameter_space():
    d = draw(5, P=8, L=6, run=1.5, language=1.0)
    d[1, 2] = d[3, 0] = d[3, 1] = np.nan
    run, language = np.nonzero(np.isfinite(d))
    y = d[run, language]
    designs = [np.eye(n)[index] for n, index in ((8, run), (6, language))]
    columns = [[[str(i) for i in range(z.shape[1])]] for z in designs]
    specification = VCSpec(["run", "language"], columns, [[z] for z in designs])
    peer = MixedLM(y, np.ones((len(y), 1)), np.ones(len(y)), exog_vc=specification).fit(reml=True)
    fit = crossed_paired_contrast(d, population="languages_like_these")
    assert fit.estimate == pytest.approx(float(peer.fe_params[0]), rel=1e-5)
    assert fit.standard_error == pytest.approx(float(peer.bse_fe[0]), rel=2e-4)  # statsmodels' optimiser
    assert list(fit.components.values()) == pytest.approx([*peer.vcomp, peer.scale], rel=2e-3)
    assert 5 < fit.df < 13  # strata of 5 and 7


def test_a_pair_without_any_value_does_not_count():
    d = draw(3)
    whole = crossed_paired_contrast(d)
    padded = crossed_paired_contrast(np.vstack([d, np.full((1, d.shape[1]), np.nan)]))
    assert (padded.estimate, padded.n_pairs) == (pytest.approx(whole.estimate), whole.n_pairs)


def test_scale_and_shift_of_the_differences():
    d = draw(2)
    d[0, 0] = np.nan
    fit, moved = crossed_paired_contrast(d), crossed_paired_contrast(3 + 1e-3 * d)
    assert moved.estimate == pytest.approx(3 + 1e-3 * fit.estimate, rel=1e-9)
    assert moved.standard_error == pytest.approx(1e-3 * fit.standard_error, rel=1e-6)


def test_differences_without_residual_noise_use_the_runs_alone():
    d = np.add.outer(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0]))
    assert crossed_paired_contrast(d).p_value == pytest.approx(stats.ttest_1samp(d.mean(axis=1), 0).pvalue)


def test_shrunken_effects_of_a_balanced_layout_by_hand():
    d = draw(4, P=10, L=8, run=0.5, language=1.0)
    fit = crossed_paired_contrast(d, population="languages_like_these")
    variance, residual = fit.components["language"], fit.components["residual"]
    weight = variance / (variance + residual / 10)
    predicted, low, high = language_predictions(d)
    assert predicted == pytest.approx(d.mean() + weight * (d.mean(axis=0) - d.mean()), rel=1e-6)
    assert ((low < predicted) & (predicted < high)).all()
    # all languages share the runs' part of the error, so no interval is narrower than that of one run mean
    assert (high - low > 2 * 1.96 * np.sqrt(fit.components["run"] / 10) * 0.999).all()


@pytest.mark.parametrize("values", [np.ones((1, 4)), np.ones(3), np.full((3, 2), np.nan)])
def test_layouts_that_are_too_small_are_refused(values):
    with pytest.raises(FitError):
        crossed_paired_contrast(values)


def test_a_language_without_values_is_refused():
    d = draw(1)
    d[:, 2] = np.nan
    with pytest.raises(FitError, match="every language"):
        crossed_paired_contrast(d)
