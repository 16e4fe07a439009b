"""Money: reserved before a call, settled after it, and never more than the cap."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from multidir.chat.database import Database
from multidir.chat.reply import Usage
from multidir.errors import JudgeError


class Ledger:
    """What one account has spent, and what its calls under way may cost at most.

    An account is a run, so that a cap holds over restarts. Tries whose answer was never seen (a time-out, a broken
    connection) may have been billed: the most they can have cost counts against the cap, apart from what is known.
    """

    def __init__(self, database: Database, account: str, cap: float) -> None:
        self._database, self.account, self.cap = database, account, cap
        self._change = threading.Condition()
        self._held: dict[int, float] = {}
        self._next = 0
        totals = "SELECT total(usd), total(unseen_usd), count(*) FROM usage WHERE account = ?"
        self.known: float
        self.unseen: float
        self.calls: int
        self.known, self.unseen, self.calls = database.read(totals, account)[0]

    @property
    def room(self) -> float:
        """US dollars that are neither spent nor reserved."""
        return self.cap - self.known - self.unseen - sum(self._held.values())

    def reserve(self, usd: float) -> int:
        """Set aside the most that a call can cost; waits while calls under way may still free what is missing.

        Returns:
            What to `settle` the call with.
        Raises:
            JudgeError: the cap leaves no room for the call.
        """
        with self._change:
            while usd > self.room:
                if not self._held:
                    raise JudgeError(
                        f"stopped before the spend cap: {self}, and the next call may cost up to {usd:.4f} of the "
                        f"{self.cap:.2f} USD; raise --max-usd to go on, the answers so far are kept"
                    )
                self._change.wait()
            self._next += 1
            self._held[self._next] = usd
            return self._next

    def settle(
        self,
        hold: int,
        key: str,
        model: str,
        usage: Usage | None = None,
        usd: float = 0.0,
        unseen: float = 0.0,
        batch: str = "",
    ) -> None:
        """Write down what a call cost, and free what was set aside for it.

        Args:
            hold: what `reserve` gave; 0 for one of several answers that share a hold.
            key: of the request.
            model: that answered.
            usage: tokens billed, where the server said so.
            usd: what they cost.
            unseen: the most that tries without an answer can have cost.
            batch: id of the batch job.
        """
        counts = (None,) * 3 if usage is None else (usage.prompt, usage.cached, usage.completion)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._change:
            if usage is not None or usd or unseen:
                row = (self.account, at, key, model, *counts, usd, unseen, batch)
                self._database.write(f"INSERT INTO usage VALUES ({', '.join('?' * len(row))})", [row])
                self.known, self.unseen, self.calls = self.known + usd, self.unseen + unseen, self.calls + 1
            self.release(hold)

    def release(self, hold: int) -> None:
        """Free what was set aside for a call that cost nothing."""
        with self._change:
            self._held.pop(hold, None)
            self._change.notify_all()

    def __str__(self) -> str:
        maybe = f" and perhaps {self.unseen:.4f} for tries without an answer" if self.unseen else ""
        return f"{self.known:.4f} USD spent in {self.calls} calls{maybe}"
