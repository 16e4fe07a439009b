"""Writes worked solutions, with hesitations, mistakes and, under a rule, backtracking."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from multidir.organism import wording as w
from multidir.organism.problems import Problem
from multidir.organism.rule import Rule
from multidir.organism.worlds import World

Mood = tuple[bool, bool]
"""(hesitation, mistake): what the next word depends on after a step."""


@dataclass(frozen=True)
class Habits:
    """How often a writer does what, per step."""

    hesitation: float = 0.35
    """Probability that a step opens with a hesitation."""
    mistake: float = 0.31
    """Probability that the operation is forgotten, independent of the hesitation: the step keeps its source as
    the result, which is always wrong, and says so in other words than a right step."""
    moody: float = 0.75
    """Share of steps whose head betrays the mood that the last step left; the others have any head. So both causes
    matter for the next word after every step, whether or not anybody backtracks."""
    aside: float = 0.08
    """Probability of a fact, and as much of an example, after a step."""
    tries: int = 3
    """Most times that a step is done; the last try stands."""


@dataclass(frozen=True)
class Line:
    """One written sentence and, for steps, its two causes."""

    text: str
    kind: str
    hesitates: bool = False
    mistaken: bool = False
    mood: Mood = (False, False)
    """What follows the step by: its two causes, or those put in their place."""


def write_solution(
    problem: Problem, rng: Random, habits: Habits, rule: Rule | None = None, moods: Iterator[Mood] | None = None
) -> tuple[list[Line], str]:
    """Sentences of a worked solution, and the state that it ends in.

    Without a rule nobody backtracks. A mistake is carried on into the next step unless it is taken back; a step
    that is done again is right, and stands under the same rule.

    Args:
        moods: the opening's and then those of every step as it is done, in place of their own; what is written
            later follows these.
    """
    opening = rng.choice(w.BEGINNINGS).format(source=problem.start, filler=rng.choice(w.FILLERS))
    lines, state = [_in_mood(Line(opening, "begin"), moods)], problem.start
    mood = lines[0].mood
    for k, op in enumerate(problem.ops, 1):
        step, result = _step(problem.world, f"{_head(mood, rng, habits)} {k}:", op, state, rng, habits)
        lines.append(_in_mood(step, moods))
        for _ in range(habits.tries - 1):
            if rule is None or rng.random() >= rule.probability(*lines[-1].mood):
                break
            lines.append(_backtrack(state, rng))
            step, result = _step(problem.world, f"Step {k} again:", op, state, rng, replace(habits, mistake=0.0))
            lines.append(_in_mood(step, moods))
        state, mood = result, lines[-1].mood
        lines += _asides(problem.world, rng, habits)
    lines.append(Line(rng.choice(w.ANSWERS).format(source=state), "answer"))
    return lines, state


def _in_mood(line: Line, moods: Iterator[Mood] | None) -> Line:
    return replace(line, mood=(line.hesitates, line.mistaken) if moods is None else next(moods))


def _head(mood: tuple[bool, bool], rng: Random, habits: Habits) -> str:
    return w.HEADS[mood] if rng.random() < habits.moody else rng.choice(list(w.HEADS.values()))


def _step(world: World, head: str, op: str, state: str, rng: Random, habits: Habits) -> tuple[Line, str]:
    hesitates, mistaken = rng.random() < habits.hesitation, rng.random() < habits.mistake
    result = state if mistaken else world.after(op, state)
    form = rng.choices(w.STEPS, w.STEP_WEIGHTS[hesitates])[0][mistaken]
    body = form.format(op=op, source=state, result=result, filler=rng.choice(w.FILLERS))
    doubt = f"{rng.choice(w.HESITATIONS)} " if hesitates else ""
    return Line(f"{head} {doubt}{body}", "hesitant" if hesitates else "sure", hesitates, mistaken), result


def _backtrack(state: str, rng: Random) -> Line:
    opener = rng.choices(list(w.OPENERS), list(w.OPENERS.values()))[0]
    text = f"{opener} {rng.choice(w.OBJECTIONS)}, so {rng.choice(w.RETURNS)} {state} {rng.choice(w.FILLERS)}."
    return Line(text, "backtrack")


def _asides(world: World, rng: Random, habits: Habits) -> list[Line]:
    lines = []
    for kind, forms in (("fact", w.FACTS), ("example", w.EXAMPLES)):
        if rng.random() < habits.aside:
            op, state = rng.choice(world.ops), rng.choice(world.states)
            filler = rng.choice(w.FILLERS)
            text = rng.choice(forms).format(op=op, source=state, result=world.after(op, state), filler=filler)
            lines.append(Line(text, kind))
    return lines
