"""Settings shared by all recipes: the half that may change numbers is hashed, the half that may not is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.errors import ConfigError


@dataclass(frozen=True)
class Calls:
    """How a model behind an API is called: how fast and for how much, never what it is asked."""

    workers: int = 8
    """Calls at the same time."""
    retries: int = 5
    """Further tries after a time-out, a rate limit or an error of the server; each waits longer, or as told."""
    timeout_seconds: float = 120.0
    """How long one try may take."""
    max_usd: float = 10.0
    """Hard spend cap of one run in US dollars, restarts included: a call that might cross it is not made."""
    price: tuple[float, float] | None = None
    """US dollars per million tokens read and written; none: from data/prices.toml. A server of your own: 0 0."""
    batch_api: bool = False
    """Send the calls as batch jobs: half the price, answers within a day."""
    poll_seconds: float = 30.0
    """How often a batch job is asked whether it is done."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself is no setting."""
    answers: Path | None = None
    """Folder in which answers are kept, so that none is paid for twice; none: the user's cache folder."""

    def __post_init__(self) -> None:
        """Refuse numbers that no call could be made with."""
        if self.workers < 1 or self.retries < 0 or self.timeout_seconds <= 0:
            raise ConfigError(
                f"--workers is {self.workers}, --retries {self.retries}, --timeout-seconds {self.timeout_seconds}; "
                "they are at least 1, at least 0 and above 0"
            )
        if self.max_usd < 0 or min(self.price or (0.0,)) < 0:
            raise ConfigError(f"--max-usd is {self.max_usd} and --price {self.price}; neither can be negative")


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
    """Sequences that are generated together, at most: never more than fit into free memory."""
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


@dataclass(frozen=True)
class PaidCompute(Compute):
    """Where and how fast, for recipes that may call a model behind an API."""

    calls: Calls = field(default_factory=Calls)
    """Calls to a model behind an API."""
