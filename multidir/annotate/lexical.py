"""Labels from words alone: keyword counts by both published rules, and a rule-based annotator of six labels.

Against GPT-4o's labels of the published traces (rules were written on traces 0, 2, 4, ...; the figures are for the
other 150 traces with 2885 sections, 96 of them backtracking; 95 % intervals resample traces):

    backtracking        precision 0.50 [0.39, 0.62]   recall 0.58 [0.47, 0.70]   F1 0.54 [0.44, 0.64]
    the word "wait"     precision 0.40                recall 0.58                F1 0.47
    six labels          same label 0.59, Cohen's kappa 0.38 [0.35, 0.40]

The rules find turning points that announce themselves. Half of what they find GPT-4o files elsewhere, mostly under
uncertainty-estimation, and a silent change of approach escapes them. Compare conditions with them; do not state a rate.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from multidir.annotate.base import LabelledSpan
from multidir.annotate.lexical_rules import GOES_ON, OTHERS, TURN, WAIT
from multidir.annotate.segment import split_sentences
from multidir.annotate.text_measures import word_spans, words
from multidir.errors import ConfigError

KeywordRule = Literal["word", "substring"]
"""`word`: whole words only. `substring`: also inside words ("waiting", "await"), as the published code counts."""


def classify(sentence: str) -> str | None:
    """Label of one sentence by its words; None when it has none (a rule, a formula mark, an empty fence)."""
    lowered = sentence.lower().replace("\u2019", "'").strip()
    if not words(lowered):
        return None
    if TURN.search(lowered) or (WAIT.search(lowered) and not GOES_ON.search(lowered)):
        return "backtracking"
    return next((label for label, rule in OTHERS if rule.search(lowered)), "deduction")


class LexicalAnnotator:
    """Six labels per sentence from word patterns; deterministic, offline, English only."""

    name = "lexical/1"

    def label(self, text: str) -> list[LabelledSpan]:
        """Sentences of the text with their labels."""
        return [LabelledSpan(start, end, classify(text[start:end])) for start, end in split_sentences(text)]


class KeywordAnnotator:
    """The paper's keyword judge: a sentence with one of the words is `backtracking`, any other is `other`.

    Source: arXiv 2507.12638, appendix C.
    """

    def __init__(self, keywords: Sequence[str] = ("wait",)) -> None:
        self.keywords = tuple(keywords)
        self.name = f"keyword/{'+'.join(self.keywords)}"

    def label(self, text: str) -> list[LabelledSpan]:
        """Sentences of the text with their labels."""
        return [
            LabelledSpan(a, b, "backtracking" if keyword_count(text[a:b], self.keywords) else "other")
            for a, b in split_sentences(text)
        ]


def keyword_count(text: str, keywords: Sequence[str], rule: KeywordRule = "word") -> int:
    """How often any of the keywords occurs, upper and lower case alike.

    Args:
        text: Any text.
        keywords: For example `("wait", "hmm")`.
        rule: Whole words, or inside words too.
    Raises:
        ConfigError: no keyword, an empty one, or an unknown rule.
    Source: arXiv 2507.12638, Eq. 1 (rule "word"); its code counts by "substring".
    """
    return len(_pattern(keywords, rule).findall(text))


def _pattern(keywords: Sequence[str], rule: KeywordRule) -> re.Pattern[str]:
    if not keywords or not all(keyword.strip() for keyword in keywords):
        raise ConfigError(f"keywords must be words, got {list(keywords)!r}")
    if rule not in ("word", "substring"):
        raise ConfigError(f"no keyword rule {rule!r}; there are word and substring")
    either = "|".join(re.escape(keyword) for keyword in sorted(keywords, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)" if rule == "word" else either, re.IGNORECASE)


def capped_keyword_count(text: str, keywords: Sequence[str], cap: int = 1) -> int:
    """Keywords by whole words, with repetition taken out: what is left of a count when a loop made it.

    A run of one keyword ("wait, wait, wait") counts once. A keyword between the same two neighbouring words
    counts at most `cap` times in the whole text, so that each further round of a loop adds nothing.

    Args:
        text: Any text.
        keywords: As in `keyword_count`.
        cap: Most counts for one keyword between one pair of neighbours.
    Raises:
        ConfigError: as `keyword_count`, or a cap below 1.
    """
    if cap < 1:
        raise ConfigError(f"a repeat cap is at least 1, got {cap}")
    spans = word_spans(text)
    starts, ends = [span[0] for span in spans], [span[1] for span in spans]
    seen: Counter[tuple[str, str, str]] = Counter()
    for match in _pattern(keywords, "word").finditer(text):
        found, last = match[0].lower(), bisect_right(ends, match.start()) - 1
        before = spans[last][2] if last >= 0 else ""
        if before == found:  # the first of the run has been counted
            continue
        following = (spans[place][2] for place in range(bisect_left(starts, match.end()), len(spans)))
        seen[before, found, next((word for word in following if word != found), "")] += 1
    return sum(min(count, cap) for count in seen.values())
