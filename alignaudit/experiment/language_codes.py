"""Which languages of a folder are meant by the codes a user types."""

from __future__ import annotations

from collections.abc import Sequence

from alignaudit.core.language import languages
from alignaudit.errors import DataError, did_you_mean

__all__ = ["match_languages"]


def match_languages(asked: Sequence[str] | None, available: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the codes of a folder that are meant: as written, or ISO 639-1 for ISO 639-3.

    Parameters
    ----------
    asked
        Codes such as ``ita`` or ``it``; none for all.
    available
        Codes of the folder.
    where
        For the error message.

    Raises
    ------
    DataError
        If a code is neither.

    Examples
    --------
    >>> match_languages(["it", "fra"], ["fra", "ita", "xyz"], "folder")
    ('ita', 'fra')
    """
    if not asked:
        return tuple(available)
    long = {language.short: code for code, language in languages().items() if language.short}
    found = []
    for code in asked:
        match = code if code in available else long.get(code, "")
        if match not in available:
            raise DataError(f'no language "{code}".', where=where, hint=did_you_mean(code, available))
        found.append(match)
    return tuple(dict.fromkeys(found))
