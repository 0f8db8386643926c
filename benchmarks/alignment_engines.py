"""What ``alignment_measures.py`` times: our measures, plain matrix products and the peers.

A function here imports what it needs and returns the call that is timed, from inputs to an answer.
Inputs are float32, [pairs, n, d] for CKA and unit rows [n, d] for retrieval; on a GPU they are torch
tensors. No peer's code stands here: Google's functions and LASER's are run from the files that
``--google`` and ``--laser`` name.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

Answer = dict[str, np.ndarray]
Call = Callable[[Any, Any], Answer]


@dataclass(frozen=True)
class Engine:
    """One way to an answer, whose version it is, and the least ratio to it that we promise."""

    name: str
    origin: str
    prepare: Callable[[Namespace], Call]
    promise: float | None = None
    devices: tuple[str, ...] = ("cpu",)


def each_pair(measure: Callable[[Any, Any], float]) -> Call:
    return lambda x, y: {"cka": np.array([measure(a, b) for a, b in zip(x, y, strict=True)])}


def our_cka(_: Namespace) -> Call:
    from alignaudit.measure.cka import debiased_cka

    return each_pair(lambda a, b: debiased_cka(a, b, standard_error=False).value)


def our_cka_with_error(_: Namespace) -> Call:
    from alignaudit.measure.cka import debiased_cka

    return each_pair(lambda a, b: debiased_cka(a, b).value)


def our_matrix(_: Namespace) -> Call:
    from alignaudit.measure.cka_matrix import cka_matrix

    return lambda x, y: {"cka": np.asarray(cka_matrix(list(x), list(y)))}


def our_retrieval(_: Namespace) -> Call:
    """Rank and search by margin in both directions, from one pass."""
    from alignaudit.measure.margin import margin_search
    from alignaudit.measure.retrieval import retrieve

    def call(x: Any, y: Any) -> Answer:
        found = retrieve(x, y, k=4)
        return {
            "x_to_y": found.foreign_to_english.prediction,
            "y_to_x": found.english_to_foreign.prediction,
            "margin": found.margin,
            "xsim": margin_search(found, "ratio")[0].predictions,
        }

    return call


def product(rows: int, library: str = "numpy") -> Callable[[Namespace], Call]:
    """Multiply blocks of rows of x with all of y, into the same memory each time."""

    def prepare(_: Namespace) -> Call:
        module = importlib.import_module(library)

        def call(x: Any, y: Any) -> Answer:
            place = {"device": x.device} if library == "torch" else {}
            block = module.empty((min(rows, len(x)), len(y)), dtype=module.float32, **place)
            for start in range(0, len(x), rows):
                part = x[start : start + rows]
                module.matmul(part, y.T, out=block[: len(part)])
            return {}

        return tensors(call) if library == "torch" else call

    return prepare


def cka_products(_: Namespace) -> Call:
    """Multiply what one CKA per pair cannot do without, on the cheaper side of n and d."""
    import torch

    def call(x: Any, y: Any) -> Answer:
        for a, b in zip(x, y, strict=True):
            sides = [a, b] if len(a) < 2 * a.shape[1] else []
            for side in sides:
                side @ side.T
            for p, q in [] if sides else [(a, b), (a, a), (b, b)]:
                torch.linalg.norm(p.T @ q)
        return {}

    return tensors(call)


def matrix_products(_: Namespace) -> Call:
    """Multiply what the CKA of all layers with all layers cannot do without, in sample space."""
    import torch

    def call(x: Any, y: Any) -> Answer:
        left, right = (torch.matmul(side, side.mT).flatten(1) for side in (x, y))
        torch.matmul(left, right.T)
        return {}

    return tensors(call)


def tensors(call: Call) -> Call:
    """Hand NumPy arrays on as torch tensors that share their memory."""
    import torch

    return lambda x, y: call(torch.as_tensor(x), torch.as_tensor(y))


def given(path: Path | None, option: str) -> Path:
    if path is None:
        raise ModuleNotFoundError(f"{option} is not given")
    return path


def google_source(path: Path) -> str:
    """Return the cell of the notebook that defines all kinds of CKA."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return next(source for source in sources if "def feature_space_linear_cka" in source)


def google(options: Namespace) -> Call:
    space: dict[str, Any] = {}
    exec(google_source(given(options.google, "--google")), space)
    return each_pair(lambda a, b: space["feature_space_linear_cka"](a, b, debiased=True))


def torch_cka(_: Namespace) -> Call:
    from torch_cka.cka import CKA

    peer = SimpleNamespace(device="cpu")

    def measure(a: Any, b: Any) -> float:
        k, l = ((side @ side.t()).fill_diagonal_(0.0) for side in (a, b))  # noqa: E741
        return CKA._HSIC(peer, k, l) / (CKA._HSIC(peer, k, k) ** 0.5 * CKA._HSIC(peer, l, l) ** 0.5)

    return tensors(each_pair(measure))


