"""Measuring without a study: presets measure what they read, and every layout of text is taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from tiny import WORDS

from alignaudit.core.metrics import METRICS
from alignaudit.core.specification import POOLINGS, PRESETS
from alignaudit.core.study import EmbeddedEncoder, Measures
from alignaudit.errors import DataError, StudyError, UsageError
from alignaudit.experiment.embedded import embedded_config
from alignaudit.experiment.encode import sentence_vectors
from alignaudit.experiment.model import build_encoder, load_encoder, load_tokenizer, save_encoder
from alignaudit.experiment.standalone import measure, measured_languages

DEPTH = 3  # of the encoder: block 14 of 24 is block 2 of 3 (the ceiling of 1.75)
PAIRS = 12
ENGLISH = [" ".join(WORDS[i : i + 3 + i % 4]) for i in range(PAIRS)]
# Every third translation is right, the others are the sentence two lines on with its words turned.
FOREIGN = [
    ENGLISH[i] if i % 3 == 0 else " ".join(ENGLISH[(i + 2) % PAIRS].split()[::-1]) for i in range(PAIRS)
]
SMALL = Measures(pool=5, permutations=19)
BOTH = ("foreign_to_english", "english_to_foreign")
REFERENCE = {name for name, metric in METRICS.items() if metric.where == "reference"}


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory, tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    recipe = EmbeddedEncoder(hidden_size=16, layers=DEPTH, attention_heads=2)
    save_encoder(build_encoder(embedded_config(recipe, len(tokenizer)), 5), tokenizer, folder)
    return folder


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tatoeba(folder: Path, **languages: list[str]) -> Path:
    folder.mkdir()
    for code, lines in languages.items():
        write(folder / f"tatoeba.{code}-eng.{code}", lines)
        write(folder / f"tatoeba.{code}-eng.eng", ENGLISH[: len(lines)])
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "tatoeba"
    return write_tatoeba(folder, ita=FOREIGN, fra=FOREIGN[::-1])


@pytest.fixture(scope="module")
def everything(encoder_folder, texts):
    return measured(encoder_folder, texts)


def measured(encoder, data, **more):
    return measure(encoder, data, **{"device": "cpu", "settings": SMALL, **more})


def keyed(frame: pd.DataFrame) -> pd.DataFrame:
    keys = ["language", "layer", "pooling", "direction", "centred", "metric"]
    found = frame.set_index(keys).sort_index()
    assert found.index.is_unique
    return found


# ------------------------------------------------------------------ presets

LAYERS = {"primary": [2], "xtreme": [2], "jiant": [2], "mteb": [3], "laser-xsim": [3], "last": [3]}
READ = {
    "primary": [
        (direction, True, name)
        for name in ("accuracy", "accuracy_pool", "xsim_distance", "margin", "cka_debiased")
        for direction in BOTH
    ],
    "xtreme": [("english_to_foreign", False, "accuracy_first")],
    "jiant": [("english_to_foreign", False, "accuracy_first")],
    "mteb": [("foreign_to_english", False, name) for name in ("hub_f1", "accuracy_first")],
    "laser-xsim": [(direction, False, "xsim_ratio") for direction in BOTH],
}


def test_every_preset_is_looked_at_below():
    assert set(PRESETS) == {*LAYERS, "all"} == {*READ, "last", "all"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_measures_the_layers_and_poolings_that_it_reads(encoder_folder, texts, everything, name):
    found = measured(encoder_folder, texts, presets=[name])
    rows = found.alignment
    assert sorted(rows["layer"].unique()) == LAYERS.get(name, [0, 1, 2, 3])
    assert set(rows["pooling"]) == (set(POOLINGS) if name == "all" else {"mean"})
    assert set(found.items["layer"]) == set(rows["layer"])
    mine, whole = keyed(rows), keyed(everything.alignment)
    pd.testing.assert_frame_equal(mine, whole.loc[mine.index])
    assert found.depth == DEPTH


def test_several_presets_measure_what_any_of_them_reads(encoder_folder, texts):
    found = measured(encoder_folder, texts, presets=["xtreme", "mteb"])
    assert sorted(found.alignment["layer"].unique()) == [2, 3]
    assert len(found.preset("xtreme")) == 2
    assert len(found.preset("mteb")) == 4


@pytest.mark.parametrize("name", READ)
def test_a_preset_reads_the_rows_of_its_protocol(everything, name):
    expected = [
        row
        for language in ("fra", "ita")
        for direction, centred, metric in READ[name]
        for row in everything.alignment.to_dict("records")
        if (row["language"], row["layer"], row["pooling"]) == (language, LAYERS[name][0], "mean")
        and (row["direction"], row["centred"], row["metric"]) == (direction, centred, metric)
    ]
    assert len(expected) == 2 * len(READ[name])
    pd.testing.assert_frame_equal(everything.preset(name), pd.DataFrame(expected))


@pytest.mark.parametrize(
    ("name", "layers", "poolings"), [("last", [3], ["mean"]), ("all", [0, 1, 2, 3], POOLINGS)]
)
def test_wide_presets_read_both_variants_of_everything(everything, name, layers, poolings):
    whole = everything.alignment
    keep = [
        layer in layers and pooling in poolings
        for layer, pooling in zip(whole["layer"], whole["pooling"], strict=True)
    ]
    pd.testing.assert_frame_equal(keyed(everything.preset(name)), keyed(whole[keep]))
    for _, cell in everything.preset(name).groupby(["language", "layer", "pooling", "centred"]):
        order = list(dict.fromkeys(cell["metric"]))
        assert order == [metric for metric in METRICS if metric in order]


def test_poolings_that_are_asked_for_stand_against_the_preset(encoder_folder, texts):
    settings = Measures(poolings=("first", "max"), pool=5, permutations=19)
    found = measured(encoder_folder, texts, presets=["last"], settings=settings, languages=["ita"])
    assert list(found.alignment["pooling"].unique()) == ["first", "max"]
    assert "cka_null_z" not in set(found.alignment["metric"])  # the last layer is not the primary one
    primary = measured(encoder_folder, texts, presets=["primary"], settings=settings, languages=["ita"])
    assert set(primary.alignment.query("metric == 'cka_null_z'")["pooling"]) == {"first"}


# ------------------------------------------------------------------ options


def test_languages_by_either_code_in_the_order_asked(encoder_folder, texts):
    assert measured_languages(texts) == ("fra", "ita")
    assert measured_languages(texts, ["it", "fra"]) == ("ita", "fra")
    done: list[str] = []
    found = measured(encoder_folder, texts, presets=["xtreme"], languages=["it", "fra"], progress=done.append)
    assert done == ["ita", "fra"] == list(found.alignment["language"].unique())
    assert set(found.seconds) == {"encoder", "measures"}


def test_limit_takes_the_first_pairs(encoder_folder, texts, tmp_path):
    short = write_tatoeba(tmp_path / "short", ita=FOREIGN[:7])
    limited = measured(encoder_folder, texts, presets=["last"], languages=["ita"], limit=7)
    pd.testing.assert_frame_equal(
        limited.alignment, measured(encoder_folder, short, presets=["last"]).alignment
    )
    assert set(limited.alignment["n"]) == {7}


def test_a_reference_and_a_perturbation_add_the_primary_layer_to_a_preset(encoder_folder, texts):
    noisy = SMALL.model_copy(update={"perturbations": {"typos": (0.2,)}})
    for more in ({"reference": encoder_folder}, {"settings": noisy}):
        found = measured(encoder_folder, texts, presets=["last"], **more)
        assert sorted(found.alignment["layer"].unique()) == [2, 3]
        assert set(found.preset("last")["layer"]) == {3}
        assert found.perturbed.empty == ("reference" in more)
        if "reference" in more:
            rows = found.alignment[found.alignment["metric"].isin(REFERENCE)]
            assert len(rows) == 2 * 2 * len(REFERENCE)
            value = keyed(rows)["value"]
            # The reference's batches hold the same sentences, so its vectors are the same.
            assert value.xs("cka_reference", level="metric").to_numpy() == pytest.approx(1.0, abs=1e-6)
            assert value.xs("drift", level="metric").to_numpy() == pytest.approx(0.0, abs=1e-6)
            assert value.xs("neighbour_overlap", level="metric").to_numpy() == pytest.approx(1.0)
        else:
            assert set(found.perturbed["layer"]) == set(found.perturbed_items["layer"]) == {2}


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_kept_embeddings_are_of_the_layers_measured(encoder_folder, texts, tmp_path, precision):
    measured(encoder_folder, texts, presets=["mteb"], keep_embeddings=tmp_path / "kept", precision=precision)
    model, words = load_encoder(str(encoder_folder)), load_tokenizer(str(encoder_folder))
    kept = load_file(tmp_path / "kept" / "ita.safetensors")
    assert set(kept) == {"foreign.mean", "english.mean"}
    for side, sentences in (("foreign", FOREIGN), ("english", ENGLISH)):
        expected = sentence_vectors(model, words, sentences)["mean"][3:].numpy()
        found = kept[f"{side}.mean"].numpy()
        assert found.dtype == precision
        # float16 keeps 11 bits: half of the last is 2**-11 of a value.
        rounding = 2**-11 if precision == "float16" else 1e-5
        np.testing.assert_allclose(found, expected, rtol=rounding, atol=1e-5)


# ------------------------------------------------------------------ layouts


def write_pairs(folder: Path) -> str:
    write(folder / "mine.de-en.de", FOREIGN)
    write(folder / "mine.de-en.en", ENGLISH)
    return "de"


def write_columns(folder: Path) -> str:
    write(folder / "deu.tsv", [f"{ours}\t{theirs}" for ours, theirs in zip(FOREIGN, ENGLISH, strict=True)])
    return "deu"


def write_ntrex(folder: Path) -> str:
    write(folder / "deu.txt", FOREIGN)
    write(folder / "eng.txt", ENGLISH)
    return "deu"


def write_newstest(folder: Path) -> str:
    write(folder / "newstest2019-ref.deu.txt", FOREIGN)
    write(folder / "newstest2019-src.eng.txt", ENGLISH)
    return "deu"


def write_xquad(folder: Path) -> str:
    """Three articles of four contexts."""
    for code, side in (("de", FOREIGN), ("en", ENGLISH)):
        articles = [
            {
                "title": f"article {number}",
                "paragraphs": [
                    {"context": side[4 * number + i], "qas": [{"id": f"{number}.{i}", "question": "?"}]}
                    for i in range(4)
                ],
            }
            for number in range(3)
        ]
        (folder / f"xquad.{code}.json").write_text(json.dumps({"version": "1.1", "data": articles}))
    return "de"


@pytest.mark.parametrize("layout", [write_pairs, write_columns, write_ntrex, write_newstest, write_xquad])
def test_the_same_pairs_in_any_layout_give_the_same_values(encoder_folder, texts, tmp_path, layout):
    code = layout(tmp_path)
    assert measured_languages(tmp_path) == (code,)
    expected = measured(encoder_folder, texts, presets=["last"], languages=["ita"]).alignment
    found = measured(encoder_folder, tmp_path, presets=["last"]).alignment
    assert set(found["language"]) == {code}
    columns = [name for name in found.columns if name != "language"]
    if layout is write_xquad:  # its articles are documents
        columns = [name for name in columns if name not in ("standard_error", "note")]
    pd.testing.assert_frame_equal(found[columns], expected[columns])


DOCUMENTS = [f"document {i // 3}" for i in range(PAIRS)]


def test_documents_change_standard_errors_and_not_values(encoder_folder, tmp_path):
    """But for the rotation, which is fitted on other documents as whole documents are held out."""
    (tmp_path / "alone").mkdir()
    (tmp_path / "documented").mkdir()
    for name in ("alone", "documented"):
        write_ntrex(tmp_path / name)
    write(tmp_path / "documented" / "DOCUMENT_IDS.tsv", [f"{name}\t{i}" for i, name in enumerate(DOCUMENTS)])
    plain, clustered = (
        measured(encoder_folder, tmp_path / name, presets=["primary", "last"])
        for name in ("alone", "documented")
    )
    halves = {"procrustes_accuracy", "half_accuracy"}
    one, other = (
        keyed(found.alignment[~found.alignment["metric"].isin(halves)]) for found in (plain, clustered)
    )
    pd.testing.assert_series_equal(one["value"], other["value"])
    pd.testing.assert_frame_equal(plain.items, clustered.items)
    items = clustered.items.query("layer == 3 and centred")
    for direction in BOTH:
        correct = items[f"{direction}_correct"].to_numpy()
        assert 0 < correct.mean() < 1
        deviation = [(correct[3 * g : 3 * g + 3] - correct.mean()).sum() for g in range(4)]
        expected = np.sqrt(4 / 3 * np.sum(np.square(deviation))) / PAIRS
        key = ("deu", 3, "mean", direction, True, "accuracy")
        assert other.loc[key, "standard_error"] == pytest.approx(expected, rel=1e-9)
        assert one.loc[key, "standard_error"] == pytest.approx(np.std(correct, ddof=1) / np.sqrt(PAIRS))
        assert one.loc[key, "standard_error"] != pytest.approx(expected, rel=0.01)


# ------------------------------------------------------------------ refusals, before anything is loaded

NOWHERE = "no such encoder"


def test_unknown_names_are_refused_before_the_encoder_is_loaded(texts):
    with pytest.raises(UsageError, match=r'unknown preset "xtrem"\. Did you mean "xtreme"\?'):
        measured(NOWHERE, texts, presets=["last", "xtrem"])
    noisy = SMALL.model_copy(update={"perturbations": {"typo": (0.2,)}})
    with pytest.raises(StudyError, match=r'no perturbation "typo"\. Did you mean "typos"\?'):
        measured(NOWHERE, texts, settings=noisy)
    with pytest.raises(DataError, match=r'no language "itta"\. Did you mean "ita"\?'):
        measured(NOWHERE, texts, languages=["itta"])


def test_an_unknown_preset_is_not_read(everything):
    with pytest.raises(UsageError, match='unknown preset "primry"'):
        everything.preset("primry")


# ------------------------------------------------------------------ mining


@pytest.fixture
def bucc(tmp_path) -> Path:
    for split in ("sample", "training"):
        for side, lines in (("de", FOREIGN), ("en", ENGLISH)):
            write(tmp_path / f"de-en.{split}.{side}", [f"{side}-{i}\t{line}" for i, line in enumerate(lines)])
        write(tmp_path / f"de-en.{split}.gold", [f"de-{i}\ten-{i}" for i in range(0, PAIRS, 3)])
    return tmp_path


def test_a_mining_folder_is_mined_at_the_layers_of_the_preset(encoder_folder, bucc):
    found = measured(encoder_folder, bucc, presets=["laser-xsim", "primary"])
    assert sorted(found.mining["layer"].unique()) == [2, 3]
    assert set(found.mining["pooling"]) == {"mean"}
    assert set(found.mining["language"]) == {"de"}
    assert set(found.mining["gold"]) == {4}
    assert len(found.mining) == 4
    assert found.alignment.empty
    assert found.items.empty


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("limit", {"limit": 5}),
        ("reference", {"reference": NOWHERE}),
        ("keep-embeddings", {"keep_embeddings": "kept"}),
        ("perturb", {"settings": Measures(perturbations={"typos": (0.1,)})}),
    ],
)
def test_what_needs_pairs_is_refused_for_mining_sets(bucc, name, more):
    with pytest.raises(UsageError, match=rf"--{name}: the folder holds no sentence pairs"):
        measured(NOWHERE, bucc, **more)
