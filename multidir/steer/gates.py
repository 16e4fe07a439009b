"""Gates while they are hooked in: probes that read the stream of the current pass."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from multidir.errors import ModelError
from multidir.models.hooks import ResidualFn
from multidir.models.positions import Positions
from multidir.records.scope import Gate
from multidir.records.site import Site


class LiveGates:
    """Gates of the edits at one site. What an earlier site told is good for the same pass only."""

    def __init__(
        self, gates: Iterable[Gate], site: Site, positions: Positions, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._site, self._positions = site, positions
        self._weights = {gate: torch.tensor(gate.weights, device=device, dtype=dtype) for gate in gates}
        self._read: dict[Gate, tuple[Tensor, Tensor]] = {}

    def hooks(self) -> list[tuple[Site, ResidualFn]]:
        """What to call at earlier sites."""
        sites = {gate.site for gate in self._weights if gate.site is not None} - {self._site}
        return [(site, self._reader(site)) for site in sorted(sites)]

    def _reader(self, site: Site) -> ResidualFn:
        gates = [gate for gate in self._weights if gate.site == site]

        def read(hidden: Tensor) -> None:
            for gate in gates:
                self._read[gate] = self._positions.current, self._open(gate, hidden)

        return read

    def _open(self, gate: Gate, hidden: Tensor) -> Tensor:
        weights = self._weights[gate]
        return hidden.to(weights.dtype) @ weights + gate.bias > gate.threshold

    def open(self, gate: Gate, arrived: Tensor) -> Tensor:
        """(b, t) where a gate is open.

        Args:
            arrived: (b, t, d) residual stream at the site of the edits, before any of them.
        Raises:
            ModelError: the gate's own site was not run in this pass.
        """
        if gate.site in (None, self._site):
            return self._open(gate, arrived)
        places, found = self._read.get(gate, (None, arrived))
        if places is not self._positions.current:
            raise ModelError(f"the gate at {gate.site} has not read this pass; run the whole model")
        return found
