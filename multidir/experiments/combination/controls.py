"""Controls of a verdict: what must not show the effect, and what must.

A control that fails makes the verdict invalid, never a weaker claim.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from multidir.experiments.combination.interaction import fit_factorial
from multidir.experiments.combination.layout import Layout, read_layout
from multidir.experiments.combination.pair_axes import resample
from multidir.experiments.combination.pair_reading import Evidence
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.tally import Tally
from multidir.records.combination import Combination, Control, State
from multidir.stats.contrast import Contrast
from multidir.stats.factorial import model_matrix, terms
from multidir.stats.fixed_effect import fit_many
from multidir.stats.ladder import monotone, pair_exponent
from multidir.types import FloatArray

SIGNS = {Combination.SYNERGY: 1.0, Combination.ANTAGONISM: -1.0}
"""Sign of the interaction that a reading claims; the others claim none beyond what curves and norms explain."""
SILENT = "None of its sentences backtracks."


def random_deltas(tally: Tally) -> FloatArray:
    """(r,) interactions of pairs of random vectors, in log-odds: the null that no direction was looked for.

    Pairs that lack a cell, or cannot be fitted, are left out.
    """
    zero = [i for i in tally.cells() if not tally.doses[i].any()]
    squares = []
    for name in tally.kinds("random"):
        cells = tally.cells(name)
        both = [i for i in cells if (tally.doses[i] != 0).sum() == 2]
        alone = [i for i in cells if (tally.doses[i] != 0).sum() == 1]
        if len(both) == 1 and len(alone) == 2:
            squares.append([*zero[:1], *alone, *both])
    if not squares:
        return np.zeros(0)
    index = np.array(squares)
    y, n = np.moveaxis(tally.y[:, index], 1, 0), np.moveaxis(tally.n[:, index], 1, 0)
    beta, _ = fit_many(y, n, model_matrix(np.array([[0, 0], [1, 0], [0, 1], [1, 1]]), terms(2, 2)))
    return np.asarray(beta[~np.isnan(beta[:, 2]), 2])


def against_random(evidence: Evidence, reading: Combination, deltas: FloatArray, rules: CombinationRules) -> Control:
    """An interaction that is claimed must lie beyond those of random pairs of the same norm."""
    name, value, sign = "random pairs", evidence.delta.value, SIGNS.get(reading)
    if deltas.size < rules.min_random:
        return Control(name, State.NOT_RUN, f"{deltas.size} random pairs; {rules.min_random} are needed.")
    low, high = np.quantile(deltas, [1 - rules.null_quantile, rules.null_quantile])
    words = f"{deltas.size} random pairs interact by {np.median(deltas):+.2f}, {low:+.2f} to {high:+.2f}"
    if sign is None:
        return Control(name, State.PASSED, f"{words}; no interaction is claimed.")
    beyond = value > high if sign > 0 else value < low
    return Control(name, State.PASSED if beyond else State.FAILED, f"{words}; this pair by {value:+.2f}.")


def loop_control(evidence: Evidence, rules: CombinationRules) -> Control:
    """The pair must not loop more than its singles by a point."""
    name, found, most = "loops", evidence.axes.loops, rules.max_loop_difference
    if np.isnan(found.value):
        return Control(name, State.NOT_RUN, "There is no column `loop`.")
    words = f"The pair's rollouts loop {100 * found.value:+.1f} points more often than those of its singles"
    if found.value < most:
        return Control(name, State.PASSED, f"{words}; the limit is {100 * most:g}.")
    state = State.FAILED if not found.has_interval or found.low > 0 else State.OPEN
    return Control(
        name, state, f"{words} [{100 * found.low:.1f}, {100 * found.high:.1f}]; the limit is {100 * most:g}."
    )


def coherence_control(evidence: Evidence, rules: CombinationRules) -> Control:
    """Every cell of the pair must be coherent in most rollouts."""
    share = evidence.axes.coherent
    if np.isnan(share):
        return Control("coherence", State.NOT_RUN, "There is no column `coherent`.")
    state = State.PASSED if share >= rules.least_coherent else State.FAILED
    words = f"The least coherent cell of the pair is coherent in {share:.0%} of rollouts"
    return Control("coherence", state, f"{words}; at least {rules.least_coherent:.0%} are needed.")


def norm_control(evidence: Evidence) -> Control:
    """One direction of the pair's norm: a pair that does no more may act by its size alone.

    Directions at right angles have it at sqrt2 of the dose, a rung of the ladder; others at 2^norm_exponent.
    """
    name, found = "norm-matched single", evidence.axes.exponent
    if not found.has_interval:
        return Control(name, State.NOT_RUN, "There is no dose ladder of both.")
    state = State.PASSED if found.low > evidence.norm_exponent else State.OPEN
    words = f"1/p is {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    return Control(name, state, f"{words}; a single direction of the pair's norm has {evidence.norm_exponent:.2f}.")


def sham_control(tally: Tally, layout: Layout, j: int, weights: FloatArray, rules: CombinationRules) -> Control:
    """A direction paired with itself must be dose-additive.

    The pair is its rung at twice the dose in one half of the rollouts, its ladder comes from the other half.
    """
    name, ladder = f"sham pair of {tally.directions[j]}", layout.ladders[j]
    if ladder is None or ladder.twice < 0:
        return Control(name, State.NOT_RUN, "There is no dose ladder.")
    cells = [*ladder.cells, int(ladder.cells[ladder.twice])]
    if not tally.y[:, cells].any():
        return Control(name, State.NOT_RUN, SILENT)
    y, n = tally.half_y[:, cells], tally.half_n[:, cells]
    y[:, -1], n[:, -1] = tally.y[:, cells[-1]] - y[:, -1], tally.n[:, cells[-1]] - n[:, -1]
    drawn = resample(y / np.maximum(n, 1), n, weights)
    if drawn.n < 2:
        return Control(name, State.NOT_RUN, "It needs two prompts with two rollouts in every cell.")
    curve = monotone(*drawn.counts(range(len(ladder.cells))))
    own = pair_exponent(drawn.logit(-1)[:1], curve[:1], curve[:1], ladder.rungs, ladder.rungs)
    gap = drawn.logit(-1) - drawn.logit(ladder.twice)
    most = _margin(gap, drawn.n, float(stats.norm.sf(rules.flat_errors)))
    state = State.PASSED if abs(gap[0]) <= most else State.FAILED if most > 0 else State.OPEN
    zero, once, twice = (drawn.logit(i)[0] for i in (0, 1, ladder.twice))
    words = f"With itself {tally.directions[j]} has 1/p {own.low[0]:.2f} (1 is right)"
    itself = f"on log-odds alone it would interact with itself by {twice - 2 * once + zero:+.2f}"
    return Control(name, state, f"{words}; {itself}.")


def flip_control(tally: Tally, layout: Layout, j: int, weights: FloatArray) -> Control:
    """A direction with its sign flipped must do less than the direction."""
    name, ladder = f"sign flip of {tally.directions[j]}", layout.ladders[j]
    if j not in layout.flips or ladder is None:
        return Control(name, State.NOT_RUN, "There is no row at minus its dose.")
    cells = [layout.flips[j], int(ladder.cells[1])]
    if not tally.y[:, cells].any():
        return Control(name, State.NOT_RUN, SILENT)
    n = tally.n[:, cells]
    drawn = resample(tally.y[:, cells] / np.maximum(n, 1), n, weights)
    if drawn.n < 2:
        return Control(name, State.NOT_RUN, "It needs two prompts that were run in both cells.")
    gap = drawn.logit(1) - drawn.logit(0)
    half = _margin(gap, drawn.n, 0.025)
    low, high = gap[0] - half, gap[0] + half
    state = State.OPEN if not half > 0 or low <= 0 <= high else State.PASSED if low > 0 else State.FAILED
    words = f"At its dose {tally.directions[j]} does {gap[0]:+.2f} [{low:.2f}, {high:.2f}] log-odds more than flipped"
    return Control(name, state, f"{words}.")


def _margin(values: FloatArray, n: int, tail: float) -> float:
    """By how much a value may miss: t times its standard error from resamples of n prompts; 0 or nan when untold.

    Args:
        values: (1 + draws,) float. On the data, then on every resample.
        n: Prompts; resamples of few vary too little, by the root of (n - 1) / n.
        tail: Probability above the margin.
    """
    return float(stats.t.isf(tail, n - 1) * np.nanstd(values[1:]) * np.sqrt(n / (n - 1)))


def shuffle_control(
    tally: Tally, layout: Layout, rules: CombinationRules, tables: int, rng: np.random.Generator
) -> Control:
    """With cells shuffled within prompts nothing interacts, and hardly any table may claim so."""
    columns = terms(layout.on.shape[1], 2)
    x = model_matrix(layout.on, columns)
    if tables < 1 or np.linalg.matrix_rank(np.column_stack([np.ones(len(x)), x])) <= x.shape[1]:
        return Control("shuffled cells", State.NOT_RUN, "Nothing was shuffled.")
    y, n = tally.y[:, layout.factorial], tally.n[:, layout.factorial]
    order = np.argsort(rng.random((tables, *y.shape)), axis=2)
    beta, error = fit_many(np.take_along_axis(y[None], order, axis=2), np.take_along_axis(n[None], order, axis=2), x)
    pairs = [i for i, term in enumerate(columns) if len(term) == 2]
    freedom = max(int((n.sum(axis=1) > 0).sum()) - 1, 1)
    p = 2 * stats.t.sf((np.abs(beta[:, pairs]) - rules.inner_margin) / error[:, pairs], freedom)
    claims = np.nanmin(np.where(np.isnan(p), 1.0, p), axis=1) * len(pairs) < rules.alpha
    most = int(stats.binom.ppf(0.99, tables, rules.alpha))
    words = f"{int(claims.sum())} of {tables} tables with shuffled cells claim an interaction"
    return Control(
        "shuffled cells", State.PASSED if claims.sum() <= most else State.FAILED, f"{words}; at most {most} may."
    )


def beside_controls(tally: Tally, evidence: Evidence, reading: Combination, rules: CombinationRules) -> list[Control]:
    """The interaction must be more than with a random vector in place of one direction, or of token knobs."""
    first, second = (tally.directions[d] for d in evidence.pair)
    wanted = [*tally.kinds("token"), *tally.kinds(f"beside:{first}"), *tally.kinds(f"beside:{second}")]
    found = [(name, _control_delta(tally, name, evidence.pair, rules)) for name in wanted]
    sign = SIGNS.get(reading, 0.0)
    controls = []
    for name, delta in found:
        if delta is None:
            controls.append(Control(name, State.NOT_RUN, "Its square of cells is not complete."))
            continue
        gap = (evidence.delta - delta).estimate()
        words = f"With {name} in place the interaction is {delta.estimate()}"
        if sign == 0:
            controls.append(Control(name, State.PASSED, f"{words}; none is claimed for the pair."))
        elif min(sign * gap.low, sign * gap.high) > 0:
            controls.append(Control(name, State.PASSED, f"{words}; that of the pair is larger."))
        else:
            same = delta.p_beyond(rules.inner_margin) < rules.alpha and sign * delta.value > 0
            controls.append(
                Control(name, State.FAILED if same else State.OPEN, f"{words}; not clearly less than the pair's.")
            )
    return controls


def orthogonal_control(tally: Tally, evidence: Evidence, rules: CombinationRules) -> Control:
    """Made orthogonal, the two directions must not interact in a clearly different way."""
    name = "orthogonal set"
    delta = _control_delta(tally, "orthogonal", evidence.pair, rules) if tally.kinds("orthogonal") else None
    if delta is None:
        return Control(name, State.NOT_RUN, "There are no complete rows with control `orthogonal`.")
    gap, own = evidence.delta - delta, evidence.delta.estimate()
    same = delta.p_beyond(rules.inner_margin) < rules.alpha and delta.value * own.value > 0
    differs = evidence.p_claim < rules.alpha and gap.estimate().excludes(0) and not same
    words = f"Orthogonal directions interact by {delta.estimate()}, the directions by {own.value:+.2f}"
    return Control(name, State.FAILED if differs else State.PASSED, f"{words}.")


def _control_delta(tally: Tally, control: str, pair: tuple[int, int], rules: CombinationRules) -> Contrast | None:
    """The interaction of a pair among the rows of a control; None when its square is not complete."""
    part = tally.of_control(control)
    if not any((row != 0).sum() > 1 for row in part.doses):
        return None
    layout = read_layout(part)
    if not layout.squares(*pair):
        return None
    cells = [cell for square in layout.squares(*pair) for cell in square]
    delta = fit_factorial(part.take(cells), read_layout(part.take(cells)), rules.check_alpha).delta(*pair)
    return None if np.isnan(delta.value) else delta
