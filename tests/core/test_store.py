from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignaudit.core import store as store_module
from alignaudit.core.store import Store, atomic_folder, atomic_text, check_folder, file_sha256
from alignaudit.errors import DamagedRecordError, SetupError

KEY = "0123abcd"
RECORD = {"kind": "measure", "wall_s": 1.5, "words": "Wörter"}
FILES = {"alignment.parquet": b"PAR1" + bytes(range(200)), "encoder/model.safetensors": b"\x00\x01" * 300}


def write_files(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def everything(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def finished(store) -> Store:
    store.commit(KEY, RECORD, write_files)
    return store


# ----------------------------------------------------------------------------------------- commit


def test_a_finished_stage_holds_its_files_its_record_and_their_sums(finished):
    folder = finished.folder(KEY)
    found = everything(folder)
    manifest = json.loads(found.pop("manifest.json"))["files"]
    assert json.loads(found.pop("record.json")) == RECORD == finished.record(KEY)
    assert found == FILES
    for name, content in FILES.items():
        assert manifest[name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert set(manifest) == {*FILES, "record.json"}
    assert finished.has(KEY)
    finished.verify(KEY)


def test_committing_drops_the_training_state(store):
    (store.work(KEY) / "step-1").mkdir(parents=True)
    store.commit(KEY, RECORD, write_files)
    assert not store.work(KEY).exists()


def test_a_second_commit_keeps_the_first(finished):
    before = everything(finished.root)
    finished.commit(KEY, {"other": "record"}, lambda folder: None)
    assert everything(finished.root) == before


def test_a_folder_without_a_manifest_is_not_finished(store):
    store.folder(KEY).mkdir(parents=True)
    (store.folder(KEY) / "record.json").write_text("{}")
    assert not store.has(KEY)
    assert not store.has("absent")


def test_a_stage_that_lost_its_manifest_can_be_committed_again(finished):
    (finished.folder(KEY) / "manifest.json").unlink()
    assert not finished.has(KEY)
    finished.commit(KEY, RECORD, write_files)
    finished.verify(KEY)
    (kept,) = (finished.root / "damaged").iterdir()
    assert set(everything(kept)) == {*FILES, "record.json"}


def test_set_aside_keeps_every_byte(finished):
    before = everything(finished.folder(KEY))
    kept = finished.set_aside(KEY)
    assert everything(kept) == before
    assert not finished.folder(KEY).exists()
    finished.commit(KEY, RECORD, write_files)
    assert finished.set_aside(KEY) != kept


COMMIT = """
import sys, time
from pathlib import Path
from alignaudit.core.store import Store

root, key, number = sys.argv[1:]

def write(folder):
    Path(root, f"ready-{number}").touch()
    while len(list(Path(root).glob("ready-*"))) < 4:
        time.sleep(0.001)
    for part in range(20):
        (folder / f"part-{part}").write_text(number)

Store(Path(root)).commit(key, {"writer": number}, write)
"""


def test_processes_that_commit_at_once_leave_one_whole_stage(store):
    writers = [
        subprocess.Popen([sys.executable, "-c", COMMIT, store.root, KEY, str(number)]) for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    store.verify(KEY)
    number = store.record(KEY)["writer"]
    assert {(store.folder(KEY) / f"part-{part}").read_text() for part in range(20)} == {number}
    assert [path.name for path in (store.root / "stages").iterdir()] == [KEY]


# --------------------------------------------------------------------------------- failing writes


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), ValueError("no")])
def test_a_failure_while_writing_leaves_nothing(store, error):
    def write(folder: Path) -> None:
        write_files(folder)
        raise error

    with pytest.raises(type(error)):
        store.commit(KEY, RECORD, write)
    assert everything(store.root) == {}
    assert list((store.root / "stages").iterdir()) == []


def test_a_failed_commit_keeps_the_training_state(store):
    (store.work(KEY) / "step-1").mkdir(parents=True)
    with pytest.raises(SetupError):
        store.commit(KEY, RECORD, full_disk)
    assert (store.work(KEY) / "step-1").is_dir()


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_is_an_environment_error_and_leaves_nothing(store, monkeypatch, call):
    monkeypatch.setattr(store_module.os, call, full_disk)
    with pytest.raises(SetupError, match="disk is full") as caught:
        store.commit(KEY, RECORD, write_files)
    assert caught.value.exit_code == 6
    assert caught.value.where == str(store.folder(KEY))
    assert everything(store.root) == {}
    assert not store.has(KEY)


def test_a_disk_that_fills_while_the_files_are_written(store):
    def write(folder: Path) -> None:
        write_files(folder)
        full_disk()

    with pytest.raises(SetupError, match="disk is full"):
        store.commit(KEY, RECORD, write)
    assert everything(store.root) == {}


def test_a_full_disk_is_recognised_in_the_words_of_other_libraries(store):
    def write(folder: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(SetupError, match="disk is full"):
        store.commit(KEY, RECORD, write)


def test_the_commit_after_a_full_disk_succeeds(store):
    with pytest.raises(SetupError):
        store.commit(KEY, RECORD, full_disk)
    store.commit(KEY, RECORD, write_files)
    store.verify(KEY)


def test_a_root_that_cannot_hold_folders_is_an_environment_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        Store(tmp_path / "file").commit(KEY, RECORD, write_files)


# ----------------------------------------------------------------------------------- replacements


def write_old(folder: Path) -> None:
    (folder / "table").write_text("old")


def write_new(folder: Path) -> None:
    (folder / "table").write_text("new")


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    atomic_folder(tmp_path / "tables", write_old, replace=True)
    atomic_folder(tmp_path / "tables", write_new, replace=True)
    assert (tmp_path / "tables" / "table").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
    check_folder(tmp_path / "tables")


@pytest.mark.parametrize("failing", [1, 2])
def test_the_old_folder_stays_if_the_new_cannot_take_its_place(tmp_path, monkeypatch, failing):
    atomic_folder(tmp_path / "tables", write_old)
    calls = []

    def rename(source, target):
        calls.append(source)
        if len(calls) == failing:
            full_disk()
        os.replace(source, target)

    monkeypatch.setattr(store_module.os, "rename", rename)
    with pytest.raises(SetupError):
        atomic_folder(tmp_path / "tables", write_new, replace=True)
    assert (tmp_path / "tables" / "table").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
    check_folder(tmp_path / "tables")


# ------------------------------------------------------------------------------------------- text


def test_a_text_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new folder" / "plan.json"
    atomic_text(path, "old")
    atomic_text(path, "neu: ü")
    assert path.read_bytes() == "neu: ü".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_old_text_stays_if_the_disk_is_full(tmp_path, monkeypatch, call):
    path = tmp_path / "plan.json"
    atomic_text(path, "old")
    monkeypatch.setattr(store_module.os, call, full_disk)
    with pytest.raises(SetupError, match="disk is full"):
        atomic_text(path, "new")
    assert everything(tmp_path) == {"plan.json": b"old"}


def test_a_text_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_text(tmp_path / "plan.json", "new")
    assert everything(tmp_path) == {}


def test_a_text_below_a_file_is_an_environment_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        atomic_text(tmp_path / "file" / "plan.json", "text")


# ----------------------------------------------------------------------------------------- damage

ALL = [*FILES, "record.json", "manifest.json"]


def damaged(store: Store) -> DamagedRecordError:
    with pytest.raises(DamagedRecordError) as caught:
        store.verify(KEY)
    assert caught.value.exit_code == 3
    assert str(store.folder(KEY)) in caught.value.where
    return caught.value


@pytest.mark.parametrize("name", ALL)
def test_every_flipped_bit_is_found(finished, name):
    path = finished.folder(KEY) / name
    sound = path.read_bytes()
    for place in range(0, len(sound), 1 if len(sound) < 600 else len(sound) // 97):
        for bit in (1 << place % 8, 0x20):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ bit]) + sound[place + 1 :])
            damaged(finished)
    path.write_bytes(sound)
    finished.verify(KEY)


