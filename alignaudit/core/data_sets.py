"""Every published data set that a task may be read from, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alignaudit.core.data_sets_english import ENGLISH
from alignaudit.core.data_sets_multilingual import MULTILINGUAL
from alignaudit.core.task import DataSet
from alignaudit.errors import StudyError, did_you_mean

__all__ = ["DATA_SETS", "data_set"]

DATA_SETS: Mapping[str, DataSet] = MappingProxyType(
    {record.name: record for record in (*ENGLISH, *MULTILINGUAL)}
)
"""Every data set by name, in the order in which they are shown."""


def data_set(name: str) -> DataSet:
    """Return the data set of a name.

    Raises
    ------
    StudyError
        If there is none.

    Examples
    --------
    >>> data_set("xquad").languages["el"]
    'el'
    """
    if name not in DATA_SETS:
        raise StudyError(f'there is no data set "{name}".', hint=did_you_mean(name, DATA_SETS))
    return DATA_SETS[name]
