"""Steering whatever runs inside a `with`: for notebooks, and for `model.generate` of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from multidir.errors import ConfigError
from multidir.models.blocks import check_site, width
from multidir.models.language_model import LanguageModel
from multidir.models.positions import track_positions
from multidir.records.intervention import Intervention
from multidir.records.site import Site
from multidir.steer.compose import terms
from multidir.steer.edit import RowEdits
from multidir.steer.live import LiveRowEdits
from multidir.steer.receipt import check_fired
from multidir.steer.token_text import TokenText, token_text

Mixture = Intervention | Sequence[Intervention] | None
"""What one row gets: nothing, one intervention, or several."""


def as_tuple(mixture: Mixture) -> tuple[Intervention, ...]:
    """The interventions of a mixture, none as an empty tuple."""
    if mixture is None:
        return ()
    return (mixture,) if isinstance(mixture, Intervention) else tuple(mixture)


def row_edits(
    lm: LanguageModel,
    rows: Sequence[Mixture],
    mean_norms: Mapping[Site, float] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[RowEdits]:
    """One `RowEdits` per site that the mixtures of the rows need, first site first, ready for `generate`.

    Args:
        rows: what each row gets; operators, subjects, doses, scopes and sites may differ from row to row.
        mean_norms: mean residual norm by site, for relative doses.
        seeds: of the rows, for operators that draw.
    Raises:
        ConfigError: a site beyond the model, another width, a dose without its statistic, a trigger that is no single
            token, noise without seeds, or interventions of one row whose order matters and is not given.
    """
    sites: dict[Site, dict[int, list[Intervention]]] = {}
    text, checked = token_text(lm.tokenizer), set[int]()
    for row, mixture in enumerate(rows):
        for item in as_tuple(mixture):
            if id(item) not in checked:
                check_intervention(lm, item, text)
                checked.add(id(item))
            sites.setdefault(item.site, {}).setdefault(row, []).append(item)
    norms = mean_norms or {}
    return [RowEdits(site, terms(sites[site], len(rows), norms.get(site)), seeds, text) for site in sorted(sites)]


def check_intervention(lm: LanguageModel, item: Intervention, text: TokenText) -> None:
    """Refuse an intervention that this model cannot carry out.

    Raises:
        ConfigError: the reason, naming the subject.
    """
    check_site(lm.model, item.site)
    d = getattr(item.subject, "d", None)
    if d not in (None, width(lm.model)):
        kind = type(item.subject).__name__.lower()
        raise ConfigError(
            f"{kind} {item.name!r} has width {d}, {lm.source or 'this model'} has "
            f"{width(lm.model)}; it belongs to another model"
        )
    if item.scope.from_token is not None:
        text.token_id(item.scope.from_token)


@contextmanager
def steer(
    lm: LanguageModel,
    interventions: Mixture,
    mean_norms: Mapping[Site, float] | None = None,
    n_prompt: int | None = None,
    seed: int | None = None,
) -> Iterator[list[RowEdits]]:
    """Steer every row of every forward pass inside the `with`; afterwards the model is as it was.

    Works with `lm.model.generate`, assisted and prompt-lookup decoding included.

    Args:
        interventions: what is done.
        mean_norms: mean residual norm by site, for relative doses.
        n_prompt: prompt tokens, for scopes that need to know; by default the first pass of a sequence is its prompt,
            less the tokens that are only drafted. A prompt that is run in pieces needs it.
        seed: for operators that draw; all rows of a batch draw the same.
    Returns:
        The edits; their receipts are complete when the `with` ends.
    Raises:
        ConfigError: as `row_edits`.
        ModelError: nothing was edited although something should have been, or an edit was not finite.
    """
    edits = row_edits(lm, [interventions], mean_norms, None if seed is None else [seed])
    with ExitStack() as stack:
        positions = stack.enter_context(track_positions(lm.model))
        given = None if n_prompt is None else [n_prompt]
        live = [stack.enter_context(edit.attach(lm, positions, [0], given)) for edit in edits]
        stack.enter_context(_drafts(lm.model, live))
        yield edits
    check_fired(edits)


@contextmanager
def _drafts(model: nn.Module, live: Sequence[LiveRowEdits]) -> Iterator[None]:
    """Tell edits how many tokens of a pass are drafts: assisted decoding asks for the logits of those and one more."""

    def before(_module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wanted = kwargs.get("logits_to_keep")
        for edit in live:
            edit.prompts.drafted = max(wanted - 1, 0) if isinstance(wanted, int) else 0

    handle = model.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