@pytest.mark.parametrize("name", ALL)
def test_every_truncation_is_found(finished, name):
    path = finished.folder(KEY) / name
    sound = path.read_bytes()
    for size in (0, 1, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:size])
        damaged(finished)


@pytest.mark.parametrize("name", ALL)
def test_every_missing_file_is_found(finished, name):
    (finished.folder(KEY) / name).unlink()
    damaged(finished)


@pytest.mark.parametrize("name", [*FILES, "record.json"])
def test_a_grown_file_is_found(finished, name):
    with (finished.folder(KEY) / name).open("ab") as file:
        file.write(b"\n")
    assert "grown" in damaged(finished).what


@pytest.mark.parametrize(
    "manifest",
    [
        "null",
        "[]",
        "{}",
        '"files"',
        '{"files": null}',
        '{"files": []}',
        '{"files": {"record.json": 1}}',
        '{"files": {"record.json": {"bytes": 3}}}',
        '{"files": {"record.json": {"sha256": "x"}}}',
    ],
)
def test_a_manifest_of_another_shape_is_found(finished, manifest):
    (finished.folder(KEY) / "manifest.json").write_text(manifest)
    damaged(finished)


def test_only_the_named_files_are_read(finished):
    (finished.folder(KEY) / "encoder/model.safetensors").write_bytes(b"")
    finished.verify(KEY, {"record.json", "alignment.parquet"})
    with pytest.raises(DamagedRecordError):
        finished.verify(KEY, {"encoder/model.safetensors"})


def test_a_named_file_that_the_manifest_does_not_know_is_found(finished):
    (finished.folder(KEY) / "scores.parquet").write_bytes(b"")
    with pytest.raises(DamagedRecordError, match="does not name"):
        finished.verify(KEY, {"scores.parquet"})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"3", b"null"])
def test_a_record_that_cannot_be_read_is_an_error_of_ours(finished, content):
    (finished.folder(KEY) / "record.json").write_bytes(content)
    with pytest.raises(DamagedRecordError):
        finished.record(KEY)


def test_the_sum_of_a_file_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


# ------------------------------------------------------------------------------------------ sweep


def test_sweep_removes_only_old_private_folders(finished):
    stages = finished.root / "stages"
    for name in (".a.tmp-1", ".b.tmp-2"):
        (stages / name).mkdir()
        (stages / name / "part").write_text("")
    os.utime(stages / ".a.tmp-1", (0, 0))
    os.utime(finished.folder(KEY), (0, 0))
    assert finished.sweep() == 1
    assert sorted(path.name for path in stages.iterdir()) == [".b.tmp-2", KEY]
