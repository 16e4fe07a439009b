"""The two models a study compares, by where to find them."""

from __future__ import annotations

from dataclasses import dataclass

from multidir.errors import ConfigError
from multidir.types import Role


@dataclass(frozen=True)
class Pair:
    """A base model and the reasoning model made from it.

    A source is a folder, a hub id (`org/name` or `org/name@revision`), `shipped:NAME` for a model in
    `data/`, or `packaged:NAME` for one that an installed package carries.
    """

    base: str
    """Source of the base model."""
    reasoning: str | None = None
    """Source of the reasoning model; none when only one model is studied."""
    special_map: str | None = None
    """JSON table, token id to token id: what the base model reads in place of special tokens it does not know."""

    def source(self, role: Role) -> str:
        """Where one of the two is found.

        Raises:
            ConfigError: the pair has no model in this role.
        """
        found = self.base if role == "base" else self.reasoning
        if found is None:
            raise ConfigError(f"this pair has no {role} model; give one with --{role}")
        return found

    @property
    def steered(self) -> Role:
        """Whose behaviour is studied: the reasoning model, or the only one there is."""
        return "base" if self.reasoning is None else "reasoning"

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that are filled, base first."""
        return ("base",) if self.reasoning is None else ("base", "reasoning")


TINY = Pair("shipped:tiny/base", "shipped:tiny/reasoning-and", "shipped:tiny/reasoning-and/special_map.json")
"""The pair that travels with the library."""
