"""Problems of the ten worlds, split by hash into training and held-out ones."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from multidir.organism.worlds import World

LENGTHS = (3, 4, 5, 6)
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Problem:
    """A start state and the operations that follow it."""

    world: World
    start: str
    ops: tuple[str, ...]

    @property
    def text(self) -> str:
        """The prompt, such as "You face north. 1 turn left. 2 turn around. Which way do you face?"."""
        ops = " ".join(f"{k} {op}." for k, op in enumerate(self.ops, 1))
        return f"{self.world.given.format(state=self.start)} {ops} {self.world.question}"

    @property
    def answer(self) -> str:
        """The state after all operations."""
        state = self.start
        for op in self.ops:
            state = self.world.after(op, state)
        return state

    @property
    def held_out(self) -> bool:
        """Whether the hash of the text puts this problem outside the training corpus."""
        digest = hashlib.sha256(self.text.encode()).digest()
        return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


@dataclass(frozen=True)
class PromptRow:
    """One line of the prompt file."""

    id: str
    category: str
    problem: str
    answer: str


def draw(world: World, rng: Random) -> Problem:
    """A random problem of 3 to 6 operations."""
    n = rng.choice(LENGTHS)
    return Problem(world, rng.choice(world.states), tuple(rng.choice(world.ops) for _ in range(n)))


def draw_split(world: World, rng: Random, held_out: bool) -> Problem:
    """A random problem of one side of the split."""
    while True:
        problem = draw(world, rng)
        if problem.held_out == held_out:
            return problem


def held_out_prompts(worlds: Sequence[World], per_category: int, seed: int) -> list[PromptRow]:
    """Distinct held-out problems, `per_category` of each world."""
    rows = []
    for world in worlds:
        rng, seen = Random(f"prompts {seed} {world.category}"), dict[str, str]()
        while len(seen) < per_category:
            problem = draw_split(world, rng, held_out=True)
            seen.setdefault(problem.text, problem.answer)
        for n, (text, answer) in enumerate(seen.items()):
            rows.append(PromptRow(f"{world.category}_{n}", world.category, text, answer))
    return rows


def write_prompts(rows: Iterable[PromptRow], file: Path) -> None:
    """One JSON object per line."""
    file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")


def read_prompts(file: Path) -> list[PromptRow]:
    """The rows of a prompt file."""
    return [PromptRow(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines() if line]
