"""Reads text of the small language back: exact labels and the two causes of every step.

The counterpart of `solutions`: what one writes the other reads, so the tiny pair needs no judge. It reads
generated text just as well, and says of every sentence whether it belongs to the language at all.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from multidir.organism import wording as w
from multidir.organism.worlds import load_worlds, transitions

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_SEPARATOR = re.compile(r"</?think>|####|<\|[^|]*\|>")


@dataclass(frozen=True)
class StepFacts:
    """What a step says, and whether it is right.

    `mistaken` compares the result with the table for the operation and source as written: a step that
    starts from an earlier wrong state is not itself a mistake.
    """

    number: int
    again: bool
    op: str
    source: str
    result: str
    hesitates: bool
    mistaken: bool


@dataclass(frozen=True)
class ParsedSentence:
    """One sentence: `text[start:end]`, its kind and label, and its facts if it is a step.

    `kind` is None for a sentence that is not in the language; `label` is None for those and for the
    marks and remarks of the base corpus.
    """

    start: int
    end: int
    kind: str | None
    label: str | None
    step: StepFacts | None = None


def parse(text: str) -> list[ParsedSentence]:
    """Sentences of a text in order; separators and special tokens belong to none."""
    return [_read(text[start:end], start, end) for start, end in spans(text)]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every sentence, without the white space around it."""
    blanked = _SEPARATOR.sub(lambda mark: "\n" * len(mark.group()), text)
    for found in _SENTENCE.finditer(blanked):
        body = found.group()
        if body.strip():
            start = found.start() + len(body) - len(body.lstrip())
            yield start, start + len(body.strip())


def step_outcomes(sentences: Sequence[ParsedSentence]) -> list[tuple[StepFacts, bool]]:
    """Every step with whether the very next sentence takes it back; a step that ends the text is left out."""
    pairs = pairwise(sentences)
    return [(a.step, b.kind == "backtrack") for a, b in pairs if a.step is not None]


def answered(text: str) -> str | None:
    """The state that the last answer of a text names; None where it gives none."""
    found = None
    for body in (text[start:end] for start, end in spans(text)):
        for kind, pattern in _patterns():
            if kind == "answer" and (match := pattern.fullmatch(body)):
                found = match["source"]
    return found


def _read(body: str, start: int, end: int) -> ParsedSentence:
    for kind, pattern in _patterns():
        found = pattern.fullmatch(body)
        if found is None:
            continue
        if kind != "step":
            return ParsedSentence(start, end, kind, w.LABELS.get(kind))
        step = _facts(found.groupdict())
        if step is not None:
            kind = "hesitant" if step.hesitates else "sure"
            return ParsedSentence(start, end, kind, w.LABELS[kind], step)
    return ParsedSentence(start, end, None, None)


def _facts(said: dict[str, str | None]) -> StepFacts | None:
    """None if the operation does not exist in the world of the source state."""
    op, source, result = str(said["op"]), str(said["source"]), str(said["result"])
    right = _transitions().get((op, source))
    if right is None:
        return None
    again, doubt = said["again"] is not None, said["doubt"] is not None
    return StepFacts(int(said["number"] or 0), again, op, source, result, doubt, result != right)


@cache
def _transitions() -> dict[tuple[str, str], str]:
    return transitions(load_worlds())


def _any(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _form(template: str, fields: dict[str, str]) -> str:
    """A template as a pattern with one named group per field."""
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{p}>{fields[p]})" if i % 2 else re.escape(p) for i, p in enumerate(parts))


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    worlds = load_worlds()
    state = _any([s for world in worlds for s in world.states])
    op = _any([o for world in worlds for o in world.ops])
    fields = {"source": state, "result": state, "op": op, "filler": _any(w.FILLERS)}
    head = (
        rf"(?:{_any(list(w.HEADS.values()))}) (?P<number>\d+)(?P<again> again)?: (?:(?P<doubt>{_any(w.HESITATIONS)}) )?"
    )
    said, where = f"(?:{_any(w.OBJECTIONS)})", f"(?:{_any(w.RETURNS)})"
    taken_back = rf"(?:{_any(list(w.OPENERS))}) {said}, so {where} (?:{state}) (?:{_any(w.FILLERS)})\."
    mark = f"(?:{_any(list(w.MARKS.values()))})"
    plain = {"begin": w.BEGINNINGS, "fact": w.FACTS, "example": w.EXAMPLES, "answer": w.ANSWERS}
    rows = [("step", head + _form(form, fields)) for pair in w.STEPS for form in pair]
    rows += [(kind, _form(form, fields)) for kind, forms in plain.items() for form in forms]
    rows += [("backtrack", taken_back), ("mark", rf"{mark}\."), ("header", re.escape(w.HEADER))]
    rows += [("remark", r"Remarks: \d+ guess(?:es)? and \d+ mistakes?\.")]
    rows += [("remark", rf"Marks: \d+ {mark}(?:, \d+ {mark})*\.")]
    return tuple((kind, re.compile(pattern)) for kind, pattern in rows)
