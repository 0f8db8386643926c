from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from alignaudit.errors import FitError
from alignaudit.infer.paired import balanced_paired_contrast


def draw(rng, P, L, run, language, residual, shape=()):
    return (
        run * rng.normal(size=(*shape, P, 1))
        + language * rng.normal(size=(*shape, 1, L))
        + residual * rng.normal(size=(*shape, P, L))
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), P=st.integers(2, 9), L=st.integers(1, 8))
def test_these_languages_is_the_paired_t_test_on_pair_means(seed, P, L):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, P, L))
    expected = stats.ttest_rel(second.mean(axis=1), first.mean(axis=1))
    interval = expected.confidence_interval(0.9)
    result = balanced_paired_contrast(second - first, conf_level=0.9)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert (result.interval.low, result.interval.high) == pytest.approx(tuple(interval), rel=1e-9)


def test_mean_squares_by_hand():
    # grand mean 3; pair means 2, 4; language means 2, 3, 4; residuals ±[0, 1, -1]
    d = np.array([[1.0, 3.0, 2.0], [3.0, 3.0, 6.0]])
    # MS_p = 3·(1+1)/1 = 6; MS_l = 2·(1+0+1)/2 = 2; residuals [0, 1, -1], [0, -1, 1]: MS_e = 4/2 = 2
    result = balanced_paired_contrast(d, population="these_languages")
    assert result.standard_error == pytest.approx(1.0)
    assert result.components == pytest.approx({"run": 4 / 3, "language": 0.0, "residual": 2.0})
    more = balanced_paired_contrast(d + np.array([-1.0, 0.0, 1.0]), population="languages_like_these")
    # MS_l is now 2·(4+0+4)/2 = 8: Var = (6 + 8 - 2)/6; runs keep 6 with 1 df, languages add 8 - 2 with 2
    assert more.standard_error == pytest.approx(np.sqrt(2.0))
    assert more.df == pytest.approx(12**2 / (6**2 / 1 + 6**2 / 2))
    assert more.df_method == "strata of runs and languages"


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_closed_form_is_reml_of_statsmodels_inside_the_parameter_space(seed):
    d = 5 + draw(np.random.default_rng(seed), 8, 10, 2.0, 1.5, 1.0)
    result = balanced_paired_contrast(d, population="languages_like_these")
    assert not result.truncated
    pair, language = (np.eye(n)[index.ravel()] for n, index in zip(d.shape, np.indices(d.shape), strict=True))
    specification = VCSpec(
        ["run", "language"], [[[str(i) for i in range(m.shape[1])]] for m in (pair, language)],
        [[pair], [language]],
    )  # fmt: skip
    fit = MixedLM(d.ravel(), np.ones((d.size, 1)), np.ones(d.size), exog_vc=specification).fit(reml=True)
    assert result.estimate == pytest.approx(float(fit.fe_params[0]), rel=1e-10)
    assert result.standard_error == pytest.approx(float(fit.bse_fe[0]), rel=2e-4)
    assert list(result.components.values()) == pytest.approx([*fit.vcomp, fit.scale], rel=2e-3)


def test_the_stratum_with_fewer_degrees_of_freedom_keeps_its_mean_square():
    # 6 pairs and 2 languages: languages have 1 df, pairs 5; every pair has the same mean, so MS_p = 0
    d = np.array([[0.0, 1.0], [0.4, 0.6]] * 3)
    languages = 6 * ((d.mean(axis=0) - d.mean()) ** 2).sum()
    result = balanced_paired_contrast(d, population="languages_like_these")
    assert result.standard_error**2 * d.size == pytest.approx(languages)
    assert result.df == pytest.approx(1)


def test_language_variance_never_narrows_the_interval():
    rng = np.random.default_rng(3)
    for _ in range(200):
        d = draw(rng, 4, 6, 0.2, 0.2, 1.0)
        fixed = balanced_paired_contrast(d, population="these_languages")
        sampled = balanced_paired_contrast(d, population="languages_like_these")
        assert sampled.standard_error >= fixed.standard_error
        assert sampled.df >= 3


def test_truncated_components_are_named():
    d = np.array([[1.0, -1.0], [-1.0, 1.0]])
    result = balanced_paired_contrast(d)
    assert result.truncated == ("run", "language")


@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_no_variation_between_runs_gives_no_p_value(constant):
    result = balanced_paired_contrast(np.full((5, 3), constant))
    assert result.estimate == pytest.approx(constant)
    assert np.isnan([result.p_value, result.interval.low, result.interval.high]).all()


@pytest.mark.parametrize("shape", [(1, 4), (3,), (3, 0)])
def test_layouts_that_are_too_small_are_refused(shape):
    with pytest.raises(FitError):
        balanced_paired_contrast(np.zeros(shape))


def test_missing_cells_are_refused():
    with pytest.raises(FitError):
        balanced_paired_contrast(np.array([[1.0, np.nan], [1.0, 2.0]]))


@pytest.mark.parametrize(
    ("population", "run", "language"),
    [("these_languages", 1.0, 0.0), ("languages_like_these", 1.0, 1.0), ("languages_like_these", 1.0, 0.0)],
)
def test_type_one_error_at_six_pairs_and_nine_languages(population, run, language):
    d = draw(np.random.default_rng(11), 6, 9, run, language, 1.0, (2000,))
    if population == "these_languages":  # a fixed set of languages whose effects average to zero
        d += np.linspace(-2, 2, 9)
    rejected = [balanced_paired_contrast(one, population=population).p_value < 0.05 for one in d]
    error = np.sqrt(0.05 * 0.95 / 2000)
    assert abs(np.mean(rejected) - 0.05) < 3 * error
