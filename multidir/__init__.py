"""Which residual-stream directions make a language model backtrack, and do they add or interact?

    import multidir as md

Every name below is imported when it is first used, so that the import itself takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "run": "notebook:run",
    "open": "notebook:open_artifact",
    "load_model": "models.load:load_model",
    "steering": "steer.steering:steer",
    "read_directions": "exchange.read:read_directions",
    "ActivationStore": "store.activations:ActivationStore",
    "Direction": "records.direction:Direction",
    "DirectionSet": "records.direction:DirectionSet",
    "Dose": "records.intervention:Dose",
    "Intervention": "records.intervention:Intervention",
    "Site": "records.site:Site",
    "MultidirError": "errors:MultidirError",
}
"""Public name -> where it is defined. No name is that of a package beside this file: once imported, that would win."""

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
    module, _, attribute = _NAMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
