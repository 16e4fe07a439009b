"""How a language model is finetuned: what is trained, for how long, and which stretches of traces it sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from multidir.errors import ConfigError


@dataclass(frozen=True)
class Drawing:
    """How the stretches of a step are drawn."""

    stretch: int = 192
    """Tokens of a stretch."""
    rows: int = 4
    """Stretches of a step."""
    behaviour_share: float = 0.6
    """Share of stretches that are laid around a sentence with the behaviour; the others are laid evenly."""
    draw_seed: int = 0
    """Of the drawing, and of the first low-rank additions."""

    def __post_init__(self) -> None:
        """Refuse steps without a token to learn."""
        if self.stretch < 8 or self.rows < 1 or not 0 <= self.behaviour_share <= 1:
            raise ConfigError(
                f"--stretch is {self.stretch}, --rows {self.rows}, --behaviour-share {self.behaviour_share}; they are "
                "at least 8, at least 1, and between 0 and 1"
            )


@dataclass(frozen=True)
class Tuning:
    """What is trained, and how long."""

    method: Literal["full", "lora"] = "full"
    """All weights, or low-rank additions to every linear map of the blocks (the package peft)."""
    steps: int = 400
    """Steps."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """What products are computed in; weights and moments are float32. Old CPUs are faster in float32."""
    lr: float = 2e-4
    """Peak learning rate, after a linear warm-up and before half a cosine down to a tenth. For `lora`, about 1e-3."""
    warmup: int = 20
    """Steps of warm-up."""
    weight_decay: float = 0.0
    """Decoupled decay of matrices."""
    clip: float = 1.0
    """Largest gradient norm."""
    rank: int = 16
    """Of `lora`; its additions are scaled by 2."""
    drawing: Drawing = field(default_factory=Drawing)
    """Which stretches are learnt."""

    def __post_init__(self) -> None:
        """Refuse training that is none."""
        if self.steps < 1 or self.warmup < 1 or self.rank < 1 or self.lr <= 0 or self.clip <= 0:
            raise ConfigError(
                f"--steps is {self.steps}, --warmup {self.warmup}, --rank {self.rank}, --lr {self.lr}, --clip "
                f"{self.clip}; all are above 0"
            )
