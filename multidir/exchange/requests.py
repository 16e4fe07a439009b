"""Request bodies for steering servers built on vLLM, with every part that they cannot express named.

    vllm-lens 1.3    {"vllm_xargs": {"apply_steering_vectors": "[...]"}}     adds a vector to outputs of blocks
    EasySteer v2     {"steering": {"vectors": [...], "conflict": ...}}       the same, with a scope

Merge the body into the JSON of `/v1/completions` or `/v1/chat/completions`. Doses are resolved before: a server
knows the vector, not what it is relative to.

Source: vllm-lens 1.3.0 (`_helpers/types.py`, `_worker_ext.py`); EasySteer (`payloads.py` and the steering guide).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from multidir.errors import ConfigError
from multidir.exchange.layers import block_output
from multidir.records.direction import Direction
from multidir.records.intervention import Intervention
from multidir.records.site import Site
from multidir.steer.dose import to_residual_units

Server = Literal["vllm-lens", "easysteer"]

_APPLY: dict[str, dict[str, Any]] = {
    "all": {"prompt": "all", "generation": "all"},
    "prompt": {"prompt": "all"},
    "generated": {"prompt_positions": [-1], "generation": "all"},  # the last prompt position makes the first token
}
"""Our scopes in EasySteer's words."""


@dataclass(frozen=True)
class SteeringRequest:
    """What to send, and what had to be left out of it."""

    body: dict[str, Any]
    not_expressed: tuple[str, ...]
    """One sentence per intervention that is not in the body; empty when the body says everything."""


def steering_request(
    server: Server, interventions: Sequence[Intervention], mean_norms: Mapping[Site, float] | None = None
) -> SteeringRequest:
    """The request that makes a server do what the interventions say.

    Args:
        server: whose format.
        interventions: added up where they meet, as in a mixture.
        mean_norms: mean residual norm by site, for relative doses.
    Raises:
        ConfigError: an unknown server, a dose without its unit, or nothing that this server can do.
    """
    if server not in ("vllm-lens", "easysteer"):
        raise ConfigError(f"no steering server {server!r}; there are vllm-lens and easysteer")
    problems = [_problem(server, item) for item in interventions]
    usable = [item for item, problem in zip(interventions, problems, strict=True) if problem is None]
    named = tuple(problem for problem in problems if problem is not None)
    if not usable:
        raise ConfigError(f"{server} can express none of it: {' '.join(named) or 'there is no intervention'}")
    body = _vllm_lens(usable, mean_norms or {}) if server == "vllm-lens" else _easysteer(usable, mean_norms or {})
    return SteeringRequest(body, named)


def _problem(server: Server, item: Intervention) -> str | None:
    name, scope = f"{item.name!r} is left out:", str(item.scope)
    if item.operator != "add":
        return f"{name} the operator {item.operator!r} has no counterpart in a request to {server}."
    if item.site == Site(0, "resid_pre"):
        return f"{name} {server} adds to outputs of blocks, and {item.site} is the embedding."
    if server == "vllm-lens" and scope != "all":
        return (
            f"{name} the scope {scope!r} depends on the length of the prompt, and vllm-lens adds at all positions "
            "or at positions counted beforehand."
        )
    if scope not in _APPLY:
        return f"{name} the scope {scope!r} has no counterpart in a request to {server}."
    return None


def _direction(item: Intervention) -> Direction:
    assert isinstance(item.subject, Direction), "only additions come here, and an addition has a direction"
    return item.subject


def _vectors(
    items: Iterable[Intervention], mean_norms: Mapping[Site, float]
) -> Iterator[tuple[int, Intervention, float]]:
    for item in items:
        dose = to_residual_units(item.dose, _direction(item), mean_norms.get(item.site))
        yield block_output(item.site), item, dose


def _base64(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode("ascii")


def _vllm_lens(items: Iterable[Intervention], mean_norms: Mapping[Site, float]) -> dict[str, Any]:
    vectors = [
        {
            "activations": {
                "data": _base64(_direction(item).unit),
                "dtype": "float32",
                "original_dtype": "torch.float32",
                "shape": [1, _direction(item).d],
            },
            "layer_indices": [block],
            "scale": dose,
            "norm_match": False,
            "position_indices": None,
        }
        for block, item, dose in _vectors(items, mean_norms)
    ]
    return {"vllm_xargs": {"apply_steering_vectors": json.dumps(vectors, allow_nan=False)}}


def _easysteer(items: Iterable[Intervention], mean_norms: Mapping[Site, float]) -> dict[str, Any]:
    vectors = [
        {
            "data": _payload(block, item),
            "algorithm": "direct",
            "scale": dose,
            "layers": [block],
            "normalize": False,
            "apply": _APPLY[str(item.scope)],
            "name": item.name,
        }
        for block, item, dose in _vectors(items, mean_norms)
    ]
    # Its default for several vectors at one position is that the first one wins.
    return {"steering": {"vectors": vectors, "conflict": "sequential"}}


def _payload(block: int, item: Intervention) -> dict[str, Any]:
    """EasySteer's `DirectionVector` as it travels in JSON; the server refuses one whose hash does not fit."""
    name, shape = f"layer.{block}", (_direction(item).d,)
    data = _direction(item).unit.astype("<f4").tobytes()
    digest = hashlib.sha256(b"direction:1" + name.encode() + str(shape).encode() + data).hexdigest()
    tensors = {name: {"shape": list(shape), "data": base64.b64encode(data).decode("ascii")}}
    return {"version": 1, "kind": "direction", "tensors": tensors, "extra": {}, "sha256": digest}
