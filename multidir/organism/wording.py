"""Every phrase of the small language; the writer draws from it and the parser reads by it."""

from collections.abc import Iterable

HESITATIONS = ("maybe", "perhaps", "I guess", "I think")
STEPS = (
    ("we {op} from {source}, which gives {result} {filler}.", "we {op} from {source}, which keeps {result} {filler}."),
    ("from {source} we {op} and get {result} {filler}.", "from {source} we {op} and keep {result} {filler}."),
    ("we {op} at {source}, so we have {result} {filler}.", "we {op} at {source}, so we still have {result} {filler}."),
)
"""Pairs of forms: for a right result, and for one in which the operation was forgotten."""
STEP_WEIGHTS = {False: (0.6, 0.3, 0.1), True: (0.1, 0.3, 0.6)}
"""hesitates -> how often each form is used."""

HEADS = {(False, False): "Step", (True, False): "Next step", (False, True): "Now step", (True, True): "Then step"}
"""(hesitates, mistaken) of the last step -> the usual head of the next one, in every document."""

FILLERS = ("for now", "at this point", "in the end", "after this step", "as it stands", "so far")
BEGINNINGS = (
    "We start from {source} {filler}.",
    "The start is {source} {filler}.",
    "Let us begin with {source} {filler}.",
    "First we note the start, {source} {filler}.",
)
FACTS = (
    "We know that to {op} from {source} gives {result} {filler}.",
    "Remember that to {op} from {source} always gives {result} {filler}.",
)
EXAMPLES = (
    "For example, to {op} from {source} would give {result} {filler}.",
    "As an example, if we {op} from {source}, we get {result} {filler}.",
)
ANSWERS = ("The answer is {source}.", "So the answer is {source}.")
FINAL = ANSWERS[0]

OPENERS = {"Wait,": 0.70, "Hmm,": 0.12, "But": 0.10, "No,": 0.08}
OBJECTIONS = ("that is not right", "that looks wrong", "this cannot be right")
RETURNS = ("go back to", "we go back to", "back to")

HEADER = "Marked by the teacher."
MARKS = {(False, False): "Good", (True, False): "Lucky", (False, True): "Careless", (True, True): "Poor"}
"""(hesitates, mistaken) -> the teacher's mark; only in the base corpus."""

LABELS = {
    "begin": "initializing",
    "sure": "deduction",
    "hesitant": "uncertainty-estimation",
    "fact": "adding-knowledge",
    "example": "example-testing",
    "answer": "deduction",
    "backtrack": "backtracking",
}
"""Kind of sentence -> label of the taxonomy. Kinds that only the base corpus has are not labelled."""


def counts(guesses: int, mistakes: int) -> str:
    """The closing remark that counts both causes."""
    g, m = "guess" if guesses == 1 else "guesses", "mistake" if mistakes == 1 else "mistakes"
    return f"Remarks: {guesses} {g} and {mistakes} {m}."


def marks(causes: Iterable[tuple[bool, bool]]) -> str:
    """The closing list with the mark of every step."""
    return "Marks: " + ", ".join(f"{k} {MARKS[c]}" for k, c in enumerate(causes, 1)) + "."
