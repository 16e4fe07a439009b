"""Where along a sequence something is edited: a part of it, narrowed by a window, a trigger, sentences or a gate."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from multidir.errors import ConfigError
from multidir.records.site import Site
from multidir.types import FloatArray

Part = Literal["all", "prompt", "generated", "decoded"]
PARTS: tuple[Part, ...] = get_args(Part)

_TEXT = r'"(?:[^"\\]|\\.)*"'
_PATTERN = re.compile(
    r"(?P<part>[a-z]+)?(?:\[(?P<begin>\d*):(?P<end>\d*)\])?"
    rf"(?: from token (?P<token>\d+|{_TEXT}))?(?: from text (?P<text>{_TEXT}))?(?: at sentence (?P<sentence>\w+))?"
)


@dataclass(frozen=True, eq=False)
class Gate:
    """A probe that says where to edit: at tokens with `weights . x + bias > threshold`, and only there.

    Read in the residual stream x as it arrives at the site that is edited, or as it leaves an earlier one.
    """

    weights: FloatArray
    """(d,)."""
    bias: float = 0.0
    threshold: float = 0.0
    site: Site | None = None
    """Where to read; None for the site that is edited."""

    def __post_init__(self) -> None:
        """Refuse a probe that has no score."""
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all() or not self.weights.any():
            raise ConfigError(f"a gate needs one finite weight vector, not zero; got shape {self.weights.shape}")
        if not np.isfinite([self.bias, self.threshold]).all():
            raise ConfigError(f"bias and threshold of a gate are finite, got {self.bias} and {self.threshold}")


@dataclass(frozen=True)
class Scope:
    """The token positions that meet every one of these conditions. Position 0 is a row's first token.

    Prints as text that `parse` reads: `generated`, `decoded[0:400]`, `all from token 128014`,
    `generated from text "Wait"`, `decoded at sentence start`. A gate has no text form.
    """

    part: Part = "all"
    """`prompt`: all its positions. `generated`: from the last prompt position on, because that one makes the first
    new token. `decoded`: from the first new token on, which itself therefore is made without the edit."""
    begin: int = 0
    """First absolute position."""
    end: int | None = None
    """Position after the last one; None for no end."""
    from_token: int | str | None = None
    """From the first such token of the part on, itself included: an id, or the text of a single token."""
    from_text: str | None = None
    """From the token on that completes the first occurrence of this text in the part, however it is tokenised."""
    sentence: Literal["start", "end"] | None = None
    """`start`: tokens that begin a sentence. `end`: positions after which one may begin, which make its first token."""
    gate: Gate | None = None

    def __post_init__(self) -> None:
        """Refuse a scope that is unknown, contradicts itself, or can select nothing."""
        if self.part not in PARTS:
            raise ConfigError(
                f"no scope {self.part!r}; there are {', '.join(PARTS)}, narrowed as in 'generated[10:20]' or "
                "'decoded at sentence start'"
            )
        if self.begin < 0 or (self.end is not None and self.end <= self.begin):
            raise ConfigError(f"scope {self} selects nothing: positions count from 0, and end comes after begin")
        if self.sentence not in (None, "start", "end"):
            raise ConfigError(f"no scope at sentence {self.sentence!r}; there are start and end")
        if self.from_token is not None and self.from_text is not None:
            raise ConfigError(f"scope {self} begins at a token and at a text; choose one")
        if self.from_text == "" or self.from_token == "":
            raise ConfigError("an empty text is everywhere; leave the trigger out instead")

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read what `str` writes, such as `generated` or `all[10:20]`.

        Raises:
            ConfigError: the text is not a scope.
        """
        match = _PATTERN.fullmatch(text)
        if match is None or not text:
            raise ConfigError(f"no scope {text!r}; write one like {', '.join(PARTS)}, 'generated[10:20]'")
        part, begin, end, token, trigger, sentence = match.groups()
        return cls(
            part or "all",  # type: ignore[arg-type]
            int(begin or 0),
            int(end) if end else None,
            None if token is None else json.loads(token),
            None if trigger is None else json.loads(trigger),
            sentence,  # type: ignore[arg-type]
        )

    @classmethod
    def of(cls, scope: Scope | str) -> Scope:
        """A scope, or the scope that a text names."""
        return scope if isinstance(scope, Scope) else cls.parse(scope)

    @property
    def by_tokens(self) -> bool:
        """Whether the tokens of a row decide, too."""
        return any(value is not None for value in (self.from_token, self.from_text, self.sentence))

    @property
    def conditional(self) -> bool:
        """Whether positions alone do not decide, so that nothing may be selected in some rows."""
        return self.by_tokens or self.gate is not None

    def __str__(self) -> str:
        window = "" if (self.begin, self.end) == (0, None) else f"[{self.begin}:{'' if self.end is None else self.end}]"
        token = "" if self.from_token is None else f" from token {json.dumps(self.from_token)}"
        text = "" if self.from_text is None else f" from text {json.dumps(self.from_text)}"
        sentence = "" if self.sentence is None else f" at sentence {self.sentence}"
        gate = "" if self.gate is None else f" where a probe is above {self.gate.threshold:g}"
        return f"{self.part}{window}{token}{text}{sentence}{gate}"


EVERYWHERE = Scope()
