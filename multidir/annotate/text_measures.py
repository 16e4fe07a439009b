"""Plain measures of a text, and the gate that tells running prose from a loop."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from itertools import groupby, pairwise

from multidir.errors import ConfigError

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


def words(text: str) -> list[str]:
    """Words in lower case: letters and digits, with inner apostrophes and hyphens; marks and symbols are none."""
    return _WORD.findall(text.lower())


def word_spans(text: str) -> list[tuple[int, int, str]]:
    """The words of `words` with where they stand: start, end, and the word in lower case."""
    return [(found.start(), found.end(), found[0].lower()) for found in _WORD.finditer(text)]


def longest_run(text: str) -> int:
    """Length of the longest run of one and the same word; 0 without words."""
    return max((sum(1 for _ in run) for _, run in groupby(words(text))), default=0)


def distinct_2(text: str) -> float | None:
    """Distinct word pairs over all word pairs, in (0, 1]; None below two words. Falls with length."""
    pairs = list(pairwise(words(text)))
    return len(set(pairs)) / len(pairs) if pairs else None


def overlap(one: str, other: str) -> float:
    """Share of word quadruples that two texts have in common, of those in either; 1 for equal words, 0 for none."""
    first, second = words(one), words(other)
    if first == second:
        return 1.0
    a, b = ({tuple(text[i : i + 4]) for i in range(len(text) - 3)} for text in (first, second))
    return len(a & b) / len(a | b) if a | b else 0.0


def zlib_ratio(text: str) -> float | None:
    """Compressed over raw bytes; low means repetitive. None for an empty text, above 1 for a very short one."""
    raw = text.encode("utf-8", errors="surrogatepass")
    return len(zlib.compress(raw, 6)) / len(raw) if raw else None


@dataclass(frozen=True)
class CoherenceGate:
    """Thresholds between text and loop; those of the words apply to the worst stretch of `window` words.

    Stretches of one length make short and long generations comparable: distinct pairs and compression both
    fall with length. Of 300 published reasoning traces the defaults pass 299 on their first 128 words and 296
    whole (the four that fail enumerate cases or print rows of numbers), and all of 500 traces of the tiny corpus.
    """

    window: int = 64
    """Words per stretch; stretches overlap by half."""
    max_run: int = 4
    """Longest allowed run of one word."""
    min_distinct_2: float = 0.5
    """Least distinct word pairs over word pairs."""
    min_zlib: float = 0.38
    """Least compressed over raw bytes."""
    min_words: int = 5
    """Below this many words a text is too short to judge."""
    min_logprob: float | None = None
    """Least mean log-probability per token under the unsteered model, in nats; None: not asked."""
    max_kl: float | None = None
    """Largest KL of the first new token's distribution, steered from unsteered, in nats; None: not asked."""

    def __post_init__(self) -> None:
        """Refuse thresholds that nothing or everything would pass."""
        if self.window < 2 or self.max_run < 1 or self.min_words < 2:
            raise ConfigError(
                f"a coherence gate needs window >= 2, max_run >= 1 and min_words >= 2; got window={self.window}, "
                f"max_run={self.max_run}, min_words={self.min_words}"
            )
        if not (0 <= self.min_distinct_2 <= 1 and 0 <= self.min_zlib <= 1):
            raise ConfigError(f"min_distinct_2 and min_zlib are shares, got {self.min_distinct_2} and {self.min_zlib}")
        if not (self.min_logprob is None or self.min_logprob <= 0) or not (self.max_kl is None or self.max_kl >= 0):
            raise ConfigError(
                f"a log-probability is at most 0 and a KL at least 0; got min_logprob={self.min_logprob}, "
                f"max_kl={self.max_kl}"
            )


def coherent(text: str, gate: CoherenceGate | None = None) -> bool | None:
    """Whether a text passes the gate; None when it is too short to tell.

    A text that passes is not thereby sensible: the gate finds repetition, the way in which steering usually
    breaks a model, and nothing else.

    Args:
        text: Generated text, without the prompt.
        gate: Thresholds; the default ones when absent.
    """
    rule = gate or CoherenceGate()
    found = list(_WORD.finditer(text.lower()))
    if len(found) < rule.min_words:
        return None
    if longest_run(text) > rule.max_run:
        return False
    step = max(rule.window // 2, 1)
    starts = range(0, max(len(found) - rule.window, 0) + step, step)
    stretches = (found[i : i + rule.window] for i in starts)
    return all(_passes(text[s[0].start() : s[-1].end()], rule) for s in stretches if len(s) >= rule.min_words)


def _passes(stretch: str, rule: CoherenceGate) -> bool:
    """One stretch against the two repetition thresholds."""
    pairs, ratio = distinct_2(stretch), zlib_ratio(stretch)
    return (pairs is None or pairs >= rule.min_distinct_2) and (ratio is None or ratio >= rule.min_zlib)
