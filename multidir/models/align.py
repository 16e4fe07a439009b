"""Which characters each token wrote, exactly, from stored ids: text is never tokenised again.

A token of a byte-level BPE is a string of bytes, and a character may be spread over several tokens.
Every token that holds a byte of a character covers that character.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache

from transformers import PreTrainedTokenizerBase

from multidir.errors import AlignmentError
from multidir.records.text import Trace

Span = tuple[int, int]


def decode_text(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """The text of some tokens: special tokens left out, nothing tidied up."""
    return str(tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def token_spans(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], text: str | None = None) -> list[Span]:
    """Half-open character span of each token in `decode_text` of all of them.

    A special token has an empty span. Neighbours overlap only where they share a character. Bytes
    that are not valid UTF-8 become replacement characters, as in the decoder.

    Args:
        text: what the ids should decode to; checked when given.
    Raises:
        AlignmentError: the spans do not rebuild the decoded text, or `text` is another one.
    """
    pieces = token_bytes(tokenizer, token_ids)
    rebuilt, starts, ends = _characters(b"".join(pieces))
    decoded = decode_text(tokenizer, token_ids)
    for name, other in (("decodes to", decoded), ("is said to be", decoded if text is None else text)):
        if rebuilt != other:
            pairs = enumerate(zip(rebuilt, other, strict=False))
            at = next((i for i, (a, b) in pairs if a != b), min(len(rebuilt), len(other)))
            raise AlignmentError(
                f"tokens and text differ from character {at}: the tokens hold {rebuilt[at : at + 20]!r}, "
                f"the text {name} {other[at : at + 20]!r}"
            )
    spans, offset = [], 0
    for piece in pieces:
        end = offset + len(piece)
        spans.append((starts[offset], ends[end - 1]) if piece else (ends[offset - 1] if offset else 0,) * 2)
        offset = end
    return spans


def chars_to_tokens(spans: Sequence[Span], char_start: int, char_end: int) -> Span:
    """Half-open token span that covers `text[char_start:char_end]`.

    Raises:
        AlignmentError: the characters are empty or not covered by any token.
    """
    first = bisect_right(spans, char_start, key=lambda span: span[1])
    last = bisect_left(spans, char_end, key=lambda span: span[0])
    if char_start >= char_end or first >= last or spans[last - 1][1] < char_end:
        length = spans[-1][1] if spans else 0
        raise AlignmentError(f"no tokens cover characters {char_start}:{char_end}; the tokens hold {length} characters")
    return first, last


def trace_token_spans(tokenizer: PreTrainedTokenizerBase, trace: Trace, spans: Sequence[Span]) -> list[Span]:
    """Absolute token span (the first prompt token is 0) of each character span of `trace.text`.

    Raises:
        AlignmentError: the trace's ids do not spell its text, or a span lies outside; the trace is named.
    """
    try:
        tokens = token_spans(tokenizer, trace.token_ids[trace.n_prompt :], trace.text)
        found = [chars_to_tokens(tokens, start, end) for start, end in spans]
    except AlignmentError as error:
        raise AlignmentError(f"trace {trace.id}: {error}") from error
    return [(first + trace.n_prompt, last + trace.n_prompt) for first, last in found]


@cache
def _byte_of() -> dict[str, int]:
    """The printable stand-in that byte-level vocabularies use for each byte, inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(hidden)}


def token_bytes(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int], special: bytes = b"") -> list[bytes]:
    """What each token writes; special tokens write `special`.

    Raises:
        AlignmentError: an id that is not in the vocabulary.
    """
    ids = [int(token) for token in token_ids]
    added = tokenizer.added_tokens_decoder
    names = tokenizer.convert_ids_to_tokens(ids)
    table, pieces = _byte_of(), []
    byte_level = all(char in table for name, i in zip(names, ids, strict=True) if i not in added for char in name or "")
    for name, index in zip(names, ids, strict=True):
        if name is None:
            raise AlignmentError(f"token id {index} is not in the tokenizer's vocabulary of {len(tokenizer)}")
        if index in added:
            pieces.append(special if added[index].special else added[index].content.encode())
        else:
            pieces.append(bytes(table[char] for char in name) if byte_level else _fallback_bytes(name))
    return pieces


def _fallback_bytes(name: str) -> bytes:
    """Bytes of a SentencePiece token: a bar below stands for a space, <0x0A> for a byte."""
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes([int(name[3:5], 16)])
    return name.replace("\u2581", " ").encode()


def _characters(data: bytes) -> tuple[str, list[int], list[int]]:
    """Decoded text, and for every byte the index of the first character it holds and one past its last."""
    text: list[str] = []
    starts: list[int] = []
    count = position = 0
    while position < len(data):
        try:
            good, bad = data[position:].decode(), 0
        except UnicodeDecodeError as error:
            good, bad = data[position : position + error.start].decode(), error.end - error.start
        for char in good:
            starts += [count] * len(char.encode())
            count += 1
        if bad:
            good += "\N{REPLACEMENT CHARACTER}"
            starts += [count] * bad
            count += 1
        text.append(good)
        position = len(starts)
    return "".join(text), starts, [start + 1 for start in starts]
