"""The labels a sentence can have: names, definitions and examples, as one versioned noun."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from multidir.errors import ConfigError


@dataclass(frozen=True)
class Label:
    """One kind of sentence. The examples are what a judge, human or model, is shown."""

    name: str
    """Lower case with hyphens, as it stands in files."""
    definition: str
    positive: str
    """A sentence that has the label."""
    negative: str
    """A sentence that could be mistaken for one that has it."""

    def __post_init__(self) -> None:
        """Refuse an empty part."""
        empty = [key for key, value in asdict(self).items() if not value.strip()]
        if empty:
            raise ConfigError(f"label {self.name!r} has no {', '.join(empty)}; every part of a label is needed")


@dataclass(frozen=True)
class Taxonomy:
    """A set of labels, of which each sentence gets one."""

    name: str
    version: str
    about: str
    labels: tuple[Label, ...]
    worked: tuple[tuple[str, str], ...] = ()
    """Sentences of an example trace, each with its label."""

    def __post_init__(self) -> None:
        """Refuse fewer than two labels, repeated names, and an example with other labels."""
        names = self.names
        if len(names) < 2 or len(set(names)) < len(names):
            raise ConfigError(f"taxonomy {self.name!r} needs at least two labels with different names, got {names}")
        strange = sorted({label for _, label in self.worked} - set(names))
        if strange:
            raise ConfigError(f"taxonomy {self.name!r}: its worked example has labels it lacks: {', '.join(strange)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Label names in order."""
        return tuple(label.name for label in self.labels)

    @property
    def content_hash(self) -> str:
        """Sha256 of everything in it: two taxonomies with one hash are the same."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __getitem__(self, name: str) -> Label:
        for label in self.labels:
            if label.name == name:
                return label
        raise ConfigError(f"taxonomy {self.name!r} has no label {name!r}; there are {', '.join(self.names)}")

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"
