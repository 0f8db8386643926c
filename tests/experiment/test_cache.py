"""Encodings in files: the same batches as fresh ones, made once, and made again where damaged."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from encoded import same
from tiny import make_tokenizer, task_data

from alignaudit.core.rng import stream
from alignaudit.errors import DamagedRecordError
from alignaudit.experiment.batch import Masking, collate, mask_tokens
from alignaudit.experiment.tasks import cache
from alignaudit.experiment.tasks.cache import cached, encoding_key, read_encoded, write_encoded
from alignaudit.experiment.tasks.encoding import encode

FORMATS = ("classification", "multiple_choice", "span", "tagging", "mlm")
CPU = torch.device("cpu")


class Maker:
    """Gives an encoding and counts how often it was asked."""

    def __init__(self, encoded):
        self.encoded, self.calls = encoded, 0

    def __call__(self):
        self.calls += 1
        return self.encoded


def fresh(tokenizer, form="tagging", training=True):
    length = 40 if form == "multiple_choice" else 20
    return encode(task_data(form).train, form, tokenizer, length, training=training, stride=3)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("training", [True, False])
def test_batches_from_the_cache_are_bit_identical(tokenizer, tmp_path, form, training):
    encoded = fresh(tokenizer, form, training)
    make = Maker(encoded)
    found = [cached(tmp_path, "k", make) for _ in range(2)]
    assert make.calls == 1
    for kept in found:
        assert same(kept, encoded)
        assert not kept.sequences.values.flags.writeable
        rows = stream(0, "rows").permutation(len(encoded))[:8]
        sides = [encoded, kept]
        if form == "mlm":
            masking = Masking(0.25, 4, len(tokenizer), (0, 1, 2, 3, 4))
            sides = [mask_tokens(side, rows, masking, stream(0, "m")) for side in sides]
            rows = np.arange(8)
        ours, theirs = (collate(side, rows, 1, CPU) for side in sides)
        for name in ("input_ids", "attention_mask", "labels", "rows", "positions"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name))


def test_a_folder_holds_arrays_and_no_pickle(tokenizer, tmp_path):
    write_encoded(tmp_path / "k", fresh(tokenizer, "span"))
    files = sorted(path.name for path in (tmp_path / "k").iterdir())
    arrays = [name for name in files if name.endswith(".npy")]
    assert sorted(set(files) - set(arrays)) == ["encoded.json", "manifest.json"]
    assert len(arrays) == 9
    for name in arrays:
        np.load(tmp_path / "k" / name, allow_pickle=False)


@pytest.mark.parametrize(
    "harm", ["truncate", "flip", "grow", "no file", "no manifest", "bad manifest", "empty"]
)
def test_a_damaged_entry_is_made_again(tokenizer, tmp_path, harm):
    encoded = fresh(tokenizer)
    cached(tmp_path, "k", Maker(encoded))
    file = tmp_path / "k" / "sequences.npy"
    content = bytearray(file.read_bytes())
    if harm == "truncate":
        file.write_bytes(content[:-5])
    elif harm == "flip":
        content[-3] ^= 1
        file.write_bytes(content)
    elif harm == "grow":
        file.write_bytes(content + b"\0")
    elif harm == "no file":
        file.unlink()
    elif harm == "no manifest":
        (tmp_path / "k" / "manifest.json").unlink()
    elif harm == "bad manifest":
        (tmp_path / "k" / "manifest.json").write_text(json.dumps({"files": 3}))
    else:
        for path in (tmp_path / "k").iterdir():
            path.unlink()
    with pytest.raises(DamagedRecordError):
        read_encoded(tmp_path / "k")
    make = Maker(encoded)
    assert same(cached(tmp_path, "k", make), encoded)
    assert make.calls == 1
    assert same(cached(tmp_path, "k", make), encoded)
    assert make.calls == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "locks"]


def test_keys_have_folders_of_their_own(tokenizer, tmp_path):
    one, other = fresh(tokenizer, "span"), fresh(tokenizer, "tagging")
    cached(tmp_path, "one", Maker(one))
    cached(tmp_path, "other", Maker(other))
    assert same(read_encoded(tmp_path / "one"), one)
    assert same(read_encoded(tmp_path / "other"), other)


def _worker(barrier, folder: Path, encoded, log: Path, results) -> None:
    def make():
        with log.open("a") as file:
            file.write("made\n")
        return encoded

    barrier.wait()
    results.put(all(same(cached(folder, f"k{number}", make), encoded) for number in range(6)))


@pytest.mark.parametrize("damaged", [False, True])
def test_several_processes_get_the_same_entry_made_once(tokenizer, tmp_path, damaged):
    encoded = fresh(tokenizer)
    folder, log = tmp_path / "encoded", tmp_path / "log"
    if damaged:
        for number in range(6):
            write_encoded(folder / f"k{number}", encoded)
            (folder / f"k{number}" / "owners.npy").write_bytes(b"")
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (barrier, folder, encoded, log, results)
    workers = [context.Process(target=_worker, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found == [True] * 4
    assert log.read_text() == "made\n" * 6


# ------------------------------------------------------------------ keys

USUAL = {"data": "d", "form": "span", "max_length": 32, "stride": 4, "training": True}


def key(tokenizer, **changes):
    values = {**USUAL, **changes}
    return encoding_key(
        values["data"],
        tokenizer,
        values["form"],
        values["max_length"],
        values["stride"],
        training=values["training"],
    )


@pytest.mark.parametrize(
    "change", [{"data": "e"}, {"form": "mlm"}, {"max_length": 33}, {"stride": 5}, {"training": False}]
)
def test_every_setting_changes_the_key(tokenizer, change):
    assert key(tokenizer, **change) != key(tokenizer)
    assert len(key(tokenizer)) == 64


def test_the_version_of_the_encoding_changes_the_key(tokenizer, monkeypatch):
    before = key(tokenizer)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    assert key(tokenizer) != before


def test_equal_tokenizers_give_equal_keys_whatever_they_did_before():
    used, unused = make_tokenizer(), make_tokenizer()
    used(["the cat"] * 3, truncation=True, max_length=5, padding=True, stride=1)
    assert used.backend_tokenizer.to_str() != unused.backend_tokenizer.to_str()
    assert key(used) == key(unused)


def test_other_tokenizers_give_other_keys(tokenizer):
    grown, longer, left = make_tokenizer(), make_tokenizer(), make_tokenizer()
    grown.add_tokens(["zebra"])
    longer.model_max_length = 20
    left.truncation_side = "left"
    assert len({key(each) for each in (tokenizer, grown, longer, left)}) == 4
    grown.add_tokens(["giraffe"])
    assert key(grown) not in {key(tokenizer), key(longer)}
