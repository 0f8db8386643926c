from __future__ import annotations

import numpy as np
import pytest

from alignaudit.errors import DataError
from alignaudit.experiment.bmlama import BmlamaRow, read_bmlama, read_bmlama_folder

HEADER = "Prompt\tAns\tCandidate Ans\tSubject"
ENGLISH = (
    "Ada was born in <mask>.\tOslo\tRome, Oslo, Lima\tAda",
    "The capital of Peru is <mask>.\tLima\tLima, Rome\tPeru",
    "<mask> is a river.\tNile\tNile\tthe river",
)
GERMAN = (
    "Ada wurde in <mask> geboren.\tOslo\tRom, Oslo, Lima\tAda",
    "Die Hauptstadt von Peru ist <mask>.\tLima\tLima, Rom\tPeru",
    "<mask> ist ein Fluss.\tNil\tNil\tder Fluss",
)


def write(folder, language, rows, header=HEADER, end="\r\n"):
    path = folder / f"{language}.tsv"
    path.write_bytes((end.join([header, *rows]) + end).encode())
    return path


def test_rows_are_read_as_they_stand(tmp_path):
    found = read_bmlama(write(tmp_path, "en", ENGLISH))
    assert found.language == "en"
    assert found.rows[0] == BmlamaRow("Ada was born in <mask>.", ("Oslo",), ("Rome", "Oslo", "Lima"), "Ada")
    assert [row.answer_positions for row in found.rows] == [(1,), (0,), (0,)]
    assert found.counts.tolist() == [3, 2, 1]
    np.testing.assert_array_equal(found.present, [[1, 1, 1], [1, 1, 0], [1, 0, 0]])
    assert found.missing_answers == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_line_ends_and_blank_lines_at_the_end_do_not_matter(tmp_path, end):
    path = tmp_path / "en.tsv"
    line = "\r\n" if end == "\r\n" else "\n"
    path.write_bytes((line.join([HEADER, *ENGLISH]) + end).encode("utf-8-sig"))
    assert len(read_bmlama(path).rows) == 3


def test_a_header_cut_in_two_is_read(tmp_path):
    cut = HEADER.replace("Candidate Ans", "Candidate\tAns")
    assert len(read_bmlama(write(tmp_path, "zh", ENGLISH, cut)).rows) == 3


def test_several_right_answers_are_a_list(tmp_path):
    row = "A city: <mask>.\tRome, Lima\tRome, Oslo, Lima\tcity"
    found = read_bmlama(write(tmp_path, "en", [row])).rows[0]
    assert found.answers == ("Rome", "Lima")
    assert found.answer_positions == (0, 2)


def test_a_missing_answer_is_counted(tmp_path):
    rows = [ENGLISH[0].replace("\tOslo\t", "\tOsslo\t"), *ENGLISH[1:]]
    found = read_bmlama(write(tmp_path, "he", rows))
    assert found.missing_answers == 1
    assert found.rows[0].answer_positions == ()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("Ada was born in <mask>.\tOslo\tRome, Oslo", "3 columns instead of 4"),
        ("Ada\tis <mask>.\tOslo\tRome, Oslo\tAda", "5 columns instead of 4"),
        ("", "1 columns instead of 4"),
        ("Ada was born.\tOslo\tRome, Oslo\tAda", "0 <mask> instead of one"),
        ("<mask> was born in <mask>.\tOslo\tRome, Oslo\tAda", "2 <mask> instead of one"),
        ("Ada was born in <mask>.\t\tRome, Oslo\tAda", "empty"),
        ("Ada was born in <mask>.\tOslo\tRome, , Oslo\tAda", "empty"),
        ("Ada was born in <mask>.\tOslo\tRome, Oslo\t", "empty"),
    ],
)
def test_a_malformed_row_names_file_and_line(tmp_path, row, words):
    path = write(tmp_path, "en", [ENGLISH[0], row, ENGLISH[1]])
    with pytest.raises(DataError, match=words) as raised:
        read_bmlama(path)
    assert raised.value.where == f"{path}, line 3"


def test_a_file_without_header_or_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="header") as raised:
        read_bmlama(write(tmp_path, "en", ENGLISH[1:], ENGLISH[0]))
    assert raised.value.where.endswith("en.tsv, line 1")
    with pytest.raises(DataError, match="no rows"):
        read_bmlama(write(tmp_path, "de", []))
    with pytest.raises(DataError, match="no such file"):
        read_bmlama(tmp_path / "fr.tsv")


def test_languages_come_in_the_order_asked_for(tmp_path):
    write(tmp_path, "en", ENGLISH)
    write(tmp_path, "de", GERMAN, end="\n")
    assert [found.language for found in read_bmlama_folder(tmp_path)] == ["de", "en"]
    assert [found.language for found in read_bmlama_folder(tmp_path, ["en", "de"])] == ["en", "de"]
    (alone,) = read_bmlama_folder(tmp_path, ["de"])
    assert alone.rows[1].candidates == ("Lima", "Rom")
    with pytest.raises(DataError, match='no language "fr"'):
        read_bmlama_folder(tmp_path, ["fr"])


def test_languages_that_do_not_correspond_are_refused(tmp_path):
    write(tmp_path, "en", ENGLISH)
    other = write(tmp_path, "fr", GERMAN[:2])
    with pytest.raises(DataError, match=r"2 rows, but en\.tsv has 3") as raised:
        read_bmlama_folder(tmp_path)
    assert raised.value.where == str(other)
    other = write(tmp_path, "fr", [GERMAN[0], GERMAN[1].replace("Lima, Rom", "Lima"), GERMAN[2]])
    with pytest.raises(
        DataError, match=r"1 candidates in this row, 2 in en\.tsv; rows that differ so: 1"
    ) as raised:
        read_bmlama_folder(tmp_path)
    assert raised.value.where == f"{other}, line 3"


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="no BMLAMA files"):
        read_bmlama_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_bmlama_folder(tmp_path / "absent")
