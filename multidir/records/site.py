"""Where in a model: one named place in the residual stream, such as `L10.resid_post`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import ClassVar

from multidir.errors import ConfigError

_PATTERN = re.compile(r"L(\d+)\.(resid_pre|resid_post)")


@total_ordering
@dataclass(frozen=True)
class Site:
    """The residual stream before or after one decoder block.

    The layer is the 0-based block index. The output of block `layer` is
    `hidden_states[layer + 1]` of transformers; confusing the two shifts every result by a
    layer, so a saved vector always carries its site.
    """

    layer: int
    """0-based decoder block."""
    stream: str = "resid_post"
    """`resid_pre` (input of the block) or `resid_post` (its output)."""

    STREAMS: ClassVar[tuple[str, ...]] = ("resid_pre", "resid_post")

    def __post_init__(self) -> None:
        """Refuse a negative layer and an unknown stream."""
        if self.layer < 0 or self.stream not in self.STREAMS:
            raise ConfigError(
                f"no such site: layer {self.layer}, stream {self.stream!r}; "
                f"layers count from 0 and a stream is one of {', '.join(self.STREAMS)}"
            )

    @classmethod
    def parse(cls, text: str) -> Site:
        """Read `L10.resid_post`, or `L10` for its output.

        Raises:
            ConfigError: the text is not a site.
        """
        match = _PATTERN.fullmatch(text if "." in text else f"{text}.resid_post")
        if match is None:
            raise ConfigError(f"{text!r} is not a site; write L<block>.resid_post, such as L10.resid_post")
        return cls(int(match[1]), match[2])

    @property
    def hidden_states_index(self) -> int:
        """Index of the same activations in `output_hidden_states` of transformers."""
        return self.layer + (self.stream == "resid_post")

    def __str__(self) -> str:
        return f"L{self.layer}.{self.stream}"

    def __lt__(self, other: Site) -> bool:
        return (self.layer, self.STREAMS.index(self.stream)) < (other.layer, self.STREAMS.index(other.stream))