def torch_cka_comparison(_: Namespace) -> Call:
    """Run torch_cka as its users do, on two models whose layers look rows up in a table."""
    import torch
    from torch_cka.cka import CKA

    class Lookup(torch.nn.Module):
        def __init__(self, rows: torch.Tensor) -> None:
            super().__init__()
            self.rows = rows

        def forward(self, index: torch.Tensor) -> torch.Tensor:
            return self.rows[: len(index)]

    class Tables(torch.nn.Module):
        def __init__(self, layers: torch.Tensor) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(Lookup(rows) for rows in layers)

        def forward(self, index: torch.Tensor) -> None:
            for layer in self.layers:
                layer(index)

    def call(x: Any, y: Any) -> Answer:
        names = [f"layers.{i}" for i in range(len(x))]
        peer = CKA(Tables(x), Tables(y), "x", "y", names, names, device="cpu")
        index = torch.utils.data.TensorDataset(torch.arange(x.shape[1]))
        loader = torch.utils.data.DataLoader(index, batch_size=x.shape[1])
        peer.compare(loader, loader)
        return {"cka": peer.export()["CKA"].numpy()}

    return tensors(call)


def cka_pytorch(_: Namespace) -> Call:
    from cka_pytorch.hsic import hsic1

    def measure(a: Any, b: Any) -> float:
        k, l = ((side @ side.T)[None] for side in (a, b))  # noqa: E741
        return hsic1(k, l).item() / (hsic1(k, k).item() ** 0.5 * hsic1(l, l).item() ** 0.5)

    return tensors(each_pair(measure))


def laser(options: Namespace) -> Call:
    """Search as xSIM does; ``xSIM`` itself only counts the errors of what this returns."""
    spec = importlib.util.spec_from_file_location("xsim", given(options.laser, "--laser"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda x, y: {"xsim": module._score_knn(x, y, 4, "ratio")[:, 0]}


def sentence_transformers(_: Namespace) -> Call:
    from sentence_transformers.util import semantic_search

    def call(x: Any, y: Any) -> Answer:
        both = [semantic_search(a, b, top_k=4) for a, b in ((x, y), (y, x))]
        first = [np.array([hits[0]["corpus_id"] for hits in found]) for found in both]
        means = [np.array([[hit["score"] for hit in hits] for hits in found]).mean(axis=1) for found in both]
        return {
            "x_to_y": first[0],
            "y_to_x": first[1],
            "margin": np.vecdot(x, y) - (means[0] + means[1]) / 2,
        }

    return call


def translation_evaluator(_: Namespace) -> Call:
    """Count translations found, without margin, from the full matrix of cosines."""
    from sentence_transformers.sentence_transformer.evaluation import TranslationEvaluator

    def call(x: Any, y: Any) -> Answer:
        tables = {"x": x, "y": y}
        model = SimpleNamespace(
            encode=lambda sentences, **_: list(tables[sentences[0][0]]),
            model_card_data=SimpleNamespace(set_evaluation_metrics=lambda *_, **__: None),
        )
        sentences = [[f"{side}{i}" for i in range(len(x))] for side in tables]
        found = TranslationEvaluator(*sentences, write_csv=False)(model)
        return {"accuracy": np.array([found["src2trg_accuracy"], found["trg2src_accuracy"]])}

    return tensors(call)


def mteb(_: Namespace) -> Call:
    """Find the nearest by cosine, one direction, without margin."""
    from mteb._evaluators.text.bitext_mining_evaluator import BitextMiningEvaluator
    from mteb.similarity_functions import cos_sim

    def call(x: Any, y: Any) -> Answer:
        model = SimpleNamespace(similarity=cos_sim)
        found = BitextMiningEvaluator._similarity_search(None, x, y, model)
        return {"x_to_y": np.array([hit["corpus_id"] for hit in found])}

    return call


FILES = {"google": google_source, "laser": lambda path: path.read_text(encoding="utf-8")}
BOTH = ("cpu", "cuda")
CKA = (
    Engine("alignaudit", "alignaudit", our_cka, devices=BOTH),
    Engine("alignaudit, with standard errors", "alignaudit", our_cka_with_error, devices=BOTH),
    Engine("matrix products, torch", "torch", cka_products, devices=("cuda",)),
)
MATRIX = (
    Engine("alignaudit", "alignaudit", our_matrix, devices=BOTH),
    Engine("matrix products, torch", "torch", matrix_products, devices=("cuda",)),
    Engine("torch_cka", "torch_cka", torch_cka_comparison, 20.0),
)
FEW_PAIRS = (
    *CKA,
    Engine("google feature form", "google", google, 1.0),
    Engine("torch_cka", "torch_cka", torch_cka, 2.5),
    Engine("cka-pytorch", "cka-pytorch", cka_pytorch),
)
LARGE_PAIR = (
    *CKA,
    Engine("google feature form", "google", google, 1.0),
    Engine("torch_cka", "torch_cka", torch_cka),
    Engine("cka-pytorch", "cka-pytorch", cka_pytorch, 80.0),
)
RETRIEVAL = (
    Engine("alignaudit", "alignaudit", our_retrieval, devices=BOTH),
    *(
        Engine(f"matrix product, {rows:,} rows", "numpy", product(rows), 0.8)
        for rows in (1024, 2048, 4096, 8192)
    ),
    Engine("matrix product, torch", "torch", product(4096, "torch"), devices=BOTH),
    Engine("LASER xSIM", "laser", laser, 1.8),
    Engine("sentence-transformers", "sentence-transformers", sentence_transformers, 2.5),
    Engine("mteb", "mteb", mteb, 2.5),
)
SMALL_RETRIEVAL = (
    *(Engine(e.name, e.origin, e.prepare, devices=e.devices) for e in RETRIEVAL if "product" not in e.name),
    Engine("matrix product, 1,024 rows", "numpy", product(1024)),
    Engine("matrix product, torch", "torch", product(1024, "torch"), devices=BOTH),
    Engine("TranslationEvaluator", "sentence-transformers", translation_evaluator),
)
