"""Cross-fitted orthogonal Procrustes: whether a rotation brings two languages together.

CKA asks whether two languages have the same shape, retrieval whether they lie at the same place.
Retrieval after a rotation that was fitted on other sentences stands between them: where it is high
and plain retrieval is low, the languages are isomorphic but apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import array_api_compat
import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import Array, FloatArray, IntArray, namespace, paired, row_blocks, to_numpy
from alignaudit.measure.retrieval import normalise

__all__ = ["Pool", "ProcrustesRetrieval", "draw_folds", "orthogonal_map", "procrustes_retrieval"]

Pool: TypeAlias = Literal["fold", "all"]


@dataclass(frozen=True, slots=True)
class ProcrustesRetrieval:
    """Retrieval of held-out sentences with and without the map fitted on the other folds.

    Attributes
    ----------
    foreign_to_english_correct, english_to_foreign_correct
        Shape [n], in [0, 1], after the map: 1 where the translation alone has the largest cosine,
        1/t where it shares it with t - 1 others, else 0.
    foreign_to_english_unmapped, english_to_foreign_unmapped
        Shape [n]: the same queries among the same candidates, centred alike, without the map.
    fold
        Shape [n]: the fold in which each pair was held out, from 0.
    candidates
        Shape [n]: number of candidates of each query.
    pool
        ``fold`` or ``all``: whence the candidates came.
    """

    foreign_to_english_correct: FloatArray
    english_to_foreign_correct: FloatArray
    foreign_to_english_unmapped: FloatArray
    english_to_foreign_unmapped: FloatArray
    fold: IntArray
    candidates: IntArray
    pool: Pool

    @property
    def accuracy(self) -> float:
        """Return the mean of both directions after the map, in [0, 1]."""
        return float((self.foreign_to_english_correct.mean() + self.english_to_foreign_correct.mean()) / 2)

    @property
    def unmapped_accuracy(self) -> float:
        """Return the mean of both directions without the map, in [0, 1]."""
        return float((self.foreign_to_english_unmapped.mean() + self.english_to_foreign_unmapped.mean()) / 2)

    @property
    def chance(self) -> float:
        """Return the accuracy of a blind guess among the same candidates, in [0, 1]."""
        return float((1.0 / self.candidates).mean())


def draw_folds(
    n: int, folds: int, generator: np.random.Generator, groups: npt.ArrayLike | None = None
) -> IntArray:
    """Return the fold of every pair: of nearly equal size, at random, groups kept whole.

    Parameters
    ----------
    n
        Number of pairs.
    folds
        Number of folds, at least 2.
    generator
        Source of the order, from :func:`alignaudit.core.rng.stream`.
    groups
        Shape [n]: labels, for example documents. Groups are taken in random order, each into the
        fold that then has the fewest pairs.

    Returns
    -------
    numpy.ndarray
        Shape [n], int64, from 0 to folds - 1; no fold is empty.

    Raises
    ------
    DataError
        Where there are fewer pairs or groups than folds, or labels for another number of pairs.
    UsageError
        Where folds is below 2.

    Examples
    --------
    >>> np.bincount(draw_folds(7, 2, np.random.default_rng(1))).tolist()
    [4, 3]
    """
    if folds < 2:
        raise UsageError(f"There must be at least two folds, not {folds}.")
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if labels.shape != (n,):
        raise DataError(f"Group labels have shape {list(labels.shape)}, not [{n}].")
    _, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < folds:
        raise DataError(f"{len(sizes)} {'pairs' if groups is None else 'groups'} cannot fill {folds} folds.")
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    filled = np.zeros(folds, dtype=np.int64)
    for group in generator.permutation(len(sizes)):
        fold_of_group[group] = filled.argmin()
        filled[fold_of_group[group]] += sizes[group]
    return fold_of_group[member]


def orthogonal_map(x: Array, y: Array) -> Array:
    """Return the orthogonal R for which x R is nearest to y.

    Where the rows leave R open, as fewer pairs than dimensions always do, it is the nearest to the
    identity among the best: both sides come from one encoder, whose coordinates agree until the
    pairs say otherwise.

    Parameters
    ----------
    x, y
        Shapes [n, d], rows paired, centred by the caller.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Shape [d, d], float64, orthogonal; of the input's library and device.

    Raises
    ------
    DataError
        Where the sides do not pair, differ in dimension, or hold NaN or infinity.

    References
    ----------
    Schoenemann (1966), A generalized solution of the orthogonal Procrustes problem.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> orthogonal_map(x, x[:, ::-1]).round(12).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    left, right = paired(x, y)
    if left.shape[1] != right.shape[1]:
        raise DataError(
            f"x has {left.shape[1]} dimensions and y has {right.shape[1]}; no rotation joins them.",
        )
    xp = namespace(left, right)
    product = xp.astype(left, xp.float64).T @ xp.astype(right, xp.float64)
    u, values, vh = xp.linalg.svd(product)
    scale = to_numpy(values)
    rank = int((scale > scale[0] * max(left.shape) * np.finfo(np.float64).eps).sum())
    result = u[:, :rank] @ vh[:rank, :]
    if rank < len(scale):
        free_x, free_y = u[:, rank:], vh[rank:, :]
        inner_u, _, inner_vh = xp.linalg.svd(free_x.T @ free_y.T)
        result = result + free_x @ (inner_u @ inner_vh) @ free_y
    return result


