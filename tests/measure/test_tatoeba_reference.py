"""Real sentences of 41 languages through an encoder without a model, against XTREME, LASER and Google.

The encoder adds signed hashed character trigrams, so rows hold small integers and many cosines are
equal in exact arithmetic. There float32 peers decide by their last bit: the tests therefore compute
in float64 which counts are possible when cosines closer than 1e-6 may fall either way, and ask that
the peer's count and ours are among them.
"""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from alignaudit.measure.cka import debiased_cka, linear_cka
from alignaudit.measure.margin import margin_scores
from alignaudit.measure.retrieval import normalise, retrieve

LANGUAGES = (
    "afr ara aze bul ben deu ell spa est eus pes fin fra heb hin hun ind ita jpn jav kat kaz kor lit mal mar "
    "nld pol por ron rus swh tam tel tha tgl tur ukr urd vie cmn"
).split()
UNCERTAIN = 1e-6


def encode(sentences, width=512):
    rows = np.zeros((len(sentences), width), dtype=np.float32)
    for row, sentence in zip(rows, sentences, strict=True):
        text = f" {sentence.casefold()} "
        for start in range(len(text) - 2):
            code = zlib.crc32(text[start : start + 3].encode())
            row[code % width] += 1 if code >> 16 & 1 else -1
    return rows


@pytest.fixture(scope="module")
def values(reference_folder):
    return json.loads((reference_folder / "alignment" / "tatoeba_hash.json").read_text())


@pytest.fixture(scope="module")
def encoded(tatoeba_folder):
    kept = {}

    def get(language):
        if language not in kept:
            paths = (tatoeba_folder / f"tatoeba.{language}-eng.{side}" for side in (language, "eng"))
            kept[language] = [encode(path.read_text(encoding="utf-8").split("\n")[:-1]) for path in paths]
        return kept[language]

    return get


def possible_hits(queries, candidates):
    """Return the fewest and most first places for the true candidate."""
    cosines = queries.astype(float) @ candidates.astype(float).T
    gold = cosines.diagonal().copy()
    np.fill_diagonal(cosines, -np.inf)
    best = cosines.max(axis=1)
    return np.sum(gold > best + UNCERTAIN), np.sum(gold > best - UNCERTAIN)


def possible_margin_hits(queries, candidates, k, kind):
    """Return the same for the largest margin among the k nearest; which are those may be open too."""
    cosines = queries.astype(float) @ candidates.astype(float).T
    means = [np.sort(table, axis=1)[:, -k:].mean(axis=1) for table in (cosines, cosines.T)]
    neighbourhood = (means[0][:, None] + means[1]) / 2
    margins = {"ratio": cosines / neighbourhood, "distance": cosines - neighbourhood, "absolute": cosines}[
        kind
    ]
    descending = np.sort(cosines, axis=1)[:, ::-1]
    surely_near = cosines > descending[:, [k]] + UNCERTAIN
    maybe_near = cosines > descending[:, [k - 1]] - UNCERTAIN
    others = ~np.eye(len(cosines), dtype=bool)
    best_maybe = np.where(maybe_near & others, margins, -np.inf).max(axis=1)
    best_surely = np.where(surely_near & others, margins, -np.inf).max(axis=1)
    gold, width = margins.diagonal(), UNCERTAIN * (10 if kind == "ratio" else 1)
    fewest = np.sum(surely_near.diagonal() & (gold > best_maybe + width))
    return fewest, np.sum(maybe_near.diagonal() & (gold > best_surely - width))


@pytest.mark.parametrize("language", LANGUAGES)
def test_debiased_cka(language, values, encoded):
    theirs = values[language]["linear_cka_debiased_google_feature_float64"]
    single, double = (
        debiased_cka(*(side.astype(kind) for side in encoded(language)), standard_error=False).value
        for kind in (np.float32, np.float64)
    )
    assert double == pytest.approx(theirs, rel=1e-8)
    # Roundings of 2**-24 in 1,000 products of 512 terms, of which the sums over n * n keep little.
    assert single == pytest.approx(theirs, abs=2e-7)


@pytest.mark.parametrize("language", LANGUAGES)
def test_biased_cka(language, values, encoded):
    ours = linear_cka(*(side.astype(np.float64) for side in encoded(language)))
    assert ours == pytest.approx(values[language]["linear_cka_biased_google_feature_float64"], rel=1e-8)


@pytest.mark.parametrize("language", LANGUAGES)
def test_debiased_cka_of_shuffled_pairs(language, values, encoded):
    foreign, english = (side.astype(np.float64) for side in encoded(language))
    order = np.random.RandomState(0).permutation(len(english))
    ours = debiased_cka(foreign, english[order], standard_error=False).value
    # The value is a difference of terms a thousand times as large, hence an absolute 1e-8.
    assert ours == pytest.approx(values[language]["linear_cka_debiased_shuffled_pairs"], rel=0, abs=1e-8)


@pytest.mark.parametrize("language", LANGUAGES)
def test_xtreme_accuracy(language, values, encoded):
    foreign, english = (normalise(side, centred=False) for side in encoded(language))
    found = retrieve(foreign, english)
    n = len(foreign)
    ours = np.sum(found.english_to_foreign.prediction == np.arange(n))
    theirs = round(values[language]["xtreme_accuracy_percent"] * n / 100)
    fewest, most = possible_hits(english, foreign)
    assert fewest <= ours <= most
    assert fewest <= theirs <= most
    assert abs(ours - theirs) <= 0.002 * n


@pytest.mark.parametrize("language", ["jav", "tel", "tam", "swh", "tha", "deu", "cmn"])
@pytest.mark.parametrize("kind", ["ratio", "distance", "absolute"])
@pytest.mark.parametrize("direction", ["src2eng", "eng2src"])
def test_laser_error(language, kind, direction, values, encoded):
    sides = [normalise(side, centred=False) for side in encoded(language)]
    queries, candidates = sides if direction == "src2eng" else sides[::-1]
    n = len(queries)
    ours = round(n * (1 - margin_scores(queries, candidates, 4, kind).error_rate))
    theirs = n - round(values[language][f"laser_xsim_{kind}_{direction}_error_percent"] * n / 100)
    fewest, most = possible_margin_hits(queries, candidates, 4, kind)
    assert fewest <= ours <= most
    assert fewest <= theirs <= most
