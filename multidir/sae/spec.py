"""What a dictionary is to be, and how it is trained: two frozen records that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from multidir.errors import ConfigError

Architecture = Literal["topk", "batchtopk", "jumprelu", "matryoshka", "standard", "crosscoder"]

BY_COUNT: frozenset[str] = frozenset({"topk", "batchtopk", "matryoshka", "crosscoder"})
"""Architectures that keep a given number of latents; the others are held to their sparsity by a loss."""


@dataclass(frozen=True)
class DictionarySpec:
    """One dictionary."""

    architecture: Architecture
    d: int
    """Width of what it reads; for a crosscoder the two models' widths together."""
    width: int
    """Latents."""
    k: int
    """Mean number of active latents per token that is aimed at."""
    seed: int = 0
    """Seed of the initial weights."""
    nested: tuple[int, ...] = ()
    """Matryoshka: sizes of the inner dictionaries, ascending; the whole one is added."""

    def __post_init__(self) -> None:
        """Refuse sizes that contradict each other."""
        if self.architecture not in get_args(Architecture):
            raise ConfigError(f"no architecture {self.architecture!r}; there are {', '.join(get_args(Architecture))}")
        if min(self.d, self.width, self.k) < 1:
            raise ConfigError(f"a dictionary needs d, width and k of at least 1; got {self.d}, {self.width}, {self.k}")
        if self.k > self.width:
            raise ConfigError(
                f"k = {self.k} active latents per token are more than the {self.width} latents there are; "
                "lower k or raise the width"
            )
        if (self.architecture == "matryoshka") != bool(self.nested):
            raise ConfigError("nested sizes belong to a matryoshka dictionary, and it needs at least one")
        if list(self.nested) != sorted({*self.nested}) or any(not 0 < n < self.width for n in self.nested):
            raise ConfigError(f"nested sizes ascend and lie between 0 and the width {self.width}; got {self.nested}")
        if self.architecture == "crosscoder" and self.d % 2:
            raise ConfigError(f"a crosscoder reads two models of one width, so d is even; got {self.d}")

    @property
    def levels(self) -> tuple[int, ...]:
        """Sizes of the dictionaries whose reconstructions are in the loss; the whole one is the last."""
        return (*self.nested, self.width)

    @property
    def name(self) -> str:
        """Short name, unique among specs that differ in architecture, width, k and seed."""
        return f"{self.architecture}-w{self.width}-k{self.k}-s{self.seed}"


@dataclass(frozen=True)
class Training:
    """How dictionaries are trained; one record serves all that learn from one pass."""

    steps: int
    batch: int
    """Rows per step, over all processes."""
    lr: float = 3e-4
    """Peak learning rate of Adam."""
    warmup: int = 0
    """Steps of linear warm-up of the learning rate."""
    decay: float = 0.2
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    sparsity_warmup: int = 0
    """Steps over which sparsity sets in: k falls from four times its value, a sparsity loss rises from zero."""
    l1_weight: float = 1.0
    """Weight of the loss that makes `standard` sparse, on the sum of activations."""
    l0_weight: float = 1.0
    """Weight of the loss that brings `jumprelu` to k active latents; the loss is 2 k where 2 k are active."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    aux: float = 1 / 32
    """Weight of the auxiliary loss that revives dead latents; 0 turns it off."""
    aux_k: int | None = None
    """Dead latents per token in that loss; half of d when none."""
    dead_after: int = 500_000
    """Rows without an activation after which a latent counts as dead."""
    bandwidth: float = 0.1
    """Jumprelu: width of the window around a threshold in which it feels a gradient."""
    centre: Literal["median", "mean", "zero"] = "median"
    """What the decoder bias starts from: the geometric median, the mean, or zero."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train anything."""
        if min(self.steps, self.batch) < 1 or self.lr <= 0 or self.bandwidth <= 0 or self.clip <= 0:
            raise ConfigError(
                f"training needs steps and batch of at least 1, and lr, bandwidth and clip above 0; got {self.steps}, "
                f"{self.batch}, {self.lr:g}, {self.bandwidth:g} and {self.clip:g}"
            )
        if not 0 <= self.decay <= 1 or min(self.warmup, self.sparsity_warmup, self.aux, self.dead_after) < 0:
            raise ConfigError(
                f"decay is a share of the steps, warm-ups, aux and dead_after are not negative; got {self.decay:g}, "
                f"{self.warmup}, {self.sparsity_warmup}, {self.aux:g} and {self.dead_after}"
            )
        if self.warmup + self.decay * self.steps > self.steps:
            raise ConfigError(
                f"warm-up of {self.warmup} and decay over {self.decay:.0%} overlap in {self.steps} steps; "
                "lower warmup or decay, or take more steps"
            )
