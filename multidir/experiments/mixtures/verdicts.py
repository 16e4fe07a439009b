"""What is claimed of a learned mixture: against its strongest rivals, on prompts and seeds that it has not seen."""

from __future__ import annotations

from multidir.experiments.mixtures.contenders import PER_NAT, READOUT, best_singles
from multidir.experiments.mixtures.contest import Contest
from multidir.experiments.mixtures.whole import Matched
from multidir.records.verdict import Status, Verdict
from multidir.stats.estimate import Estimate

RULE = (
    "supported when the 95 % interval of the difference on held-out prompts lies above 0, in the log-odds of written "
    "texts and, where contenders wrote, in the share of backtracking sentences too; refuted when one of them lies "
    "below 0 and none above; else undetermined"
)
NO_SYNERGY = (
    "Beating the best single direction at equal norm is not called synergy: equal orthogonal read-outs that only add "
    "up do that too. More than the linear read-out would be needed."
)
WORDS: dict[Matched, str] = {"KL": "equal divergence elsewhere", "norm": "equal norm"}


def decide(contest: Contest, suppress: bool) -> list[Verdict]:
    """The mixture against the best single direction and the linear optimum, at equal divergence and at equal norm."""
    optima: dict[Matched, tuple[str, str]] = {
        "norm": (READOUT, "the linear read-out w/|w|"),
        "KL": (PER_NAT, "the linear read-out per nat"),
    }
    found = []
    for matched, optimum in optima.items():
        single = best_singles(contest.contenders, contest.seen[matched].gains.mean(axis=0), 1)[0].name
        rival = single, f"the best single direction ({single.removeprefix('single ')})"
        found += [_verdict(contest, matched, *each, suppress) for each in (rival, optimum)]
    return found


def _verdict(contest: Contest, matched: Matched, rival: str, words: str, suppress: bool) -> Verdict:
    sign = -1.0 if suppress else 1.0
    gap = contest.held[matched].mean(contest.place("mixture"), contest.weights, contest.place(rival))
    shares = None if contest.whole is None else contest.whole.difference("mixture", rival, matched)
    shares = None if shares is None else shares.times(sign)
    warning = f" {NO_SYNERGY}" if rival.startswith("single ") else ""
    what = "suppresses backtracking more" if suppress else "makes for more backtracking"
    estimates = {"log-odds": gap, **({} if shares is None else {"share of sentences": shares})}
    return Verdict(
        claim=f"The learned mixture {what} than {words} at {WORDS[matched]}.",
        status=_status(list(estimates.values())),
        because=(
            f"At {WORDS[matched]} it moves the log-odds by {gap:+.2f} more than {words} on {gap.n} held-out "
            f"prompts{_in_texts(shares)}. {_curse(contest, matched)}{warning}"
        ),
        rule=RULE,
        estimates=estimates,
    )


def _status(gaps: list[Estimate]) -> Status:
    above, below = [gap.low > 0 for gap in gaps], [gap.high < 0 for gap in gaps]
    if all(above):
        return Status.SUPPORTED
    return Status.REFUTED if any(below) and not any(above) else Status.UNDETERMINED


def _in_texts(shares: Estimate | None) -> str:
    if shares is None:
        return ""
    return f", and the share of backtracking sentences by {shares.times(100):+.1f} points on {shares.n} new problems"


def _curse(contest: Contest, matched: Matched) -> str:
    """What it gained where it was chosen beside what it gains elsewhere."""
    at = contest.place("mixture")
    seen, held = contest.seen[matched].gains[:, at].mean(), contest.held[matched].gains[:, at].mean()
    words = f"It gains {held:+.2f} there and {seen:+.2f} where it was learned."
    names = [each.name for each in contest.contenders if each.kind == "search"]
    if contest.whole is None or not names:
        return words
    row = contest.whole.row(contest.whole.cells[names[0], "KL"])
    return (
        f"{words} The mixture that was sought on whole texts backtracks in {100 * row['share']:.1f}% of sentences, "
        f"{100 * row['share_search']:.1f}% where it was chosen."
    )


def headline_of(verdicts: list[Verdict]) -> str:
    """All claims in one line, and the warning."""
    words = {Status.SUPPORTED: "yes", Status.REFUTED: "no", Status.UNDETERMINED: "open", Status.INVALID: "invalid"}
    parts = [f"{v.claim.rstrip('.')}: {words[v.status]}, {v.estimates['log-odds']:+.2f}" for v in verdicts]
    start = verdicts[0].claim.partition(" than ")[0]
    rest = [part.removeprefix(f"{start} ") for part in parts[1:]]
    return f"{parts[0]}; {'; '.join(rest)} (log-odds on held-out prompts). {NO_SYNERGY}"
