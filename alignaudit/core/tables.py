"""The long tables, checked against their contracts at each door.

A table is a pandas frame in *long* form: one row per stated thing. It is written as Parquet with the
contract's name, schema version and content hash in the file's metadata, and as a CSV twin for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from alignaudit.core.contracts import SCHEMA_VERSION, Column, Contract, Kind
from alignaudit.errors import DamagedRecordError, DataError

__all__ = ["content_hash", "read_table", "validate", "write_table"]

# What pandas may find in a column of each kind; anything else would change its values when cast.
_ACCEPTED: Mapping[Kind, frozenset[str]] = {
    "string": frozenset({"string"}),
    "int64": frozenset({"integer"}),
    "float64": frozenset({"floating", "integer", "mixed-integer-float"}),
    "bool": frozenset({"boolean"}),
}


def validate(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return the frame with the contract's columns in order and its types, or refuse it.

    Parameters
    ----------
    frame
        Any frame; may be empty.
    contract
        What it must be.

    Returns
    -------
    pandas.DataFrame
        A new frame with exactly ``contract.names``, sorted by the key, index ``0 … n-1``.

    Raises
    ------
    DataError
        If a column is missing or unknown, holds the wrong type, an undeclared word, an empty cell
        where none is allowed, or if the key repeats.
    """
    missing = [name for name in contract.names if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in contract.names]
    if missing or unknown:
        raise DataError(
            f"columns missing: {missing or 'none'}; unknown: {unknown or 'none'}.",
            where=f"table {contract.name}",
            hint=f"A {contract.name} table holds one row per {contract.row}.",
        )
    typed = pd.DataFrame(
        {column.name: _typed(frame[column.name], column, contract) for column in contract.columns}
    )
    repeated = typed.duplicated(list(contract.key))
    if repeated.any():
        first = typed.loc[repeated, list(contract.key)].iloc[0].to_dict()
        raise DataError(
            f"{int(repeated.sum())} rows repeat a key, first {first}.", where=f"table {contract.name}"
        )
    return typed.sort_values(list(contract.key), kind="stable", ignore_index=True)


def _typed(series: pd.Series, column: Column, contract: Contract) -> pd.Series:
    where = f"table {contract.name}, column {column.name}"
    if not column.nullable and bool(series.isna().any()):
        raise DataError("empty cells where none are allowed.", where=where)
    found = pd.api.types.infer_dtype(series, skipna=True) if len(series) else "empty"
    if found != "empty" and found not in _ACCEPTED[column.kind]:
        raise DataError(f"expected {column.kind}, found {found} values.", where=where)
    try:
        typed = series.astype("str" if column.kind == "string" else column.kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"expected {column.kind}: {error}", where=where) from error
    if column.levels:
        strange = sorted(set(typed.unique()) - set(column.levels))
        if strange:
            raise DataError(f"unknown words {strange}; allowed: {list(column.levels)}.", where=where)
    return typed


def content_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame's column names and values, whatever file holds it.

    Parameters
    ----------
    frame
        A validated frame (order of rows and columns counts).

    Returns
    -------
    str
        64 hexadecimal digits; equal for bit-equal floats and equal words.
    """
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(str(name).encode() + b"\x1e")
        values = frame[name]
        if values.dtype.kind in "ifb":
            numbers = values.to_numpy()
            if values.dtype.kind == "f":  # a file keeps that a cell is empty, not the bits of its NaN
                numbers = np.where(np.isnan(numbers), np.nan, numbers)
            digest.update(np.ascontiguousarray(numbers).tobytes())
        else:
            codes, words = pd.factorize(values, sort=True)
            digest.update("\x1f".join(map(str, words)).encode() + b"\x1e" + codes.astype("<i8").tobytes())
    return digest.hexdigest()


def write_table(path: Path, frame: pd.DataFrame, contract: Contract, *, twin: bool = False) -> None:
    """Write a validated frame as Parquet, with its contract in the metadata.

    Parameters
    ----------
    path
        Ends in ``.parquet``. The caller makes the write atomic (see ``core.store``).
    frame, contract
        Checked by :func:`validate` first.
    twin
        Also write a CSV file beside it.

    Raises
    ------
    DataError
        As :func:`validate`.
    """
    checked = validate(frame, contract)
    metadata = {
        "contract": contract.name,
        "schema_version": SCHEMA_VERSION,
        "row": contract.row,
        "content_sha256": content_hash(checked),
        "columns": {c.name: {"meaning": c.meaning, "unit": c.unit} for c in contract.columns},
    }
    table = pa.Table.from_pandas(checked, preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), b"alignaudit": json.dumps(metadata).encode()}
    )
    pq.write_table(table, path, compression="zstd")
    if twin:
        checked.to_csv(path.with_suffix(".csv"), index=False, lineterminator="\n")


def read_table(path: Path, contract: Contract) -> pd.DataFrame:
    """Read a Parquet table and check contract, version and content hash.

    Returns
    -------
    pandas.DataFrame
        As :func:`validate` returns it.

    Raises
    ------
    DamagedRecordError
        If the file cannot be read, was written for another contract or schema version, or its
        content does not have the recorded hash.
    """
    try:
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {})[b"alignaudit"])
        name, schema_version = metadata["contract"], metadata["schema_version"]
        digest = metadata["content_sha256"]
        content = table.to_pandas()
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise DamagedRecordError(f"cannot be read: {error}", where=str(path)) from error
    if (name, schema_version) != (contract.name, SCHEMA_VERSION):
        raise DamagedRecordError(
            f"holds {name} version {schema_version}, not {contract.name} version {SCHEMA_VERSION}.",
            where=str(path),
        )
    try:
        frame = validate(content, contract)
    except DataError as error:
        raise DamagedRecordError(f"breaks its contract: {error}", where=str(path)) from error
    if content_hash(frame) != digest:
        raise DamagedRecordError("its content does not have the recorded hash.", where=str(path))
    return frame
