"""Which token positions a scope covers, as a half-open range of absolute positions."""

from __future__ import annotations

import torch

from multidir.errors import ConfigError
from multidir.records.intervention import Scope

END = torch.iinfo(torch.long).max
"""Position after every token."""


def window(scope: Scope, n_prompt: int) -> tuple[int, int]:
    """Half-open range of absolute positions that a scope edits.

    `generated` begins at the last prompt position, because that one makes the first new token.

    Raises:
        ConfigError: unknown scope.
    """
    if scope not in ("all", "prompt", "generated"):
        raise ConfigError(f"no scope {scope!r}; there are all, prompt and generated")
    return {"all": (0, END), "prompt": (0, n_prompt), "generated": (n_prompt - 1, END)}[scope]
