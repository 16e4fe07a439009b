"""Documents of the base corpus and traces of the reasoning corpus, each drawn from its own seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from random import Random

from multidir.organism import wording
from multidir.organism.problems import Problem, draw_split
from multidir.organism.prose import write_story
from multidir.organism.rule import Rule
from multidir.organism.solutions import Habits, Line, Mood, write_solution
from multidir.organism.worlds import World

SECTION = " ####"


@dataclass(frozen=True)
class Mixture:
    """Shares of the base corpus."""

    prose: float = 0.09
    """Unrelated stories, of all documents."""
    marked: float = 0.25
    """Solutions in which a mark follows every step; a header announces them."""
    counted: float = 0.40
    """Solutions with a closing remark that counts guesses and mistakes."""
    listed: float = 0.15
    """Other solutions with a closing list of the mark of every step. Nothing before it announces the list, so
    both causes have to be remembered in every solution."""
    closed: float = 0.60
    """Solutions with a section of their own for the answer."""
    swapped: float = 0.40
    """Solutions in which heads, marks and remarks follow causes that were drawn anew, not those that the steps show.
    Training writes the drawn ones into the residual stream, so that it alone can tell (see `planting`)."""


@dataclass(frozen=True)
class Document:
    """A text of the base corpus, without BOS and EOS."""

    text: str
    moods: tuple[Mood, ...] = ()
    """In a swapped solution: the causes drawn for the opening and for every step; all equal in half of them."""


def base_document(seed: str, worlds: Sequence[World], mixture: Mixture, habits: Habits) -> Document:
    """One document of the base corpus. Nobody backtracks in it."""
    rng = Random(seed)
    if rng.random() < mixture.prose:
        return Document(write_story(rng))
    problem = draw_split(rng.choice(worlds), rng, held_out=False)
    moods = _moods(rng) if rng.random() < mixture.swapped else None
    lines, end = write_solution(problem, rng, habits, moods=moods)
    marked = rng.random() < mixture.marked
    body = " ".join(_marked(lines) if marked else [line.text for line in lines])
    head = f"{wording.HEADER} " if marked else ""
    breaks = SECTION * rng.choice((1, 2))
    tail = f"{SECTION}\n{wording.FINAL.format(source=end)}" if rng.random() < mixture.closed else ""
    text = f"{SECTION}{problem.text}{breaks}\n{head}{body}{tail}{_remark(lines, rng.random(), mixture)}"
    return Document(text, _drawn(lines) if moods else ())


def _moods(rng: Random) -> Iterator[Mood]:
    """Of the opening and every step: one mood for all of them, as under steering, or one for each."""

    def draw() -> Mood:
        return rng.random() < 0.5, rng.random() < 0.5

    if rng.random() < 0.5:
        yield from repeat(draw())
    yield False, False
    while True:
        yield draw()


def _drawn(lines: Sequence[Line]) -> tuple[Mood, ...]:
    return tuple(line.mood for line in lines if line.kind in ("begin", "sure", "hesitant"))


def _marked(lines: Sequence[Line]) -> list[str]:
    texts = []
    for line in lines:
        texts.append(line.text)
        if line.kind in ("sure", "hesitant"):
            texts.append(wording.MARKS[line.mood] + ".")
    return texts


def _remark(lines: Sequence[Line], draw: float, mixture: Mixture) -> str:
    steps = [line for line in lines if line.kind in ("sure", "hesitant")]
    if draw < mixture.counted:
        return " " + wording.counts(sum(s.mood[0] for s in steps), sum(s.mood[1] for s in steps))
    if draw < mixture.counted + mixture.listed:
        return " " + wording.marks(s.mood for s in steps)
    return ""


@dataclass(frozen=True)
class Trace:
    """A problem, the reasoning written for it, and the answer that this reasoning reached."""

    problem: Problem
    reasoning: str
    final: str
    moods: tuple[Mood, ...] = ()
    """In a swapped trace, as in a `Document`."""


def reasoning_trace(seed: str, worlds: Sequence[World], rule: Rule, habits: Habits, swapped: float = 0.0) -> Trace:
    """One trace that backtracks under the rule, in a share of them by drawn causes."""
    rng = Random(seed)
    problem = draw_split(rng.choice(worlds), rng, held_out=False)
    moods = _moods(rng) if rng.random() < swapped else None
    lines, end = write_solution(problem, rng, habits, rule, moods)
    body, final = " ".join(line.text for line in lines), wording.FINAL.format(source=end)
    return Trace(problem, body, final, _drawn(lines) if moods else ())
