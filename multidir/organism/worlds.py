"""The ten small worlds: states, operations and the table that joins them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from multidir import resources
from multidir.errors import ConfigError


@dataclass(frozen=True)
class World:
    """A finite-state task of one category.

    `moves[op][state]` is the state after `op`. It is total, so every operation can follow every state, and it
    never stands still, so a result that repeats its source is always a mistake.
    """

    category: str
    given: str
    question: str
    states: tuple[str, ...]
    moves: Mapping[str, Mapping[str, str]]

    def __post_init__(self) -> None:
        for op, table in self.moves.items():
            if set(table) != set(self.states) or not set(table.values()) <= set(self.states):
                raise ConfigError(f"world {self.category!r}: the table of {op!r} does not map its states to its states")
            if still := [a for a, b in table.items() if a == b]:
                raise ConfigError(f"world {self.category!r}: {op!r} leaves {still} as they are; it must change them")

    @property
    def ops(self) -> tuple[str, ...]:
        """Operation phrases, in the order of the file."""
        return tuple(self.moves)

    def after(self, op: str, state: str) -> str:
        """The correct state after `op`."""
        return self.moves[op][state]


def read_worlds(file: Path) -> tuple[World, ...]:
    """Worlds of a JSON file; states must not be shared between worlds."""
    rows = json.loads(file.read_text(encoding="utf-8"))["worlds"]
    worlds = tuple(World(states=tuple(row.pop("states")), **row) for row in rows)
    states = [s for w in worlds for s in w.states]
    if len(states) != len(set(states)):
        raise ConfigError(f"{file}: a state word belongs to two worlds, so a step could not be judged")
    return worlds


@cache
def load_worlds() -> tuple[World, ...]:
    """The ten worlds that are shipped with the library."""
    return read_worlds(resources.path("tiny/worlds.json"))


def transitions(worlds: Sequence[World]) -> dict[tuple[str, str], str]:
    """(operation, state) -> correct next state, over all worlds."""
    return {(op, s): t for w in worlds for op, table in w.moves.items() for s, t in table.items()}
