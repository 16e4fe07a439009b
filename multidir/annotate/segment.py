"""Sentences as exact character spans: decimals, abbreviations, lists, quotations, ellipses and code survive.

A line break always ends a sentence, because reasoning traces are not hard-wrapped; a fenced code block is one
sentence. Within a line, a run of `.`, `!`, `?` or an ellipsis ends a sentence when what follows starts like one.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_STOP = re.compile(r"(?:\.{2,}|\u2026|[.!?]+|[\u3002\uff01\uff1f])[\"'\u201d\u2019)\]*_]*(?=\s)")
_LIST_MARK = re.compile(r"\s*(?:[-*+\u2022]\s+)?(?:\*\*)?\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})[.)]\Z")
_OPENS = re.compile(r"[\"'\u201c\u2018(\[*_$\\`]*(?:[A-Z\u00c0-\u00de0-9\u221a]|[^\x00-\x7f])")
_LAST_WORD = re.compile(r"([^\s(\[\"'\u201c*]+)\Z")
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]\.?")
_OPENERS = frozenset(
    re.findall(
        r"\w+",
        "A Also An And Another At But For He Her Here His However I If In It Its Let Maybe My No Now On Or Our She So "
        "That The Then There These They This Those Thus Wait We What When Where Why With Yes You",
    )
)
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\w+",
        "approx cf ch dept dr ed eds eq eqs est fig figs gen hr jr lt max min mr mrs ms mt no nos p pp prof ref "
        "resp rev sec sq sr st univ viz vol vs",
    )
)
_MID_SENTENCE = frozenset(["e.g", "i.e", "a.k.a", "viz", "cf", "vs"])


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Sentences of a text.

    Args:
        text: Any text.
    Returns:
        (start, end) of each sentence: in order, without overlap, without surrounding space, and together
        covering every character that is not white space.
    """
    spans: list[tuple[int, int]] = []
    position = 0
    for fence in _FENCE.finditer(text):
        spans += _plain(text, position, fence.start())
        spans += _trimmed(text, fence.start(), fence.end())
        position = fence.end()
    return spans + _plain(text, position, len(text))


def _plain(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Sentences of a stretch without fenced code."""
    spans: list[tuple[int, int]] = []
    for line in re.finditer(r"[^\r\n\v\f\u0085\u2028\u2029]+", text[start:end]):
        spans += _line(text, start + line.start(), start + line.end())
    return spans


def _line(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Sentences of one line."""
    code = [match.span() for match in _CODE.finditer(text, start, end)]
    spans: list[tuple[int, int]] = []
    begin = start
    for stop in _STOP.finditer(text, start, end):
        inside = any(low < stop.start() < high for low, high in code)
        if not inside and _ends_sentence(text[begin : stop.start()], stop[0], text[stop.end() : end].lstrip()):
            spans += _trimmed(text, begin, stop.end())
            begin = stop.end()
    return spans + _trimmed(text, begin, end)


def _ends_sentence(before: str, mark: str, after: str) -> bool:
    """Whether a stop between two stretches of one line ends the sentence."""
    if not after:
        return True
    if _OPENS.match(after) is None:
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    if _LIST_MARK.match(before + ".") and not before.strip().isalpha():
        return False
    last = _LAST_WORD.search(before)
    return last is None or not _is_abbreviation(last[1], after)


def _is_abbreviation(word: str, after: str) -> bool:
    """Whether `word.` is an abbreviation that the sentence goes on after."""
    plain = word.lower()
    if plain in _MID_SENTENCE:
        return True
    following = re.match(r"[A-Za-z]+|\d", after)
    next_word = following[0] if following else ""
    if plain in ("no", "nos", "p", "pp", "fig", "figs", "eq", "eqs", "sec", "ch", "vol", "min", "max", "ed", "ref"):
        return next_word.isdigit()
    if plain in _ABBREVIATIONS:
        return next_word not in _OPENERS
    return _INITIALS.fullmatch(word + ".") is not None and next_word not in _OPENERS


def _trimmed(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span without surrounding space, or nothing when only space is left."""
    body = text[start:end]
    left = len(body) - len(body.lstrip())
    return [(start + left, start + len(body.rstrip()))] if body.strip() else []
