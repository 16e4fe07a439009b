"""Replacing special tokens that the other model of a pair does not know, one id by one id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from multidir.errors import AlignmentError, FormatError


class SpecialMap:
    """Token id -> the id that the other model reads in its place, or None: *there is no good one*.

    One id becomes one id, so that positions, spans and labels stay valid for both models. A sequence
    with an id mapped to None, or outside the vocabulary, is not usable and says why.
    """

    def __init__(self, table: Mapping[int, int | None] | None = None) -> None:
        self.table: dict[int, int | None] = {int(k): None if v is None else int(v) for k, v in (table or {}).items()}

    def __len__(self) -> int:
        return len(self.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpecialMap) and self.table == other.table

    __hash__ = None  # type: ignore[assignment]

    def apply(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The same number of ids, with the known ones replaced.

        Raises:
            AlignmentError: an id has no replacement; ask `problems` first.
        """
        mapped = [self.table.get(token, token) for token in ids]
        if None in mapped:
            place = mapped.index(None)
            raise AlignmentError(f"token {ids[place]} at position {place} has no counterpart; see SpecialMap.problems")
        return tuple(token for token in mapped if token is not None)

    def problems(self, ids: Sequence[int], vocab_size: int) -> list[str]:
        """Why this sequence cannot be shown to the other model; empty when it can. One reason per distinct id."""
        reasons: dict[int, str] = {}
        for place, token in enumerate(ids):
            target = self.table.get(token, token)
            if target is None:
                reasons.setdefault(token, f"token {token} at position {place} has no counterpart in the special map")
            elif not 0 <= target < vocab_size:
                named = f"token {token}" if target == token else f"token {token}, mapped to {target},"
                reasons.setdefault(token, f"{named} at position {place} is outside the vocabulary of {vocab_size}")
        return list(reasons.values())

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        text = json.dumps({str(key): self.table[key] for key in sorted(self.table)}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> SpecialMap:
        """Read a table from JSON: an object of id -> id or null.

        Raises:
            FormatError: not such an object.
        """
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(table, dict) or not all(v is None or isinstance(v, int) for v in table.values()):
                raise ValueError("expected an object of token id to token id or null")
            return cls({int(key): value for key, value in table.items()})
        except (OSError, ValueError) as error:
            raise FormatError(f"special map {path} cannot be read: {error}") from error


def differing_ids(
    source: PreTrainedTokenizerBase, target: PreTrainedTokenizerBase
) -> dict[int, tuple[str, str | None]]:
    """Ids that two tokenizers read differently: id -> (token in source, token in target or None).

    What an explicit map has to cover before the ids of one model are shown to the other. A token that begins or
    ends a text in both is the same token, whatever it is called.
    """
    theirs = {index: token for token, index in target.get_vocab().items()}
    ours = {index: token for token, index in source.get_vocab().items()}
    shared = {(source.bos_token_id, target.bos_token_id), (source.eos_token_id, target.eos_token_id)}
    return {
        index: (token, theirs.get(index))
        for index, token in sorted(ours.items())
        if theirs.get(index) != token and (index, index) not in shared
    }
