"""Settings shared by all recipes: the half that may change numbers is hashed, the half that may not is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from multidir.errors import ConfigError


@dataclass(frozen=True)
class Compute:
    """Where and how fast, never what: none of this may change a conclusion."""

    runs: Path = Path("runs")
    """Folder that holds the run folders."""
    device: str = "auto"
    """`auto` (CUDA when there is one), `cpu`, `cuda`, `cuda:1`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights in memory; `auto`: bfloat16 on CUDA, float32 on a CPU."""
    batch_rows: int = 256
    """Sequences that are generated together."""
    batch_tokens: int = 16384
    """Tokens of one forward pass while activations are captured."""
    compile_blocks: bool = False
    """Compile the model's blocks while activations are captured, on a GPU only; the last bits then differ."""

    def __post_init__(self) -> None:
        """Refuse batches of nothing."""
        if self.batch_rows < 1 or self.batch_tokens < 1:
            raise ConfigError(
                f"--batch-rows is {self.batch_rows} and --batch-tokens {self.batch_tokens}; both are at least 1"
            )
