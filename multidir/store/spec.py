"""What an activation store holds: models, sites, width and number format; and one line per trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multidir.errors import ConfigError, FormatError
from multidir.records.site import Site
from multidir.store.bf16 import RAW, check_dtype
from multidir.store.plain import plain
from multidir.types import ROLES, Role

MAX_SHARD_ROWS = 65_536
SHARD_BYTES = 128 << 20
"""Activations in one shard when its rows are not given: the writer holds one shard in memory."""

Key = tuple[Role, Site]
"""Names one set of activations: whose, and where."""


def dataset_name(key: Key) -> str:
    """HDF5 name of a set of activations below `acts`, and of their sums below `sums`."""
    return f"{key[0]}/{key[1]}"


@dataclass(frozen=True)
class StoreSpec:
    """The fixed facts of a store; two writers may continue one store only when these agree."""

    models: dict[Role, dict[str, Any]]
    """Role to facts of the model: fingerprint, id, revision, tokenizer and chat-template hash. JSON values."""
    sites: tuple[Site, ...]
    d: int
    """Width of the residual stream."""
    dtype: str = "bfloat16"
    """`bfloat16`, `float16` or `float32`."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """What else made it: prompt-set hash, sampling, special-token map, where generation ran. JSON values."""
    shard_rows: int = 0
    """Rows of a full shard; 0 stands for as many as keep a shard below 128 MiB, at most 65,536."""

    def __post_init__(self) -> None:
        """Refuse what no store can hold, and settle the rows of a shard."""
        check_dtype(self.dtype)
        strange = [role for role in self.models if role not in ROLES]
        if strange or not self.models:
            raise ConfigError(f"a store needs models for the roles {', '.join(ROLES)}; got {strange or 'none'}")
        if not self.sites or len(set(self.sites)) < len(self.sites):
            raise ConfigError(f"a store needs different sites, at least one; got {[str(s) for s in self.sites]}")
        if self.d < 1 or self.shard_rows < 0:
            raise ConfigError(f"width and shard rows count from 1; got d={self.d}, shard_rows={self.shard_rows}")
        if self.shard_rows == 0:
            object.__setattr__(self, "shard_rows", max(1, min(MAX_SHARD_ROWS, SHARD_BYTES // self.row_bytes)))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every (role, site), roles in the fixed order, sites as given."""
        return tuple((role, site) for role in ROLES if role in self.models for site in self.sites)

    @property
    def row_bytes(self) -> int:
        """Bytes of one token over all roles and sites."""
        return len(self.models) * len(self.sites) * self.d * RAW[self.dtype].itemsize

    def to_json(self) -> dict[str, Any]:
        """JSON form; a site also names its index in `hidden_states`, so that nobody is off by one layer."""
        sites = [
            {"site": str(s), "layer": s.layer, "stream": s.stream, "hidden_states_index": s.hidden_states_index}
            for s in self.sites
        ]
        return {
            "models": plain(self.models),
            "sites": sites,
            "d": self.d,
            "dtype": self.dtype,
            "shard_rows": self.shard_rows,
            "provenance": plain(self.provenance),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> StoreSpec:
        """Inverse of `to_json`.

        Raises:
            FormatError: a key is missing or holds something impossible.
        """
        try:
            sites = tuple(Site.parse(item["site"]) for item in value["sites"])
            return cls(
                value["models"], sites, value["d"], value["dtype"], value["provenance"], int(value["shard_rows"])
            )
        except (KeyError, TypeError, ConfigError) as error:
            raise FormatError(f"the spec in the manifest is broken: {error!r}") from error


@dataclass(frozen=True)
class TraceInfo:
    """Where one trace lies in a store: rows `row_start` to `row_end`, one per token."""

    id: str
    prompt_id: str
    category: str
    row_start: int
    row_end: int
    n_prompt: int

    @property
    def n_tokens(self) -> int:
        """Rows of the trace."""
        return self.row_end - self.row_start


def as_index(index: Any, n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(m,) int64 row numbers from integers, a range, a slice or a boolean mask.

    Raises:
        ConfigError: a row is outside 0..n-1.
    """
    if isinstance(index, slice):
        return np.arange(n, dtype=np.int64)[index]
    array = np.atleast_1d(np.asarray(index))
    if array.dtype == np.bool_:
        if array.shape != (n,):
            raise ConfigError(f"a mask over this store has {n} entries, got shape {array.shape}")
        return np.flatnonzero(array)
    if array.size and (array.ndim != 1 or not np.issubdtype(array.dtype, np.integer)):
        raise ConfigError(f"rows are chosen by integers, got {array.dtype} of shape {array.shape}")
    rows = array.astype(np.int64).reshape(-1)
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        raise ConfigError(f"rows {rows.min()}..{rows.max()} were asked for, but the store has rows 0..{n - 1}")
    return rows
