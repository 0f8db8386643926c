from __future__ import annotations

import csv
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

COLUMNS = ["language", "layer", "pooling", "direction", "centred", "metric", "value", "standard_error", "n"]
DIRECTIONS = {"foreign_to_english", "english_to_foreign"}


def measured(cli, *words) -> dict:
    said = cli("measure", *words, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def chosen(rows: list[dict], **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


# -------------------------------------------------------------------------------------- interface


@pytest.mark.parametrize("layout", ["tatoeba", "ntrex"])
def test_the_object_has_the_promised_shape(cli, encoder, layout, request):
    folder = request.getfixturevalue(layout)
    result = measured(cli, encoder, "--data", folder)
    assert list(result) == ["schema_version", "encoder", "rows"]
    assert result["schema_version"] == 1
    assert result["encoder"] == str(encoder)
    rows = result["rows"]
    assert all(list(row) == COLUMNS for row in rows)
    assert {row["language"] for row in rows} == {"fra", "ita"}
    assert {row["direction"] for row in rows} == DIRECTIONS
    assert {row["metric"] for row in rows} == {"accuracy", "margin", "cka_debiased"}
    assert {row["layer"] for row in rows} == {0, 1, 2}
    assert {row["pooling"] for row in rows} == {"mean"}
    assert {row["n"] for row in rows} == {6}
    # 2 languages × 3 layers × 2 directions × (2 metrics raw and centred, CKA centred only)
    assert len(rows) == 2 * 3 * 2 * 5


@pytest.mark.parametrize("layout", ["tatoeba", "ntrex"])
@pytest.mark.parametrize("metric", ["accuracy", "margin", "cka_debiased"])
def test_the_last_layer_with_mean_pooling_is_among_the_rows(cli, encoder, layout, metric, request):
    rows = measured(cli, encoder, "--data", request.getfixturevalue(layout))["rows"]
    found = chosen(rows, layer=2, pooling="mean", metric=metric, centred=True, language="ita")
    assert {row["direction"] for row in found} == DIRECTIONS


def test_both_layouts_of_one_text_give_the_same_numbers(cli, encoder, tatoeba, ntrex):
    assert measured(cli, encoder, "--data", tatoeba) == measured(cli, encoder, "--data", ntrex)


def test_identical_sides_are_perfectly_aligned_and_turned_sides_not_at_all(cli, encoder, tatoeba):
    rows = measured(cli, encoder, "--data", tatoeba)["rows"]
    accuracy = chosen(rows, metric="accuracy")
    assert {row["value"] for row in chosen(accuracy, language="ita")} == {1.0}
    assert {row["standard_error"] for row in chosen(accuracy, language="ita")} == {0.0}
    assert {row["value"] for row in chosen(accuracy, language="fra")} == {0.0}
    for row in chosen(rows, metric="cka_debiased", language="ita"):
        assert row["value"] == pytest.approx(1.0, abs=1e-5)
    for row in chosen(rows, metric="margin"):
        assert (row["value"] > 0) == (row["language"] == "ita")


def test_rounding_is_not_done_and_types_are_json(cli, encoder, tatoeba):
    for row in measured(cli, encoder, "--data", tatoeba)["rows"]:
        assert isinstance(row["centred"], bool)
        assert isinstance(row["layer"], int)
        assert isinstance(row["n"], int)
        assert isinstance(row["value"], float)


def test_the_same_command_gives_the_same_bytes(cli, encoder, tatoeba):
    words = ("measure", encoder, "--data", tatoeba, "--json")
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
    last = measured(cli, encoder, "--data", tatoeba, "--preset", "last")["rows"]
    assert last == chosen(everything, layer=2)


def test_preset_xtreme_is_its_protocol(cli, encoder, tatoeba):
    rows = measured(cli, encoder, "--data", tatoeba, "--preset", "xtreme")["rows"]
    # block 14 of 24 is block 1 of 2
    promised = {"layer": 1, "direction": "english_to_foreign", "centred": False, "metric": "accuracy"}
    assert chosen(rows, **promised)


def test_out_writes_every_row(cli, encoder, tatoeba, here):
    rows = measured(cli, encoder, "--data", tatoeba, "--out", here / "rows.csv")["rows"]
    with (here / "rows.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == COLUMNS
    assert [float(row["value"]) for row in written] == [row["value"] for row in rows]


def test_the_table_for_people_is_in_percent(cli, encoder, tatoeba):
    said = cli("measure", encoder, "--data", tatoeba)
    lines = {line.split()[0]: line.split() for line in said.out.splitlines() if line}
    assert lines["ita"][1:6] == ["6", "100.0", "100.0", "100.0", "100.0"]
    assert lines["fra"][1:6] == ["6", "0.0", "0.0", "0.0", "0.0"]
    assert said.err.splitlines()[-1].startswith("Next: alignaudit ")


def test_quiet_says_nothing(cli, encoder, tatoeba):
    assert cli("measure", encoder, "--data", tatoeba, "--json", "--quiet").err == ""


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
