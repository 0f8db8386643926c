"""What a report is made from, and the questions every figure asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.tables import validate

__all__ = ["FRACTIONS", "Primary", "ReportInput"]

FRACTIONS = frozenset({"fraction", "proportion", "share", "0-1", "0–1", "accuracy", "f1", "em", "em_f1"})
"""Units and metrics that lie between 0 and 1 and are shown in points (times 100)."""

_FAMILY = ("R1", "R2", "R3", "R4", "transfer")
_KINDS = ("pretrained", "none", "sequential", "interleaved", "concurrent")


@dataclass(frozen=True, slots=True)
class Primary:
    """The one cell of layer × pooling × scoring that the plan declared primary.

    Attributes
    ----------
    estimand, metric, layer, pooling, centred, stage
        As in the alignment table and ``comparison.json``.
    factor, unit
        What a value is multiplied by before it is shown, and the unit it then has.
    """

    estimand: str
    metric: str
    layer: int
    pooling: str
    centred: bool
    stage: str
    factor: float
    unit: str

    @property
    def words(self) -> str:
        """Return the cell in words, for captions."""
        scoring = "centred " if self.centred else ""
        return f"{scoring}{self.metric.replace('_', ' ')}, layer {self.layer}, {self.pooling} pooling"


@dataclass(frozen=True, slots=True)
class ReportInput:
    """Everything that stands in a report; plain mappings and frames, so that any record can be shown.

    Attributes
    ----------
    study
        The resolved study: ``name``, ``title``, ``question``, ``encoder``, ``seeds``, ``schedules``,
        ``tasks`` …; every key may be absent.
    tables
        ``runs``, ``alignment``, ``scores``, ``controls`` and perhaps ``items``, as in
        :mod:`alignaudit.core.tables`; an absent table counts as empty.
    comparison
        The parsed ``comparison.json``.
    provenance
        ``versions`` {package: version}, ``git``, ``device``, ``wall_s``, ``created``, ``study_sha256``,
        ``commands`` [text], ``files`` {name: sha256}, ``licences`` [{name, licence, citation}],
        ``citation``; every key may be absent.
    languages
        Code to ``{name, script, family}``; a code without an entry is shown as it is.
    """

    study: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    comparison: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    languages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, or an empty one with the contract's columns."""
        contract, frame = CONTRACTS[name], self.tables.get(name)
        if frame is None or frame.empty:
            return validate(pd.DataFrame(columns=contract.names), contract)
        return frame

    def label(self, code: str) -> str:
        """Return the English name of a language, or its code where no name is known."""
        return str(self.languages.get(code, {}).get("name") or code)

    def labels(self, codes: Sequence[str]) -> list[str]:
        """Return one distinct label per code; a name that occurs twice gets its code in brackets."""
        names = [self.label(code) for code in codes]
        return [f"{n} ({c})" if names.count(n) > 1 else n for n, c in zip(names, codes, strict=True)]

    @property
    def estimands(self) -> list[Mapping[str, Any]]:
        """Return the estimands of the comparison, in its order."""
        return list(self.comparison.get("estimands") or [])

    @property
    def headline(self) -> list[Mapping[str, Any]]:
        """Return the estimands of the planned family: those without a suffix, else all of them."""
        family = [e for e in self.estimands if str(e.get("estimand")) in _FAMILY]
        return family or self.estimands

    @property
    def schedules(self) -> list[str]:
        """Return the names of the compared arms."""
        return [str(name) for name in self.comparison.get("schedules") or []]

    def kinds(self) -> dict[str, str]:
        """Return the kind of schedule of every trained arm, in the order in which arms are shown."""
        runs = self.table("runs")
        kind = {str(a): str(k) for a, k in zip(runs["arm"], runs["schedule"], strict=True)}
        for arm in [*self.schedules, *self.table("alignment")["arm"].unique()]:
            kind.setdefault(str(arm), str(arm) if arm in _KINDS else "other")
        kind.pop("pretrained", None)
        return dict(sorted(kind.items(), key=lambda item: (_place(item[1]), item[0])))

    def arms(self) -> list[str]:
        """Return the trained arms in the order in which they are shown."""
        return list(self.kinds())

    def primary(self) -> Primary:
        """Return the declared primary cell, completed from the alignment table where it is silent."""
        frame = self.table("alignment")
        chosen: Mapping[str, Any] = next(
            (e for e in self.estimands if e.get("estimand") == "R1"), next(iter(self.estimands), {})
        )
        known = [str(m) for m in frame["metric"].unique()]
        wanted = str(chosen.get("metric") or "accuracy")
        metric = next((m for m in known if m == wanted), next((m for m in known if m in wanted), "accuracy"))
        rows = frame[frame["metric"] == metric]
        layers = set(rows["layer"].astype(int))
        layer = _integer(chosen.get("layer"))
        pooling = str(chosen.get("pooling") or "")
        if pooling not in set(rows["pooling"]):
            pooling = str(min(rows["pooling"], default=pooling or "mean"))
        either = set(rows["centred"].astype(bool)) or {False}
        centred = chosen.get("centred")
        scale = metric in FRACTIONS or str(chosen.get("unit")) in FRACTIONS
        return Primary(
            estimand=str(chosen.get("estimand") or "R1"),
            metric=metric,
            layer=layer if layer in layers else max(layers, default=0),
            pooling=pooling,
            centred=bool(centred) if centred in either else max(either),
            stage=str(chosen.get("stage") or "intermediate"),
            factor=100.0 if scale else 1.0,
            unit="points" if scale else metric.replace("_", " "),
        )

    def alignment(self, primary: Primary, *, stages: Sequence[str], all_layers: bool = False) -> pd.DataFrame:
        """Return the primary metric per run, language and layer, as the mean of both directions.

        Returns
        -------
        pandas.DataFrame
            ``run, arm, checkpoint, seed, stage, language, layer, value``; ``value`` in shown units
            (points for accuracy), NaN where either direction has none.
        """
        frame = self.table("alignment")
        keep = (
            (frame["metric"] == primary.metric)
            & (frame["pooling"] == primary.pooling)
            & (frame["centred"].astype(bool) == primary.centred)
            & frame["stage"].isin(list(stages))
        )
        if not all_layers:
            keep &= frame["layer"] == primary.layer
        keys = ["run", "arm", "checkpoint", "seed", "stage", "language", "layer"]
        both = frame.loc[keep, [*keys, "value"]].astype({"value": float})
        return _strict_mean(both, keys, primary.factor)

    def control(self, primary: Primary, *, all_layers: bool = False) -> pd.DataFrame:
        """Return ``control, language, layer, value`` of the primary metric, mean of both directions."""
        frame = self.table("controls")
        keep = (frame["metric"] == primary.metric) & (
            (frame["centred"].astype(bool) == primary.centred) | (frame["layer"] == -1)
        )
        if not all_layers:
            keep &= frame["layer"].isin([primary.layer, -1])
        rows = frame.loc[keep].astype({"value": float})
        rows = rows[(rows["pooling"] == primary.pooling) | (rows["layer"] == -1)]
        return _strict_mean(rows, ["control", "language", "layer"], primary.factor)


def _strict_mean(frame: pd.DataFrame, keys: list[str], factor: float) -> pd.DataFrame:
    """Return the mean of ``value`` by ``keys``, NaN as soon as one part is NaN."""
    grouped = frame.groupby(keys, sort=True)["value"]
    mean = grouped.mean().where(grouped.count() == grouped.size()) * factor
    return mean.reset_index()


def _place(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
