"""The command `measure`: its object, its tables for people, its files, and how it refuses."""

from __future__ import annotations

import csv
import json
import math
import shutil

import pytest
from safetensors.torch import load_file, save_file

from alignaudit.core.metrics import METRICS

COLUMNS = [
    "language",
    "layer",
    "pooling",
    "direction",
    "centred",
    "metric",
    "value",
    "standard_error",
    "note",
    "n",
]
REACH = ["character_error_rate", "changed_share", "reach_note"]
DIRECTIONS = {"foreign_to_english", "english_to_foreign"}
POOLINGS = {"mean", "mean_without_special", "first", "max"}
PARTS = ["schema_version", "encoder", "rows", "presets", "perturbed", "mining", "consistency"]


def measured(cli, *words) -> dict:
    said = cli("measure", *words, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def chosen(rows: list[dict], **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def read_csv(path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ----------------------------------------------------------------------------------------- object


@pytest.mark.parametrize("layout", ["tatoeba", "ntrex"])
def test_the_object_has_the_promised_shape(cli, encoder, layout, request):
    folder = request.getfixturevalue(layout)
    result = measured(cli, encoder, "--data", folder)
    assert list(result) == PARTS
    assert result["schema_version"] == 2
    assert result["encoder"] == str(encoder)
    assert list(result["presets"]) == ["primary", "xtreme", "mteb", "laser-xsim"]
    assert result["perturbed"] == result["mining"] == result["consistency"] == []
    rows = result["rows"]
    assert all(list(row) == COLUMNS for row in rows)
    assert {row["language"] for row in rows} == {"fra", "ita"}
    assert {row["direction"] for row in rows} == DIRECTIONS
    # six pairs are no pool of 200, and there is no reference
    without = {"accuracy_pool", "accuracy_pool_corrected", "cka_reference", "drift", "neighbour_overlap"}
    assert {row["metric"] for row in rows} == set(METRICS) - without
    assert {row["layer"] for row in rows} == {0, 1, 2}
    assert {row["pooling"] for row in rows} == POOLINGS
    assert {row["n"] for row in rows} == {6}
    # A cell has, under both directions, 16 metrics of retrieval raw and centred, and CKA twice and the
    # language gap in one variant; the primary cell has 9 more.
    assert len(rows) == 2 * (3 * 4 * 2 * (2 * 16 + 3) + 2 * 9)


@pytest.mark.parametrize("layout", ["tatoeba", "ntrex"])
@pytest.mark.parametrize("metric", ["accuracy", "margin", "cka_debiased"])
def test_the_last_layer_with_mean_pooling_is_among_the_rows(cli, encoder, layout, metric, request):
    rows = measured(cli, encoder, "--data", request.getfixturevalue(layout))["rows"]
    found = chosen(rows, layer=2, pooling="mean", metric=metric, centred=True, language="ita")
    assert {row["direction"] for row in found} == DIRECTIONS


def test_both_layouts_of_one_text_give_the_same_numbers(cli, encoder, tatoeba, ntrex):
    assert measured(cli, encoder, "--data", tatoeba) == measured(cli, encoder, "--data", ntrex)


def test_identical_sides_are_perfectly_aligned_and_turned_sides_not_at_all(cli, encoder, tatoeba):
    rows = chosen(measured(cli, encoder, "--data", tatoeba)["rows"], pooling="mean")
    accuracy = chosen(rows, metric="accuracy")
    assert {row["value"] for row in chosen(accuracy, language="ita")} == {1.0}
    assert {row["standard_error"] for row in chosen(accuracy, language="ita")} == {0.0}
    assert {row["value"] for row in chosen(accuracy, language="fra")} == {0.0}
    for row in chosen(rows, metric="cka_debiased", language="ita"):
        assert row["value"] == pytest.approx(1.0, abs=1e-5)
    for row in chosen(rows, metric="margin"):
        assert (row["value"] > 0) == (row["language"] == "ita")


def test_types_are_json_and_what_is_missing_says_why(cli, encoder, tatoeba):
    rows = measured(cli, encoder, "--data", tatoeba)["rows"]
    for row in rows:
        assert [type(row[name]) for name in ("centred", "layer", "n", "note")] == [bool, int, int, str]
        assert row["standard_error"] is None or type(row["standard_error"]) is float
        if row["value"] is None:
            assert row["note"].endswith(".")
        else:
            assert type(row["value"]) is float
            assert row["note"] == "" or row["standard_error"] is None


def test_the_same_command_gives_the_same_bytes(cli, encoder, tatoeba):
    words = (
        "measure",
        encoder,
        "--data",
        tatoeba,
        "--json",
        "--perturb",
        "typos=0.2",
        "--reference",
        encoder,
    )
    assert cli(*words).out == cli(*words).out


# ---------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(("asked", "order"), [(["fra", "ita"], "fra ita"), (["it", "fra"], "ita fra")])
def test_languages_by_either_code_in_the_order_asked(cli, encoder, tatoeba, asked, order):
    rows = measured(cli, encoder, "--data", tatoeba, "--languages", *asked)["rows"]
    assert list(dict.fromkeys(row["language"] for row in rows)) == order.split()


def test_limit_takes_the_first_pairs(cli, encoder, tatoeba):
    assert {row["n"] for row in measured(cli, encoder, "--data", tatoeba, "--limit", "4")["rows"]} == {4}


def test_preset_last_is_the_last_layer(cli, encoder, tatoeba):
    everything = measured(cli, encoder, "--data", tatoeba)["rows"]
    result = measured(cli, encoder, "--data", tatoeba, "--preset", "last")
    assert result["rows"] == chosen(everything, layer=2, pooling="mean")
    assert list(result["presets"]) == ["last"]
    assert sorted(map(str, result["presets"]["last"])) == sorted(map(str, result["rows"]))


@pytest.mark.parametrize("name", ["xtreme", "jiant"])
def test_preset_xtreme_is_its_protocol(cli, encoder, tatoeba, name):
    everything = measured(cli, encoder, "--data", tatoeba)["rows"]
    result = measured(cli, encoder, "--data", tatoeba, "--preset", name)
    # block 14 of 24 is block 2 of 2
    protocol = {"layer": 2, "pooling": "mean", "direction": "english_to_foreign", "centred": False}
    assert result["presets"] == {name: chosen(everything, **protocol, metric="accuracy_first")}
    assert result["rows"] == chosen(everything, layer=2, pooling="mean")


def test_perturb_measures_noisy_foreign_sentences(cli, encoder, tatoeba):
    words = ("--data", tatoeba, "--languages", "ita", "--preset", "mteb")
    result = measured(cli, encoder, *words, "--perturb", "typos=0.4", "lower_casing=1", "typos=0.1,0.4")
    rows = result["perturbed"]
    assert list(rows[0]) == [*COLUMNS[:3], "perturbation", "severity", *COLUMNS[3:9], "n", *REACH]
    asked = dict.fromkeys((row["perturbation"], row["severity"]) for row in rows)
    assert list(asked) == [("typos", 0.4), ("typos", 0.1), ("lower_casing", 1.0)]
    clean = chosen(result["rows"], metric="accuracy")
    untouched = chosen(rows, perturbation="lower_casing", metric="accuracy")
    assert [row["value"] for row in untouched] == [row["value"] for row in clean] == [1.0] * 4
    assert {row["reach_note"][:12] for row in untouched} == {"Lower-casing"}
    noisy = chosen(rows, perturbation="typos", severity=0.4, metric="accuracy")
    assert {row["changed_share"] for row in noisy} == {1.0}
    assert {row["reach_note"] for row in noisy} == {""}
    assert max(row["value"] for row in noisy) < 1.0


def test_lexicons_switch_words(cli, encoder, tatoeba, here):
    (here / "words").mkdir()
    (here / "words" / "it.txt").write_text("cat\tdog\ndog\tcat\n")
    words = ("--data", tatoeba, "--languages", "ita", "--preset", "mteb", "--perturb", "code_switching=1")
    rows = measured(cli, encoder, *words, "--lexicon", here / "words")["perturbed"]
    # of the six sentences three hold a cat or a dog
    assert {row["changed_share"] for row in rows} == {0.5}
    assert {row["perturbation"] for row in rows} == {"code_switching"}


def test_reference_measures_how_far_the_encoder_has_moved(cli, encoder, tatoeba):
    rows = measured(cli, encoder, "--data", tatoeba, "--preset", "last", "--reference", encoder)["rows"]
    for metric, value in (("cka_reference", 1.0), ("drift", 0.0), ("neighbour_overlap", 1.0)):
        found = chosen(rows, metric=metric)
        assert len(found) == 2 * 2
        assert [row["value"] for row in found] == pytest.approx([value] * 4, abs=1e-6)


def test_out_writes_every_row(cli, encoder, tatoeba, here):
    path = here / "made" / "rows.csv"
    rows = measured(cli, encoder, "--data", tatoeba, "--out", path)["rows"]
    written = read_csv(path)
    assert list(written[0]) == COLUMNS
    assert [row["note"] for row in written] == [row["note"] for row in rows]
    for column in ("value", "standard_error"):
        numbers = [float(row[column]) if row[column] else None for row in written]
        assert numbers == [row[column] for row in rows]
    assert [file.name for file in path.parent.iterdir()] == ["rows.csv"]


def test_items_are_the_pairs_behind_the_accuracies(cli, encoder, tatoeba, here):
    words = ("--data", tatoeba, "--preset", "last", "--items", here / "items.csv")
    rows = measured(cli, encoder, *words)["rows"]
    items = read_csv(here / "items.csv")
    keys = ["language", "layer", "pooling", "centred"]
    sides = [
        f"{side}_{name}" for side in sorted(DIRECTIONS)[::-1] for name in ("correct", "rank", "prediction")
    ]
    assert list(items[0]) == [*keys, "item", "english", *sides, "margin"]
    assert len(items) == 2 * 2 * 6
    for row in chosen(rows, metric="accuracy"):
        mine = [item for item in items if all(item[name] == str(row[name]) for name in keys)]
        assert [int(item["item"]) for item in mine] == list(range(6))
        scores = [float(item[f"{row['direction']}_correct"]) for item in mine]
        assert sum(scores) / 6 == pytest.approx(row["value"], rel=1e-12)
    english = {(item["item"], item["english"]) for item in items}
    assert len(english) == 6  # a sentence is known by one number in both languages
    turned = [item for item in items if item["language"] == "fra" and item["centred"] == "True"]
    # line i of fra is English line i + 1
    assert [int(item["foreign_to_english_prediction"]) for item in turned] == [1, 2, 3, 4, 5, 0]


def test_perturbed_rows_and_items_lie_beside_the_others(cli, encoder, tatoeba, here):
    words = ("--data", tatoeba, "--preset", "xtreme", "--perturb", "typos=0.3")
    result = measured(cli, encoder, *words, "--out", here / "rows.csv", "--items", here / "items.csv")
    written = read_csv(here / "rows-perturbed.csv")
    assert [float(row["value"]) for row in written if row["value"]] == [
        row["value"] for row in result["perturbed"] if row["value"] is not None
    ]
    items = read_csv(here / "items-perturbed.csv")
    assert len(items) == 2 * 6
    for row in chosen(result["perturbed"], metric="accuracy", centred=True):
        mine = [
            float(item[f"{row['direction']}_correct"])
            for item in items
            if item["language"] == row["language"]
        ]
        assert sum(mine) / 6 == pytest.approx(row["value"], rel=1e-12)


@pytest.mark.parametrize(("words", "precision"), [((), "float32"), (("--precision", "float16"), "float16")])
def test_embeddings_are_kept_where_they_are_asked_for(cli, encoder, tatoeba, here, words, precision):
    before = set(here.rglob("*.safetensors"))
    measured(cli, encoder, "--data", tatoeba, "--preset", "mteb")
    assert set(here.rglob("*.safetensors")) == before
    measured(cli, encoder, "--data", tatoeba, "--preset", "mteb", "--keep-embeddings", here / "kept", *words)
    assert sorted(path.name for path in (here / "kept").iterdir()) == ["fra.safetensors", "ita.safetensors"]
    kept = load_file(here / "kept" / "fra.safetensors")
    assert {name: (tuple(side.shape), str(side.dtype)) for name, side in kept.items()} == {
        f"{side}.mean": ((1, 6, 16), f"torch.{precision}") for side in ("foreign", "english")
    }
    # line i of fra is English line i + 1; float16 keeps 11 bits of numbers below 8
    turned = kept["english.mean"].roll(-1, dims=1)
    assert (kept["foreign.mean"] - turned).abs().max() < (1e-5 if precision == "float32" else 8 * 2**-11)


def test_batches_change_nothing_but_last_bits(cli, encoder, tatoeba):
    words = ("--data", tatoeba, "--preset", "last")
    whole = measured(cli, encoder, *words)["rows"]
    small = measured(cli, encoder, *words, "--batch-size", "2")["rows"]
    # batches move the last bits of float32 vectors, and CKA is a ratio of their squares
    assert [row["value"] for row in small] == pytest.approx(
        [row["value"] for row in whole], rel=1e-3, abs=1e-4
    )


def test_sentences_are_cut(cli, encoder, tatoeba):
    """All begin with the same eight words and more; whole, they are told apart."""
    lines = [f"the old man sees a big red house near the {word}" for word in ("sea", "cat", "dog", "tree")]
    for name in ("ita", "eng"):
        (tatoeba / f"tatoeba.ita-eng.{name}").write_text("\n".join(lines) + "\n")
    words = ("--data", tatoeba, "--languages", "ita", "--preset", "last")
    for length, value in (("8", 0.25), ("64", 1.0)):
        rows = measured(cli, encoder, *words, "--max-length", length)["rows"]
        assert {row["value"] for row in chosen(rows, metric="accuracy")} == {value}


# ----------------------------------------------------------------------------------------- tables

XTREME = """\
xtreme: Hu et al. 2020: block 14 of 24, mean with special tokens, English queries, raw cosine
ENCODER, layer 2 of 2; shares in %, f→e = foreign to English

language  pairs  first e→f raw
fra           6            0.0
ita           6          100.0
mean                      50.0
"""
MTEB = """\
mteb: Muennighoff et al. 2023: last block, mean with special tokens, foreign queries, raw cosine, F1
ENCODER, layer 2 of 2; shares in %, f→e = foreign to English

language  pairs  F1 f→e raw  first f→e raw
ita           6       100.0          100.0
"""
REFERENCE = """
change since the reference, layer 2 of 2, centred; drift in nats

language  pairs  CKA to reference  drift f→e  overlap f→e  drift e→f  overlap e→f
ita           6             1.000      0.000        100.0      0.000        100.0
"""
UNTOUCHED = """
perturbed foreign sentences, centred

language  perturbation  severity  CER %  changed %  accuracy f→e  accuracy e→f
ita       lower_casing         1    0.0          0         100.0         100.0
Lower-casing changes nothing in ita: 0 of its 18 words have a capital letter.
"""


def table(cli, encoder, *words) -> str:
    said = cli("measure", encoder, *words)
    assert said.code == 0, said.err
    return said.out.replace(str(encoder), "ENCODER")


def test_the_table_of_a_preset(cli, encoder, tatoeba):
    assert table(cli, encoder, "--data", tatoeba, "--preset", "xtreme") == XTREME


def test_one_language_has_no_mean_and_further_tables_follow(cli, encoder, tatoeba):
    words = ("--data", tatoeba, "--languages", "ita", "--preset", "mteb")
    assert table(cli, encoder, *words) == MTEB
    assert table(cli, encoder, *words, "--reference", encoder) == MTEB + REFERENCE
    assert table(cli, encoder, *words, "--perturb", "lower_casing=1") == MTEB + UNTOUCHED
    both = table(cli, encoder, *words, "--perturb", "lower_casing=1", "--reference", encoder)
    assert both == MTEB + REFERENCE + UNTOUCHED


def test_without_a_preset_four_protocols_are_shown(cli, encoder, tatoeba):
    said = cli("measure", encoder, "--data", tatoeba)
    tables = said.out.split("\n\n")
    assert len(tables) == 2 * 4
    titles = [part.split(":")[0] for part in tables[::2]]
    assert titles == ["primary", "xtreme", "mteb", "laser-xsim"]
    words = {part.splitlines()[0]: part.splitlines()[2].split() for part in tables[1::2]}
    heading, ita = next(iter(words.items()))
    assert heading.split() == "language pairs accuracy f→e accuracy e→f xSIM f→e xSIM e→f margin CKA".split()
    assert ita[:6] == ["ita", "6", "100.0", "100.0", "0.0", "0.0"]
    assert 0 < float(ita[6]) < 2
    assert float(ita[7]) == 1.0
    assert said.err.splitlines()[-1].startswith("Next: alignaudit ")
    assert any(line.startswith("Encoder ") for line in said.err.splitlines())


def test_the_table_for_people_has_the_numbers_of_the_object(cli, encoder, ntrex):
    """Pools of six do not exist, so `primary` has four of its five metrics."""
    words = ("--data", ntrex, "--preset", "primary")
    rows = measured(cli, encoder, *words)["presets"]["primary"]
    lines = table(cli, encoder, *words).splitlines()
    for language in ("fra", "ita"):
        shown = next(line.split() for line in lines if line.startswith(language))
        values = []
        for metric, scale in (("accuracy", 100), ("xsim_distance", 100), ("margin", 1), ("cka_debiased", 1)):
            found = [scale * row["value"] for row in chosen(rows, metric=metric, language=language)]
            values += [f"{value:.{1 if scale == 100 else 3}f}" for value in found[: 2 if scale == 100 else 1]]
        assert shown == [language, "6", *values]


def test_a_missing_number_is_a_dash_and_so_is_the_mean(cli, encoder, tatoeba):
    """Equal sentences have no CKA."""
    for name in ("ita", "eng"):
        (tatoeba / f"tatoeba.ita-eng.{name}").write_text("the cat\n" * 6)
    lines = table(cli, encoder, "--data", tatoeba, "--preset", "primary").splitlines()
    last = {line.split()[0]: line.split()[-1] for line in lines if line}
    assert last["ita"] == last["mean"] == "–"
    assert math.isfinite(float(last["fra"]))


def test_quiet_says_nothing(cli, encoder, tatoeba):
    words = (
        "measure",
        encoder,
        "--data",
        tatoeba,
        "--perturb",
        "typos=0.1",
        "--reference",
        encoder,
        "--quiet",
    )
    assert cli(*words, "--json").err == cli(*words).err == ""


# ----------------------------------------------------------------------------------------- mining


@pytest.fixture
def bucc(here):
    """Eight sentences a side, the first four of which are the same, as dev and test set."""
    folder = here / "bucc"
    folder.mkdir()
    english = ["the cat", "a dog", "red house", "big tree", "old man", "blue river", "a small cat", "the sea"]
    foreign = [*english[:4], "walks on", "eats near", "likes", "sees in"]
    for split in ("sample", "training"):
        for side, texts in (("de", foreign), ("en", english)):
            lines = [f"{side}-{i}\t{text}" for i, text in enumerate(texts)]
            (folder / f"de-en.{split}.{side}").write_text("\n".join(lines) + "\n")
        gold = [f"de-{i}\ten-{i}" for i in range(4)]
        (folder / f"de-en.{split}.gold").write_text("\n".join(gold) + "\n")
    return folder


def test_mining_sets_are_mined(cli, encoder, bucc, here):
    result = measured(cli, encoder, "--data", bucc, "--preset", "mteb", "--out", here / "rows.csv")
    assert list(result) == PARTS
    assert result["rows"] == result["perturbed"] == []
    assert result["presets"] == {}
    rows = result["mining"]
    keys = ["language", "layer", "pooling", "centred", "margin"]
    scores = ["f1", "precision", "recall", "threshold", "oracle_f1", "gold", "note"]
    assert [list(row) for row in rows] == [[*keys, *scores]] * 2
    assert [(row["margin"], row["centred"]) for row in rows] == [("ratio", False), ("distance", True)]
    for row in rows:
        # equal sentences have the largest margins, and dev and test are the same
        assert [row[name] for name in ("f1", "precision", "recall", "oracle_f1", "gold")] == [1, 1, 1, 1, 4]
    assert [row["margin"] for row in read_csv(here / "rows.csv")] == ["ratio", "distance"]


def test_the_table_of_mining(cli, encoder, bucc):
    assert table(cli, encoder, "--data", bucc, "--preset", "mteb") == (
        "ENCODER, layer 2: mining, threshold tuned on dev, in %\n\n"
        "language  pooling             margin     F1  precision  recall  oracle F1  gold pairs\n"
        "de           mean         ratio, raw  100.0      100.0   100.0      100.0           4\n"
        "de           mean  distance, centred  100.0      100.0   100.0      100.0           4\n"
    )


# -------------------------------------------------------------------------------------- bad input


def refused(cli, code: int, *words) -> str:
    said = cli("measure", *words)
    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1
    return said.err


def test_files_of_unequal_length(cli, encoder, tatoeba):
    path = tatoeba / "tatoeba.ita-eng.ita"
    path.write_text(path.read_text() + "one more\n")
    text = refused(cli, 3, encoder, "--data", tatoeba)
    assert f"{path}: 7 lines, but tatoeba.ita-eng.eng has 6." in text


def test_a_language_with_3_sentences(cli, encoder, tatoeba):
    for name in ("ita", "eng"):
        (tatoeba / f"tatoeba.ita-eng.{name}").write_text("a\nb\nc\n")
    assert "3 sentence pairs; at least 4 are needed." in refused(cli, 3, encoder, "--data", tatoeba)


def test_a_bad_language_does_not_matter_if_it_is_not_asked_for(cli, encoder, tatoeba):
    (tatoeba / "tatoeba.ita-eng.ita").write_text("a\n")
    assert measured(cli, encoder, "--data", tatoeba, "--languages", "fra")["rows"]


def test_a_blank_line(cli, encoder, ntrex):
    lines = (ntrex / "ita.txt").read_text().splitlines()
    (ntrex / "ita.txt").write_text("\n".join([lines[0], " ", *lines[2:]]) + "\n")
    assert f"{ntrex / 'ita.txt'}, line 2: a blank line." in refused(cli, 3, encoder, "--data", ntrex)


def test_a_file_that_is_not_utf8(cli, encoder, ntrex):
    (ntrex / "ita.txt").write_bytes("è\n".encode("latin-1") * 6)
    assert "not UTF-8" in refused(cli, 3, encoder, "--data", ntrex)


def test_a_missing_foreign_file(cli, encoder, tatoeba):
    (tatoeba / "tatoeba.ita-eng.ita").unlink()
    assert "tatoeba.ita-eng.ita: there is no such file." in refused(cli, 3, encoder, "--data", tatoeba)


@pytest.mark.parametrize(("code", "hint"), [("itta", 'Did you mean "ita"?'), ("zz", "Known: fra, ita.")])
def test_an_unknown_language(cli, encoder, tatoeba, code, hint):
    assert hint in refused(cli, 3, encoder, "--data", tatoeba, "--languages", "fra", code)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--perturb", "typoz=0.1"), 3, 'there is no perturbation "typoz". Did you mean "typos"?'),
        (("--perturb", "typos"), 2, '"typos" is not NAME=RATE,…, like typos=0.05,0.1.'),
        (("--perturb", "typos=0.1,"), 2, '"typos=0.1," is not NAME=RATE'),
        (("--perturb", "typos=0"), 2, '"typos=0": a severity is above 0 and at most 1.'),
        (("--perturb", "typos=0.1,1.5"), 2, "a severity is above 0 and at most 1."),
        (("--perturb", "typos=nan"), 2, "a severity is above 0 and at most 1."),
        (("--perturb", "code_switching=0.5"), 3, "code-switching needs a lexicon"),
        (("--precision", "float61"), 2, 'Did you mean "float16"?'),
        (("--batch-size", "0"), 2, '"0" is not a whole number of at least 1.'),
        (("--max-length", "4"), 3, "max_length: Input should be greater than or equal to 8"),
        (("--limit", "3"), 2, '"3" is not a whole number of at least 4.'),
        (("--device", "gpu"), 2, "--device"),
        (("--preset", "xtreme", "primry"), 2, 'unknown preset "primry". Did you mean "primary"?'),
    ],
)
def test_an_option_that_means_nothing(cli, encoder, tatoeba, words, code, said):
    assert said in refused(cli, code, encoder, "--data", tatoeba, *words)


@pytest.mark.parametrize(
    "words", [("--limit", "5"), ("--perturb", "typos=0.1"), ("--reference", "x"), ("--keep-embeddings", "x")]
)
def test_an_option_that_mining_sets_do_not_have(cli, encoder, bucc, words):
    said = refused(cli, 2, encoder, "--data", bucc, *words)
    assert f"{words[0]}: the folder holds no sentence pairs, which this option needs." in said


def test_a_reference_that_is_no_encoder(cli, encoder, tatoeba, here):
    (here / "empty").mkdir()
    words = (encoder, "--data", tatoeba, "--reference", here / "empty")
    assert f"checkpoint {here / 'empty'}: cannot be loaded" in refused(cli, 6, *words)


def test_a_folder_for_embeddings_that_is_a_file(cli, encoder, tatoeba, here):
    (here / "file").write_text("")
    words = (encoder, "--data", tatoeba, "--keep-embeddings", here / "file")
    assert f"{here / 'file'}: cannot be written" in refused(cli, 6, *words)


def test_an_unknown_preset(cli, encoder, tatoeba):
    assert 'Did you mean "xtreme"?' in refused(cli, 2, encoder, "--data", tatoeba, "--preset", "xtrem")


def test_no_such_folder_of_text_and_one_without_text(cli, encoder, here):
    assert "no such folder" in refused(cli, 3, encoder, "--data", here / "nowhere")
    (here / "empty").mkdir()
    assert "no parallel text" in refused(cli, 3, encoder, "--data", here / "empty")


@pytest.fixture
def broken(encoder, tmp_path):
    """A copy of the encoder's folder, to break."""
    return shutil.copytree(encoder, tmp_path / "broken")


def test_a_folder_that_is_no_encoder(cli, here, tatoeba):
    (here / "empty").mkdir()
    assert "cannot be loaded" in refused(cli, 6, here / "empty", "--data", tatoeba)


@pytest.mark.parametrize("config", ["", "{", "{}", '{"model_type": "no such model"}'])
def test_an_encoder_with_a_broken_configuration(cli, broken, tatoeba, config):
    (broken / "config.json").write_text(config)
    assert "cannot be loaded" in refused(cli, 6, broken, "--data", tatoeba)


def test_an_encoder_without_weights(cli, broken, tatoeba):
    (broken / "model.safetensors").unlink()
    assert "cannot be loaded" in refused(cli, 6, broken, "--data", tatoeba)


@pytest.mark.parametrize("name", ["package:no_such_package/model", "package:alignaudit/no_such_folder"])
def test_a_package_that_does_not_carry_the_encoder(cli, tatoeba, name):
    assert name in refused(cli, 6, name, "--data", tatoeba)


def test_an_encoder_with_truncated_weights(cli, broken, tatoeba):
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "cannot be loaded" in refused(cli, 6, broken, "--data", tatoeba)


def test_an_encoder_that_lacks_a_tensor(cli, broken, tatoeba):
    tensors = load_file(broken / "model.safetensors")
    name = next(name for name in tensors if name.endswith("query.weight"))
    del tensors[name]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    assert "cannot be loaded" in refused(cli, 6, broken, "--data", tatoeba)


def test_an_encoder_whose_weights_have_another_shape(cli, broken, tatoeba):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"intermediate_size": 5}))
    assert "cannot be loaded" in refused(cli, 6, broken, "--data", tatoeba)


def test_an_encoder_without_a_tokenizer(cli, broken, tatoeba):
    for path in broken.glob("token*"):
        path.unlink()
    assert "cannot be loaded" in refused(cli, 6, broken, "--data", tatoeba)
