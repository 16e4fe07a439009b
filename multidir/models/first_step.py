"""How far the first new token's distribution of a row is from that of its reference row, in nats.

KL(p || q) = sum p log(p / q)      p of the row, q of the reference, before any sampling setting
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from multidir.models.logprobs import kl_divergence


class FirstStep:
    """Keeps the first log-probabilities of reference rows until every row that is compared with them has had its own.

    A reference has to begin before the rows that are compared with it, or together with them.
    """

    def __init__(self, references: Mapping[int, int]) -> None:
        """Start with nothing seen.

        Args:
            references: row -> its reference row; rows that are not in it are not measured.
        """
        self._reference = dict(references)
        self._users = Counter(references.values())
        self._known: dict[int, Tensor] = {}
        self._found: dict[int, Tensor] = {}

    def see(self, rows: Sequence[int], logits: Tensor) -> None:
        """Take the logits (b, v) of rows that write their first token."""
        wanted = [i for i, row in enumerate(rows) if row in self._reference or self._users[row]]
        if not wanted:
            return
        logp = dict(zip([rows[i] for i in wanted], logits[wanted].float().log_softmax(-1).unbind(), strict=True))
        self._known |= {row: values for row, values in logp.items() if self._users[row]}
        for row in [row for row in logp if self._reference.get(row) in self._known]:
            reference = self._reference.pop(row)
            self._found[row] = kl_divergence(logp[row], self._known[reference])
            self._users[reference] -= 1
            if not self._users[reference]:
                del self._known[reference]

    def of(self, row: int) -> float | None:
        """What was measured for a row; None: not asked, or its reference never began."""
        found = self._found.pop(row, None)
        return None if found is None else float(found)
