"""Vectors in `.pt` files: one vector, one per layer, means by label, and `steering-vectors` objects.

Only weights are read (`weights_only=True`): a file that needs code to be run is refused.

    (d,)                                one vector; its site must be given
    {name: (d,)}                        vectors at one site, which must be given
    (l, d), {name: (l, d)}, {n: (d,)}   one per layer; what the numbers count must be given
    {label: {"mean": (l, d), "count"}}  class means at all block outputs; a direction is mean - mean of "overall"
                                        (Venhoff et al., arXiv 2506.18167)
    SteeringVector, or its two fields   `layer_activations` and `layer_type` of steering-vectors 0.12
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ConfigError, FormatError
from multidir.exchange.layers import AS_FOUND, Rows, by_block, named, only_sites
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose
from multidir.records.site import Site
from multidir.store.atomic import atomic_path
from multidir.types import FloatArray

OVERALL = "overall"
_LAYER = re.compile(r"(?:layers?[._]?|L)?(\d+)")


class _SteeringVector:
    """Stands in for `steering_vectors.SteeringVector`, which need not be installed: holds its fields, does nothing."""


_KNOWN: list[Any] = [(_SteeringVector, f"steering_vectors.{place}SteeringVector") for place in ("steering_vector.", "")]


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_KNOWN):
            return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - nothing but weights
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist: expected a file of torch.save") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FormatError(
            f"{path} cannot be read without running code from it: {first}; save plain tensors or dictionaries "
            "of tensors with torch.save"
        ) from error


def read_torch(
    path: Path, site: Site | None = None, rows: Rows | None = None, sites: Iterable[Site] = ()
) -> DirectionSet:
    """Directions of a `.pt` file in any of the forms above.

    Args:
        site: where the vectors belong, when the file has no layers.
        rows: what layer numbers count, when the file has layers and does not say it.
        sites: keep only these; all when empty.
    Raises:
        ConfigError: the file leaves open where its vectors belong.
        FormatError: the file would run code, or holds something else.
    """
    path = Path(path)
    content = _load(path)
    fields = vars(content) if isinstance(content, _SteeringVector) else content
    if isinstance(fields, dict) and "layer_activations" in fields:
        found = _steering_vector(path, fields)
    elif isinstance(content, dict) and content and all(_is_mean(value) for value in content.values()):
        found = list(_means(path, content))
    else:
        found = list(_plain(path, content, site, rows))
    return only_sites(found, sites, str(path))


def _steering_vector(path: Path, fields: Mapping[str, Any]) -> list[Direction]:
    kind, layers = fields.get("layer_type", "decoder_block"), fields["layer_activations"]
    if kind != "decoder_block":
        raise FormatError(
            f"{path} steers {kind!r}; multidir steers the residual stream, which is 'decoder_block' there"
        )
    if not isinstance(layers, dict) or not layers or not all(isinstance(n, int) and n >= 0 for n in layers):
        raise FormatError(f"{path}: expected layer_activations by block, counted from 0, got {layers!r:.80}")
    vectors = {Site(n): _vector(path, str(n), value) for n, value in layers.items()}
    return named(path.stem, vectors, "steering vector", _source(path, "steering-vectors"), str(path))


def _is_mean(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("mean"), Tensor) and "count" in value


def _means(path: Path, content: Mapping[str, Any]) -> Iterator[Direction]:
    if OVERALL not in content or len({tuple(value["mean"].shape) for value in content.values()}) > 1:
        shapes = {str(label): tuple(value["mean"].shape) for label, value in content.items()}
        raise FormatError(f"{path}: means by label need {OVERALL!r} and one shape (l, d), got {shapes}")
    overall = _numbers(content[OVERALL]["mean"])
    if overall.ndim != 2:
        raise FormatError(f"{path}: means by label have one row per block, (l, d); got shape {overall.shape}")
    for label, value in content.items():
        if label != OVERALL:
            vectors = {Site(n): row for n, row in enumerate(_numbers(value["mean"]) - overall)}
            source = {**_source(path, "means"), "label": str(label), "n": int(value["count"])}
            yield from named(str(label), vectors, "diffmeans", source, str(path))


def _plain(path: Path, content: Any, site: Site | None, rows: Rows | None) -> Iterator[Direction]:
    source = _source(path, "pt")
    tensors = {path.stem: content} if isinstance(content, Tensor) else content
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise FormatError(f"{path} holds a {type(content).__name__}, neither a tensor nor a dictionary of tensors")
    numbers = {key: _LAYER.fullmatch(str(key)) for key in tensors}
    if all(numbers.values()):
        vectors = {
            _site(path, int(found[1]), rows): _vector(path, str(key), tensors[key])
            for key, found in numbers.items()
            if found
        }
        yield from named(path.stem, vectors, "given", source, str(path))
        return
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and 1 not in tensor.shape:
            vectors = {_site(path, n, rows): row for n, row in enumerate(_numbers(tensor))}
        elif site is None:
            raise ConfigError(f"{path} does not say where {name!r} belongs: give its site, such as L10")
        else:
            vectors = {site: _vector(path, str(name), tensor)}
        yield from named(str(name), vectors, "given", source, str(path))


def _site(path: Path, number: int, rows: Rows | None) -> Site:
    if rows is None:
        raise ConfigError(
            f"{path} has layers, but does not say what it counts: give rows `blocks` (0 is the output of the first "
            "block) or `hidden_states` (0 is the embedding)"
        )
    if rows == "blocks":
        return Site(number)
    return Site(number - 1) if number else Site(0, "resid_pre")


def _source(path: Path, kind: str) -> dict[str, Any]:
    return {"file": path.name, "format": kind}


def _numbers(tensor: Tensor) -> FloatArray:
    return tensor.detach().to(torch.float64).numpy()


def _vector(path: Path, name: str, tensor: Any) -> FloatArray:
    if not isinstance(tensor, Tensor) or tensor.numel() != max(tensor.shape, default=0):
        shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise FormatError(f"{path}: {name!r} is not one vector, got {shape}")
    return _numbers(tensor).reshape(-1)


def write_torch(
    path: Path,
    directions: Iterable[Direction],
    dose: Dose = AS_FOUND,
    mean_norms: Mapping[Site, float] | None = None,
    steering_vectors: bool = False,
) -> None:
    """Write `{block: (d,) float32}`, whole or not at all; it is read with `rows="blocks"`.

    Args:
        directions: at most one per block.
        dose: the length that strength 1 stands for.
        mean_norms: mean residual norm by site, for a relative dose.
        steering_vectors: write the two fields of `steering_vectors.SteeringVector` instead, for
            `SteeringVector(**torch.load(path, weights_only=True))`.
    Raises:
        ConfigError: two directions at one block, the embedding, or a file that cannot be written.
    """
    vectors = {
        block: torch.from_numpy(vector.astype(np.float32))
        for block, (_, vector) in by_block(directions, dose, mean_norms).items()
    }
    with atomic_path(path) as partial:
        torch.save(
            {"layer_activations": vectors, "layer_type": "decoder_block"} if steering_vectors else vectors, partial
        )
