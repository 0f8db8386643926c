"""A command line that runs in this process, in an empty folder, without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

STUDY = """
name = "trial"
seeds = [1]
[data]
source = "folder"
folder = "texts"
carve = {{ anli = "dev", udpos = "validation" }}
[data.files]
anli = {{ dev = "anli/dev_r*.jsonl" }}
udpos = {{ validation = "ud/en_ewt-ud-dev.conllu", test = "ud/{{language}}_*-ud-test.conllu" }}
[encoder]
checkpoints = ["{encoder}"]
[intermediate]
optimisation = {{ learning_rate = 1e-3 }}
tasks = {{ anli = {{ updates = 6, batch_size = 4 }} }}
[target]
optimisation = {{ learning_rate = 1e-3 }}
tasks = {{ udpos = {{ updates = 5, batch_size = 4, test_languages = ["en", "de", "tr", "zh"] }} }}
[schedules]
none = {{ kind = "none" }}
sequential = {{ kind = "sequential" }}
"""

ENGLISH = ["the cat eats", "a dog walks", "red house", "big old tree", "the man sees a river", "blue cat"]


@dataclass(frozen=True)
class Said:
    """What a command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(here, capsys) -> Callable[..., Said]:
    from alignaudit.cli.main import main

    def call(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A folder with an untrained XLM-R of 2 layers and its tokenizer."""
    from tiny import make_encoder, make_tokenizer

    from alignaudit.experiment.model import save_encoder

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = make_tokenizer()
    save_encoder(make_encoder(tokenizer), tokenizer, folder)
    return folder


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def tatoeba(tmp_path) -> Path:
    """Two languages in the layout of Tatoeba: `ita` equals English, `fra` is English turned by one."""
    folder = tmp_path / "tatoeba"
    folder.mkdir()
    for code, foreign in (("ita", ENGLISH), ("fra", ENGLISH[1:] + ENGLISH[:1])):
        _write(folder / f"tatoeba.{code}-eng.eng", ENGLISH)
        _write(folder / f"tatoeba.{code}-eng.{code}", foreign)
    return folder


@pytest.fixture
def ntrex(tmp_path) -> Path:
    """The same two languages in the layout of NTREX."""
    folder = tmp_path / "ntrex"
    folder.mkdir()
    for code, lines in (("eng", ENGLISH), ("ita", ENGLISH), ("fra", ENGLISH[1:] + ENGLISH[:1])):
        _write(folder / f"{code}.txt", lines)
    return folder


@pytest.fixture
def study(here, encoder, tatoeba) -> Path:
    """A study file with all its texts: ANLI, POS tagging and parallel text of a few lines each."""
    texts = here / "texts"
    for name in ("anli", "ud"):
        (texts / name).mkdir(parents=True)
    tatoeba.rename(texts / "tatoeba")
    for round_ in (1, 2, 3):
        rows = [{"premise": f"p{i}", "hypothesis": "the cat", "label": "neutral"} for i in range(20)]
        _write(texts / "anli" / f"dev_r{round_}.jsonl", [json.dumps(row) for row in rows])
    word = "\t".join(["1", "cat", "_", "NOUN", *"______"])
    documents = [f"# newdoc id = d{i}\n{word}\n" for i in range(40)]
    for name in ("en_ewt-ud-dev", "en_ewt-ud-test", *(f"{code}_pud-ud-test" for code in ("de", "tr", "zh"))):
        _write(texts / "ud" / f"{name}.conllu", documents)
    path = here / "study.toml"
    path.write_text(STUDY.format(encoder=encoder))
    return path
