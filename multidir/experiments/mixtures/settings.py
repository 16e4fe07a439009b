"""Settings of learned mixtures: how weights are sought, by gradient and on whole texts, and how they are confirmed."""

from __future__ import annotations

from dataclasses import dataclass, field

from multidir.errors import ConfigError
from multidir.experiments.settings import Scoring

MOST = 64
"""Directions that are mixed at most."""


@dataclass(frozen=True)
class Learning:
    """How weights are learned by gradient."""

    budget: float = 0.5
    """95th percentile, over other sentences, of the divergence that every contender is brought to, in nats."""
    kl_price: float = 1.0
    """Log-odds that a nat of mean divergence elsewhere costs while learning."""
    path: tuple[float, ...] = (0.7, 0.5, 0.35, 0.2, 0.1, 0.05)
    """Prices of a used direction, as shares of the price at which none is used: the sparse frontier."""
    texts: int = 48
    """Texts with the behaviour that are read, evenly spaced over those that there are."""
    steps: int = 24
    """Gradient steps of each mixture."""
    rate: float = 0.02
    """Of the first step of learning, in multiples of the mean residual norm."""
    held_out: float = 0.4
    """Share of the prompts of these texts that is measured on and not learned from."""

    def __post_init__(self) -> None:
        """Refuse settings with which nothing can be learned or measured."""
        if min(self.budget, self.rate) <= 0 or self.kl_price < 0 or min(self.texts, self.steps) < 1:
            raise ConfigError(
                f"--budget {self.budget:g} and --rate {self.rate:g} are above 0, --kl-price {self.kl_price:g} is not "
                f"negative, --texts {self.texts} and --steps {self.steps} are at least 1"
            )
        if not all(0 < share < 1 for share in (*self.path, self.held_out)):
            raise ConfigError(f"--path {self.path} and --held-out {self.held_out:g} are shares between 0 and 1")


@dataclass(frozen=True)
class Whole:
    """Whole texts that confirm: problems and seeds that nothing was chosen on."""

    split: str = "confirm"
    """Problems of data/prompts, where they are given; without them no text is written."""
    search_split: str = "search"
    """Problems on which the search by CMA-ES chooses, and what it finds is seen to be too good."""
    problems: int = 0
    """Problems of the split, evenly spaced; 0: all."""
    search_problems: int = 20
    """Problems of the search's split, evenly spaced; 0: all."""
    budgets: tuple[float, ...] = (0.5, 2.0)
    """Further divergences at which contenders write, in multiples of the budget: the front."""
    singles: int = 2
    """Single directions that write: those that did best where weights were learned."""
    rollouts: int = 1
    """Texts per problem and contender."""
    max_new_tokens: int = 200
    """Length limit, in tokens."""
    generations: int = 0
    """Of a search for weights by CMA-ES, which sees whole texts alone; 0: none. Needs the package cmaes."""
    population: int = 6
    """Mixtures of a generation; 4 at least, for CMA-ES learns its shape from the better half."""
    spread: float = 0.5
    """Of the first generation's weights around equal ones, in multiples of them."""
    loop_price: float = 2.0
    """Log-odds that texts cost the search if all of them loop."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    text_seed: int = 10
    """Of the texts that confirm; the search has the next one."""

    @property
    def seed(self) -> int:
        """What recipes that steer call it."""
        return self.text_seed

    def __post_init__(self) -> None:
        """Refuse a search or a front of nothing."""
        least = (self.problems, self.search_problems, self.generations, self.singles)
        if min(least) < 0 or self.population < 4 or self.rollouts < 1 or self.spread <= 0 or self.loop_price < 0:
            raise ConfigError(
                "--problems, --search-problems, --generations and --singles are 0 or more, --population is at least 4, "
                "--rollouts at least 1, --spread above 0 and --loop-price not negative; got "
                f"{', '.join(map(str, least))}, {self.population}, {self.rollouts}, {self.spread} and {self.loop_price}"
            )
        if any(times <= 0 for times in self.budgets):
            raise ConfigError(f"--budgets {self.budgets} are multiples above 0")
