"""What goes to stderr: messages and errors on lines of their own, also while a progress bar is shown."""

from __future__ import annotations

import logging
import os
import sys


class _BesideBars(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes above the progress bars that are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")
        if bars is None:
            super().emit(record)
            return
        try:
            bars.tqdm.write(self.format(record), file=self.stream)
        except Exception:  # what logging does: a message that cannot be written costs no result
            self.handleError(record)


def set_up(quiet: bool) -> None:
    """Send messages of the library to stderr; with `quiet` only errors. Progress bars where somebody looks."""
    handler = _BesideBars(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("multidir")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if quiet else logging.INFO)
    if quiet or not sys.stderr.isatty():  # a bar in a file is a heap of lines
        os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is first imported, which no command did yet


def say_error(text: str) -> None:
    """One line on stderr, below any progress bar that an error left open."""
    bars = sys.modules.get("tqdm")
    # tqdm keeps the open bars to itself, and there is no other way to find them
    for bar in list(getattr(bars.tqdm, "_instances", ())) if bars else ():
        bar.close()
    print(f"multidir: {text}", file=sys.stderr)
