"""Directions to any format of another program, into a folder, with a sentence that says what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from multidir.errors import ConfigError
from multidir.exchange.control_vectors import write_control_vector
from multidir.exchange.layers import AS_FOUND
from multidir.exchange.requests import steering_request
from multidir.exchange.torch_files import write_torch
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.scope import EVERYWHERE, Scope
from multidir.records.site import Site
from multidir.store.atomic import write_json_atomic

Format = Literal["gguf", "steering-vectors", "pt", "vllm-lens", "easysteer"]


def write_directions(
    folder: Path,
    to: Format,
    directions: Sequence[Direction],
    dose: Dose = AS_FOUND,
    scope: Scope = EVERYWHERE,
    mean_norms: Mapping[Site, float] | None = None,
    model_hint: str = "llama",
) -> str:
    """Write `directions.gguf`, `directions.pt` or `request.json`, and say in words what is in it.

    Args:
        to: `gguf` for llama.cpp and repeng, `steering-vectors`, `pt` for {block: vector}; or the server that the
            request is for.
        dose: the length that strength 1 stands for; in a request, the strength itself.
        scope: which positions a server edits; the files hold no scope.
        mean_norms: mean residual norm by site, for a relative dose.
        model_hint: model family that a control vector names.
    Returns:
        What was written, and each part that could not be expressed.
    Raises:
        ConfigError: a scope in a format without one, or directions that the format cannot hold.
    """
    if to in ("vllm-lens", "easysteer"):
        request = steering_request(to, [Intervention(item, dose, scope=scope) for item in directions], mean_norms)
        write_json_atomic(folder / "request.json", request.body)
        sent = len(directions) - len(request.not_expressed)
        return " ".join([f"A request to {to} with {sent} of {len(directions)} directions.", *request.not_expressed])
    if scope != EVERYWHERE:
        raise ConfigError(
            f"{to} files hold no scope, so {str(scope)!r} cannot be written; the reading program decides it"
        )
    if to == "gguf":
        write_control_vector(folder / "directions.gguf", directions, model_hint, dose, mean_norms)
    else:
        write_torch(folder / "directions.pt", directions, dose, mean_norms, to == "steering-vectors")
    return f"{len(directions)} direction{'s' * (len(directions) > 1)} for {to}."