def procrustes_retrieval(
    foreign: Array,
    english: Array,
    generator: np.random.Generator,
    *,
    folds: int = 2,
    groups: npt.ArrayLike | None = None,
    pool: Pool = "fold",
) -> ProcrustesRetrieval:
    """Retrieve the translations of held-out sentences after a rotation fitted on the others.

    Means and rotation come from the training folds alone; the held-out fold is then centred on the
    training means and rotated. Candidates are by default those of the held-out fold. Sentences that
    the rotation was fitted on draw held-out queries to themselves, more so the fewer there are for
    each dimension, and would lose translations that the rotation did bring together. An accuracy
    depends on the number of candidates, so compare with ``unmapped``, the same search without the
    rotation, and not with retrieval over all n.

    Parameters
    ----------
    foreign, english
        Shapes [n, d], not centred; row ``i`` of one translates row ``i`` of the other.
    generator
        Source of the folds, from :func:`alignaudit.core.rng.stream`.
    folds
        Number of folds; 2 keeps the pool at half of the pairs.
    groups
        Shape [n]: labels of pairs that must not be split, for example documents.
    pool
        ``fold``: candidates are the held-out fold. ``all``: every sentence of the other side.

    Returns
    -------
    ProcrustesRetrieval
        Per-item correctness in both directions, with and without the rotation.

    Raises
    ------
    DataError
        Where the sides do not pair, differ in dimension, or fall short of the folds.
    UsageError
        Where folds is below 2 or the pool is unknown.

    References
    ----------
    Schoenemann (1966), A generalized solution of the orthogonal Procrustes problem; Smith, Turban,
    Hamblin and Hammerla (2017), Offline bilingual word vectors, orthogonal transformations and the
    inverted softmax, for its use between languages.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> english = generator.standard_normal((60, 4))
    >>> foreign = english[:, ::-1] + 3
    >>> procrustes_retrieval(foreign, english, generator).accuracy
    1.0
    """
    if pool not in ("fold", "all"):
        raise UsageError(f'Unknown pool "{pool}".', hint="Known: all, fold.")
    left, right = paired(foreign, english, minimum=2)
    n = left.shape[0]
    fold = draw_folds(n, folds, generator, groups)
    xp = namespace(left, right)
    correct = np.empty((4, n))
    candidates = np.empty(n, dtype=np.int64)
    for number in range(folds):
        held, kept = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        x, y = _shifted(left, kept), _shifted(right, kept)
        rotation = orthogonal_map(_rows(x, kept), _rows(y, kept))
        targets = held if pool == "fold" else np.arange(n)
        candidates[held] = len(targets)
        goal = normalise(_rows(y, targets), centred=False)
        for place, start in enumerate((x @ rotation, x)):
            source = normalise(_rows(start, targets), centred=False)
            correct[2 * place, held] = _correct(source, goal, targets, held, xp)
            correct[2 * place + 1, held] = _correct(goal, source, targets, held, xp)
    mapped, back, plain, plain_back = correct
    return ProcrustesRetrieval(mapped, back, plain, plain_back, fold, candidates, pool)


def _rows(array: Array, rows: IntArray) -> Array:
    xp = namespace(array)
    return xp.take(array, xp.asarray(rows, device=array_api_compat.device(array)), axis=0)


def _shifted(array: Array, rows: IntArray) -> Array:
    """Return all rows in float64 less the mean of those named."""
    xp = namespace(array)
    double = xp.astype(array, xp.float64)
    double = double - double[:1, :]
    return double - xp.mean(_rows(double, rows), axis=0, keepdims=True)


def _correct(queries: Array, candidates: Array, targets: IntArray, held: IntArray, xp: Any) -> FloatArray:
    """Return the credit of the held-out queries; both sides are the rows ``targets``."""
    places = np.searchsorted(targets, held)
    wide = xp.astype(candidates, xp.float64).T
    credit = []
    on_host = str(array_api_compat.device(wide)) == "cpu"
    for rows in row_blocks(len(places), len(targets), on_host=on_host):
        query = xp.astype(_rows(queries, places[rows]), xp.float64)
        cosines = xp.astype(query @ wide, xp.float32)
        columns = xp.asarray(places[rows][:, None], device=array_api_compat.device(cosines))
        gold = xp.take_along_axis(cosines, columns, axis=1)
        greater = to_numpy(xp.count_nonzero(cosines > gold, axis=1))
        equal = to_numpy(xp.count_nonzero(cosines == gold, axis=1))
        credit.append(np.where(greater == 0, 1.0 / equal, 0.0))
    return np.concatenate(credit)
