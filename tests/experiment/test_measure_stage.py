"""The measuring stages of a study: compared with the pretrained one, perturbed, and refused in time."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from alignaudit.core.assemble import assemble_tables
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.metrics import METRICS
from alignaudit.core.store import Store
from alignaudit.core.study import Study, load_study
from alignaudit.core.tables import validate
from alignaudit.errors import DamagedRecordError, InterruptedRunError, StudyError
from alignaudit.experiment.context import Context
from alignaudit.experiment.data import open_source
from alignaudit.experiment.embeddings import REFERENCE_FILE
from alignaudit.experiment.encode import sentence_vectors
from alignaudit.experiment.execute import execute
from alignaudit.experiment.model import load_encoder, load_tokenizer
from alignaudit.experiment.run import run_seeds
from alignaudit.experiment.stages import draw_plan
from alignaudit.measure.perturb import perturb_language

LANGUAGES = ("dv", "rv")
PRIMARY = 2  # block 14 of 24 is block 2 of 2
PAIRS = 8
SMALL = (
    "seeds=[1]",
    'encoder.checkpoints=["embedded:1"]',
    "encoder.embedded.hidden_size=16",
    "encoder.embedded.layers=2",
    "encoder.embedded.vocabulary=300",
    "encoder.embedded.documents=20",
    "encoder.embedded.updates=4",
    "data.train_examples=32",
    "data.dev_examples=4",
    "data.test_examples=4",
    f"data.parallel_pairs={PAIRS}",
    'measure.languages=["dv", "rv"]',
    "measure.permutations=19",
    "measure.pool=4",
    "measure.perturbations={token_dropout=[0.3], typos=[0.1, 0.2]}",
    "intermediate.tasks={role={updates=3, batch_size=8, max_length=32}}",
    "intermediate.optimisation.learning_rate=2e-2",
    "target.tasks={pos={updates=3, batch_size=8, max_length=32}}",
    "target.optimisation.learning_rate=2e-2",
    'schedules={none={kind="none"}, sequential={kind="sequential"}}',
)
NAMES = {
    where: {name for name, metric in METRICS.items() if metric.where == where}
    for where in ("cell", "primary", "reference")
}


def small_study(*overrides: str) -> Study:
    return load_study(None, [*SMALL, *overrides])


def context_of(store: Store, study: Study, **more) -> Context:
    return Context(store, study.data, "cpu", 1e9, **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    study = small_study()
    plan, store = draw_plan(study), Store(tmp_path_factory.mktemp("finished") / "store")
    for stage in plan.stages:
        execute(stage, context_of(store, study))
    return study, plan, store


def stages_of(plan, kind: str):
    return [stage for stage in plan.stages if stage.kind == kind]


def pretrained_measure(plan):
    (stage,) = (stage for stage in stages_of(plan, "measure") if not stage.config["reference"])
    return stage


def table(store: Store, stage, name: str = "alignment") -> pd.DataFrame:
    return pd.read_parquet(store.folder(stage.key) / f"{name}.parquet")


def primary_vectors(store: Store, stage, sentences) -> np.ndarray:
    folder = str(store.folder(stage.config["stage"]) / "encoder")
    vectors = sentence_vectors(load_encoder(folder), load_tokenizer(folder), sentences)
    return vectors["mean"][PRIMARY].numpy()


def naive_cka(x, y) -> float:
    """Debiased linear CKA by the U-centred Gram matrices."""
    n, centred = len(x), []
    for side in (x.astype(np.float64), y.astype(np.float64)):
        gram = side @ side.T
        np.fill_diagonal(gram, 0)
        rows = gram.sum(axis=0) / (n - 2)
        gram = gram - rows[:, None] - rows[None, :] + gram.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(gram, 0)
        centred.append(gram)
    a, b = centred
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


# ------------------------------------------------------------------ reference


def test_the_pretrained_measurement_leaves_a_reference_for_the_others(finished):
    study, plan, store = finished
    first = pretrained_measure(plan)
    holders = {stage.key for stage in plan.stages if (store.folder(stage.key) / REFERENCE_FILE).exists()}
    assert holders == {first.key}
    kept = load_file(store.folder(first.key) / REFERENCE_FILE)
    assert set(kept) == {f"{side}.{language}" for side in ("foreign", "english") for language in LANGUAGES}
    for text in open_source(study.data).parallel(LANGUAGES):
        for side, sentences in (("foreign", text.foreign), ("english", text.english)):
            found = kept[f"{side}.{text.language}"].numpy()
            expected = primary_vectors(store, first, sentences)
            # Which sentences make a batch together moves the last bits.
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_change_since_the_reference_is_measured_after_training_at_the_primary_layer(finished):
    study, plan, store = finished
    measures = stages_of(plan, "measure")
    assert len(measures) == 4  # pretrained, after the intermediate phase, after the target from either
    texts = {text.language: text for text in open_source(study.data).parallel(LANGUAGES)}
    first = pretrained_measure(plan)
    for stage in measures:
        rows = table(store, stage)
        changed = rows[rows["metric"].isin(NAMES["reference"])]
        if stage is first:
            assert changed.empty
            continue
        assert stage.config["reference"] == first.key
        assert first.key in stage.parents
        assert len(changed) == len(LANGUAGES) * 2 * len(NAMES["reference"])
        assert set(changed["layer"]) == {PRIMARY}
        for row in changed.query("metric == 'cka_reference'").to_dict("records"):
            sentences = texts[row["language"]].foreign
            expected = naive_cka(*(primary_vectors(store, one, sentences) for one in (stage, first)))
            # Float32 vectors and products, of eight sentences.
            assert row["value"] == pytest.approx(expected, abs=2e-4)
            assert row["value"] < 0.999
    for role, name in (("untrained", "untrained control"), ("baselines", "model-free baselines")):
        (stage,) = stages_of(plan, role)
        assert name in stage.label
        assert "reference" not in stage.config


def test_every_cell_holds_every_metric_that_is_declared_for_it(finished):
    _, plan, store = finished
    for stage in stages_of(plan, "measure"):
        for (_, layer), cell in table(store, stage).groupby(["language", "layer"]):
            expected = set(NAMES["cell"])
            if layer == PRIMARY:
                expected |= NAMES["primary"]
                expected |= NAMES["reference"] if stage.config["reference"] else set()
            assert set(cell["metric"]) == expected
            assert set(cell["n"]) == {PAIRS}


def test_the_arm_without_training_reads_the_pretrained_measurement(finished):
    _, plan, store = finished
    alignment = assemble_tables(plan, store)["alignment"]
    has_reference = {
        (run, stage): bool(NAMES["reference"] & set(part["metric"]))
        for (run, stage), part in alignment.groupby(["run", "stage"])
    }
    assert has_reference == {
        ("c1", "pretrained"): False,
        ("c1-none-s1", "intermediate"): False,
        ("c1-none-s1", "target:pos"): True,
        ("c1-sequential-s1", "intermediate"): True,
        ("c1-sequential-s1", "target:pos"): True,
    }


def test_a_damaged_reference_is_not_compared_with(finished, tmp_path):
    study, plan, store = finished
    shutil.copytree(store.root, tmp_path / "store")
    copied = Store(tmp_path / "store")
    last = stages_of(plan, "measure")[-1]
    shutil.rmtree(copied.folder(last.key))
    file = copied.folder(pretrained_measure(plan).key) / REFERENCE_FILE
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o644)
    file.write_bytes(bytes(content))
    with pytest.raises(DamagedRecordError, match=r"reference\.safetensors"):
        execute(last, context_of(copied, study))
    assert not copied.has(last.key)


# ------------------------------------------------------------------ perturbations


def test_declared_perturbations_give_their_tables(finished):
    _, plan, store = finished
    tables = assemble_tables(plan, store)
    asked = {("token_dropout", 0.3), ("typos", 0.1), ("typos", 0.2)}
    for name in ("perturbed", "perturbed_items"):
        frame = tables[name]
        validate(frame, CONTRACTS[name])
        assert set(zip(frame["perturbation"], frame["severity"], strict=True)) == asked
        assert set(frame["layer"]) == {PRIMARY}
        whole = tables["alignment"][["run", "stage", "language"]].drop_duplicates()
        assert set(map(tuple, frame[["run", "stage", "language"]].to_numpy())) == set(
            map(tuple, whole.to_numpy())
        )
    assert len(tables["perturbed_items"]) == 5 * len(LANGUAGES) * len(asked) * PAIRS
    means = tables["perturbed_items"].groupby(["run", "stage", "language", "perturbation", "severity"])
    accuracy = tables["perturbed"].query("metric == 'accuracy' and centred").set_index(means.keys)
    for direction in ("foreign_to_english", "english_to_foreign"):
        expected = means[f"{direction}_correct"].mean()
        found = accuracy[accuracy["direction"] == direction]["value"]
        pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False)


def test_all_runs_see_the_same_perturbed_text(finished):
    _, plan, store = finished
    items = assemble_tables(plan, store)["perturbed_items"]
    rates = items.groupby(["language", "perturbation", "severity", "item"])["character_error_rate"]
    assert (rates.nunique() == 1).all()
    assert rates.first().nunique() > 3


def test_each_distinct_sentence_is_encoded_once(finished):
    study, plan, store = finished
    texts = list(open_source(study.data).parallel(LANGUAGES))
    clean = len({sentence for text in texts for sentence in text.english})
    clean += sum(len(set(text.foreign)) for text in texts)
    expected = clean
    for text in texts:
        for name, severities in study.measure.perturbations.items():
            for severity in severities:
                noisy = perturb_language(text.foreign, text.language, name, severity, 0, ids=range(PAIRS))
                expected += len(set(noisy.sentences))
    for stage in (*stages_of(plan, "measure"), *stages_of(plan, "untrained")):
        record = store.record(stage.key)
        assert record["sentences_encoded"] == (clean if stage.kind == "untrained" else expected)
        assert set(record["seconds"]) == {"encoder", "measures"}


def test_a_study_without_perturbations_has_no_such_table(finished, tmp_path):
    study = small_study("measure.perturbations={}")
    plan, store = draw_plan(study), Store(tmp_path / "store")
    (pretraining,) = stages_of(plan, "pretrain")
    shutil.copytree(finished[2].folder(pretraining.key), store.folder(pretraining.key))
    execute(pretrained_measure(plan), context_of(store, study))
    assert not (store.folder(pretrained_measure(plan).key) / "perturbed.parquet").exists()
    tables = assemble_tables(plan, store)
    assert len(tables["alignment"])
    assert tables["perturbed"].empty
    assert tables["perturbed_items"].empty


@pytest.mark.parametrize(
    ("perturbations", "said"),
    [
        ("{typo=[0.1]}", r'no perturbation "typo"\. Did you mean "typos"'),
        ("{typos=[0.0]}", r"measure\.perturbations"),
        ("{typos=[1.5]}", r"measure\.perturbations"),
    ],
)
def test_perturbations_that_cannot_be_are_refused_before_training(tmp_path, perturbations, said):
    with pytest.raises(StudyError, match=said):
        run_seeds(small_study(f"measure.perturbations={perturbations}"), out=tmp_path)
    assert list(Path(tmp_path).iterdir()) == []


def test_perturbing_otherwise_trains_nothing_again():
    first, second = draw_plan(small_study()), draw_plan(small_study("measure.perturbations={typos=[0.1]}"))
    for kind in ("pretrain", "intermediate", "target", "baselines"):
        assert {s.key for s in stages_of(first, kind)} == {s.key for s in stages_of(second, kind)}
    for kind in ("measure", "untrained"):
        assert not {s.key for s in stages_of(first, kind)} & {s.key for s in stages_of(second, kind)}


# ------------------------------------------------------------------ lexicons


def test_words_of_the_world_are_switched_with_its_own_lexicon(finished, tmp_path):
    study = small_study("measure.perturbations={code_switching=[1.0]}")
    plan, store = draw_plan(study), Store(tmp_path / "store")
    (pretraining,) = stages_of(plan, "pretrain")
    shutil.copytree(finished[2].folder(pretraining.key), store.folder(pretraining.key))
    stage = pretrained_measure(plan)
    execute(stage, context_of(store, study))
    execute(stages_of(plan, "untrained")[0], context_of(store, study))  # of clean text: no lexicon needed
    items = table(store, stage, "perturbed_items")
    assert set(items["perturbation"]) == {"code_switching"}
    source = open_source(study.data)
    words = source.lexicons(LANGUAGES)
    for text in source.parallel(LANGUAGES):
        noisy = perturb_language(
            text.foreign,
            text.language,
            "code_switching",
            1.0,
            0,
            ids=range(PAIRS),
            lexicon=words[text.language],
        )
        assert noisy.reach.changed == 1.0
        own = items[items["language"] == text.language]["character_error_rate"]
        assert own.tolist() == noisy.character_error_rate.tolist()


def test_only_switched_words_make_the_lexicons_part_of_a_stage():
    for perturbations, there in (("{typos=[0.1]}", False), ("{code_switching=[0.5]}", True)):
        plan = draw_plan(small_study(f"measure.perturbations={perturbations}"))
        assert all(("lexicons" in stage.config) == there for stage in stages_of(plan, "measure"))


# ------------------------------------------------------------------ progress and controls


def test_controls_hold_the_metrics_that_they_can(finished):
    _, plan, store = finished
    controls = assemble_tables(plan, store)["controls"]
    found = {name: set(part["metric"]) for name, part in controls.groupby("control")}
    retrieval = NAMES["cell"] - {"cka_debiased", "cka_biased", "language_gap"}
    assert found == {
        "untrained": NAMES["cell"] | NAMES["primary"],
        "shuffled_pairs": NAMES["cell"],
        "chance": {"accuracy"},
        "character_ngram": retrieval,
    }
    shuffled = controls.query("control == 'shuffled_pairs' and metric == 'accuracy'")
    assert len(shuffled) == len(LANGUAGES) * 3 * 2 * 2


def test_it_stops_between_languages_and_leaves_nothing(finished, tmp_path):
    study, plan, store = finished
    shutil.copytree(store.root, tmp_path / "store")
    copied = Store(tmp_path / "store")
    stage = pretrained_measure(plan)
    shutil.rmtree(copied.folder(stage.key))
    moves: list[tuple[int, int]] = []

    def progress(done: int, total: int, _loss: float) -> None:
        moves.append((done, total))

    context = context_of(copied, study, progress=progress, stop=lambda: bool(moves))
    with pytest.raises(InterruptedRunError, match="stopped after 1 of 2 languages"):
        execute(stage, context)
    assert moves == [(1, 2)]
    assert not copied.has(stage.key)
    execute(stage, context_of(copied, study, progress=progress))
    assert moves[1:] == [(1, 2), (2, 2)]
    for name in ("alignment", "items", "shuffled_pairs", "perturbed"):
        pd.testing.assert_frame_equal(table(copied, stage, name), table(store, stage, name))
    kept = [load_file(one.folder(stage.key) / REFERENCE_FILE) for one in (copied, store)]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[1])
