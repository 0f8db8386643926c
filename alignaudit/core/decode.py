"""TOML into strict frozen models: unknown keys are refused with their path and the nearest known name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from alignaudit.errors import StudyError, did_you_mean

__all__ = ["Strict", "apply_overrides", "decode", "read_toml"]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys and does not coerce words into numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


ModelT = TypeVar("ModelT", bound=Strict)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises
    ------
    StudyError
        If the file is absent, unreadable, or not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise StudyError(
            "there is no such file.", where=str(path), hint="Give the path of a .toml file."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"cannot be read: {error}.", where=str(path), hint="It must be TOML.") from error


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values with ``key.path=value`` overrides applied; values are read as TOML.

    Parameters
    ----------
    values
        Nested tables as :func:`read_toml` returns them; not changed.
    overrides
        For example ``["training.learning_rate=2e-5", 'name="trial"']``. A value that is not
        TOML is taken as a word, so that ``name=trial`` works as well.

    Raises
    ------
    StudyError
        If an override has no ``=`` or goes through a key that is not a table.

    Examples
    --------
    >>> apply_overrides({"training": {"epochs": 1}}, ["training.epochs=2", "name=trial"])
    {'training': {'epochs': 2}, 'name': 'trial'}
    """
    result = dict(values)
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator or not path.strip():
            raise StudyError(f'"{override}" is not of the form key=value.', where="--set")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        *tables, last = path.strip().split(".")
        here = result
        for name in tables:
            inner = here.get(name, {})
            if not isinstance(inner, dict):
                raise StudyError(f'"{name}" is not a table.', where=f"--set {path}")
            here[name] = dict(inner)
            here = here[name]
        here[last] = value
    return result


def decode(model: type[ModelT], values: Mapping[str, Any], *, where: str) -> ModelT:
    """Return a validated model, or one error that names every wrong key by its path.

    Parameters
    ----------
    model
        The model class.
    values
        Nested tables.
    where
        File the values come from, for the message.

    Raises
    ------
    StudyError
        If a key is unknown or missing, or a value is of the wrong type or outside its range.
    """
    try:
        return model.model_validate(_tuples(values))
    except ValidationError as error:
        messages = [_message(model, item) for item in error.errors()]
        raise StudyError("; ".join(messages), where=where) from None


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, which frozen models hold."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _message(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    path = tuple(item["loc"])
    dotted = ".".join(map(str, path)) or "top level"
    if item["type"] == "extra_forbidden":
        return f"{dotted}: unknown key. {did_you_mean(str(path[-1]), _known_keys(model, path[:-1]))}"
    if item["type"] == "missing":
        return f"{dotted}: this key is missing."
    text = str(item["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(item["input"], Mapping) else f" (got {item['input']!r})"
    return f"{dotted}: {text}{given}"


def _known_keys(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Field names of the model that stands at ``path`` below ``model``."""
    here: Any = model
    for key in path:
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            break
        field = here.model_fields.get(str(key))
        here = _inner_model(field.annotation) if field else here
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None
