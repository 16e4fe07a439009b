"""Records to JSON values and back: one mapping for manifests, tables and hashes.

JSON has no nan and no infinity, and silently reading an unknown as 0 is the worst kind of error; so nan
becomes null, which a float field reads back as nan, and infinities become the texts "inf" and "-inf".
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from multidir.errors import ConfigError, FormatError

T = TypeVar("T")


def plain(obj: Any) -> Any:
    """JSON value of `obj`: dataclasses and mappings to dicts, sequences and arrays to lists, enums to their value.

    Raises:
        ConfigError: `obj` holds something without a JSON form.
    """
    if obj is None or (isinstance(obj, bool | int | str) and not isinstance(obj, Enum)):
        return obj
    if isinstance(obj, float | np.floating):
        return _plain_float(float(obj))
    if isinstance(obj, np.generic):
        return plain(obj.item())
    if is_dataclass(obj) and not isinstance(obj, type):
        return {item.name: plain(getattr(obj, item.name)) for item in fields(obj)}
    if isinstance(obj, Mapping):
        return {_key(key): plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple | np.ndarray):
        return [plain(item) for item in obj]
    if isinstance(obj, set | frozenset):
        return sorted(plain(item) for item in obj)
    if isinstance(obj, Enum):
        return plain(obj.value)
    if isinstance(obj, PurePath):
        return obj.as_posix()
    raise ConfigError(
        f"a {type(obj).__name__} cannot be written as JSON: {obj!r:.80}; give a number, text, list or record"
    )


def _plain_float(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float):
        return str(key)
    raise ConfigError(f"JSON keys are texts; got {key!r}")


def build(kind: type[T], value: Any) -> T:
    """The inverse of `plain` for a type made of records, numbers, texts, tuples, lists, dicts and optionals.

    Raises:
        FormatError: a key is missing or unknown, or a value has the wrong type.
    """
    made: T = _build(kind, value)
    return made


def _build(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin in (Union, types.UnionType):
        return _build_union(kind, value)
    if origin is Literal:
        return _checked(value, value in get_args(kind), kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _build_record(kind, value)
    if origin in (tuple, list, dict):
        return _build_container(kind, origin, value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return _build_scalar(kind, value)


def _build_scalar(kind: Any, value: Any) -> Any:
    if kind is float:
        if value is None:
            return math.nan
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_checked(value, numeric or value in ("inf", "-inf"), kind))
    if kind is int:
        return _checked(value, isinstance(value, int) and not isinstance(value, bool), kind)
    if kind in (bool, str, dict, list):
        return _checked(value, isinstance(value, kind), kind)
    if kind is type(None):
        return _checked(value, value is None, kind)
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return kind(value)
    raise FormatError(f"cannot read a field of type {kind}")


def _build_union(kind: Any, value: Any) -> Any:
    options = get_args(kind)
    if value is None and type(None) in options:
        return None
    problems = []
    for option in options:
        try:
            return _build(option, value)
        except (FormatError, ValueError) as error:
            problems.append(str(error))
    raise FormatError("; ".join(problems))


def _build_container(kind: Any, origin: Any, value: Any) -> Any:
    arguments = get_args(kind)
    if origin is dict:
        _checked(value, isinstance(value, dict), kind)
        return {_build(arguments[0], key): _build(arguments[1], item) for key, item in value.items()}
    _checked(value, isinstance(value, list), kind)
    if origin is list or arguments[-1] is Ellipsis:
        return origin(_build(arguments[0], item) for item in value)
    _checked(value, len(value) == len(arguments), kind)
    return tuple(_build(argument, item) for argument, item in zip(arguments, value, strict=True))


def _build_record(kind: Any, value: Any) -> Any:
    _checked(value, isinstance(value, dict), kind.__name__)
    known = _record_fields(kind)
    missing = [name for name, (item, _) in known.items() if name not in value and _is_required(item)]
    unknown = [name for name in value if name not in known]
    if missing or unknown:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise FormatError(f"not a {kind.__name__}: {'; '.join(parts)}")
    made = {}
    for name, item in value.items():
        try:
            made[name] = _build(known[name][1], item)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from None
    return kind(**made)


@cache
def _record_fields(kind: Any) -> dict[str, tuple[Field[Any], Any]]:
    hints = get_type_hints(kind)
    return {item.name: (item, hints[item.name]) for item in fields(kind) if item.init}


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _checked(value: Any, good: bool, kind: Any) -> Any:
    if not good:
        name = getattr(kind, "__name__", str(kind))
        raise FormatError(f"expected {name}, got {value!r:.60}")
    return value
