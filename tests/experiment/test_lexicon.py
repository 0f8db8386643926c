from __future__ import annotations

import pytest
from tiny import WORDS, make_encoder, make_tokenizer

from alignaudit.core.study import Measures
from alignaudit.errors import DataError, StudyError
from alignaudit.experiment.lexicon import read_lexicon, read_lexicons
from alignaudit.experiment.model import save_encoder
from alignaudit.experiment.standalone import measure


def test_a_word_with_several_translations_has_them_in_order(tmp_path):
    (tmp_path / "de-en.txt").write_text("haus house\nhaus home\nbaum\ttree\n")
    assert read_lexicon(tmp_path / "de-en.txt") == {"haus": ("house", "home"), "baum": ("tree",)}
    assert read_lexicons(tmp_path, ["deu"])["deu"]["baum"] == ("tree",)


@pytest.mark.parametrize("line", ["haus", "das haus house", "\thouse", ""])
def test_a_line_that_is_no_pair_is_named(tmp_path, line):
    (tmp_path / "deu.tsv").write_text(f"baum\ttree\n{line}\nast\tbranch\n")
    with pytest.raises(DataError) as caught:
        read_lexicon(tmp_path / "deu.tsv")
    assert caught.value.where == f"{tmp_path / 'deu.tsv'}, line 2"


def test_a_language_without_a_file_is_named(tmp_path):
    with pytest.raises(DataError, match='no lexicon of "deu"') as caught:
        read_lexicons(tmp_path, ["deu"])
    assert caught.value.hint.startswith("Expected deu.txt, deu.tsv or de-en.txt;")


def test_measuring_with_switched_words(tmp_path):
    """The lexicon turns every foreign sentence into its translation, so all are found."""
    tokenizer = make_tokenizer()
    save_encoder(make_encoder(tokenizer), tokenizer, tmp_path / "encoder")
    english = [" ".join(WORDS[i : i + 3]) for i in range(8)]
    foreign = [" ".join(f"{word}en" for word in line.split()) for line in english]
    (tmp_path / "text").mkdir()
    for name, lines in (("deu", foreign), ("eng", english)):
        (tmp_path / "text" / f"tatoeba.deu-eng.{name}").write_text("\n".join(lines) + "\n")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "deu.tsv").write_text("".join(f"{word}en\t{word}\n" for word in WORDS))
    settings = Measures(perturbations={"code_switching": (1.0,)})
    folder = tmp_path / "text"
    arguments = {"settings": settings, "device": "cpu", "presets": ["primary"]}
    found = measure(tmp_path / "encoder", folder, lexicon=tmp_path / "words", **arguments)
    accuracy = found.perturbed.query("metric == 'accuracy' and centred")
    assert set(accuracy["value"]) == {1.0}
    with pytest.raises(StudyError, match="needs a lexicon"):
        measure(tmp_path / "encoder", folder, **arguments)


def test_an_empty_file_says_that_there_is_no_lexicon(tmp_path):
    for text in ("", "\n"):
        (tmp_path / "deu.txt").write_text(text)
        assert read_lexicons(tmp_path, ["deu"]) == {"deu": {}}
