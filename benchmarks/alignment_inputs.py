"""The inputs of ``alignment_measures.py``, from a fixed seed, and their exact answers in float64."""

from __future__ import annotations

import math

import numpy as np

SAMPLE = 1000


def inputs(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return two float32 sides that share a signal: layers of drifting signal, or unit rows.

    Rows for retrieval are so noisy that a pair's cosine is about the largest of n unrelated ones.
    """
    generator = np.random.default_rng(20260101)
    *pairs, n, d = shape

    def normal() -> np.ndarray:
        return generator.standard_normal((n, d), dtype=np.float32)

    signal = normal()
    if not pairs:
        cosine = 0.9 * math.sqrt(2 * math.log(n) / d)
        noise = np.float32(math.sqrt(1 / cosine - 1))
        sides = [signal + noise * normal() for _ in range(2)]
        return tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    x, y = np.empty((2, *shape), dtype=np.float32)
    spectrum = (1 + np.arange(d, dtype=np.float32)) ** -0.5
    for layer in range(pairs[0]):
        x[layer], y[layer] = ((signal + normal()) * spectrum for _ in range(2))
        signal = np.float32(0.9) * signal + np.float32(math.sqrt(1 - 0.9**2)) * normal()
    return x, y


def exact(x: np.ndarray, y: np.ndarray, *, all_pairs: bool) -> dict[str, np.ndarray]:
    """Return the answer in float64 by brute force; for retrieval that of evenly spaced items."""
    if x.ndim == 2:
        return exact_retrieval(x, y)
    if not all_pairs:
        return {"cka": np.array([exact_cka(u_centred(a), u_centred(b)) for a, b in zip(x, y, strict=True)])}
    left, right = ([u_centred(layer) for layer in side] for side in (x, y))
    return {"cka": np.array([[exact_cka(a, b) for b in right] for a in left])}


def u_centred(rows: np.ndarray) -> np.ndarray:
    """Return the Gram matrix, U-centred (Székely and Rizzo 2014): inner products are unbiased HSIC."""
    rows = rows.astype(np.float64)
    gram, n = rows @ rows.T, len(rows)
    np.fill_diagonal(gram, 0.0)
    sums = gram.sum(axis=0) / (n - 2)
    sums -= sums.sum() / (2 * (n - 1))
    gram -= sums[:, None]
    gram -= sums
    np.fill_diagonal(gram, 0.0)
    return gram


def exact_cka(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    return np.vdot(k, l) / math.sqrt(np.vdot(k, k) * np.vdot(l, l))


def exact_retrieval(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    x, y = x.astype(np.float64), y.astype(np.float64)
    items = np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(int)
    cosines, near = largest(x[items], y)
    back, near_back = largest(y[items], x)
    candidates, place = np.unique(near, return_inverse=True)
    means = largest(y[candidates], x)[0].mean(axis=1)[place.reshape(near.shape)]
    ratio = cosines / ((cosines.mean(axis=1, keepdims=True) + means) / 2)
    return {
        "items": items,
        "x_to_y": near[:, 0],
        "y_to_x": near_back[:, 0],
        "margin": np.vecdot(x, y)[items] - (cosines.mean(axis=1) + back.mean(axis=1)) / 2,
        "xsim": near[np.arange(len(items)), ratio.argmax(axis=1)],
    }


def largest(queries: np.ndarray, rows: np.ndarray, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for start in range(0, len(queries), 250):
        products = queries[start : start + 250] @ rows.T
        chosen = np.argpartition(-products, k, axis=1)[:, :k]
        values = np.take_along_axis(products, chosen, axis=1)
        order = np.argsort(-values, axis=1)
        found.append([np.take_along_axis(each, order, axis=1) for each in (values, chosen)])
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
