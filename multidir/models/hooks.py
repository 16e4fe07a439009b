"""Reading and editing the residual stream: hooks that are all set or none, and always removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from multidir.errors import ModelError
from multidir.models.blocks import check_site, decoder_blocks, width
from multidir.records.site import Site

ResidualFn = Callable[[Tensor], Tensor | None]
"""Takes the residual stream (b, t, d); returns a replacement of the same shape, or None to leave it."""


@contextmanager
def residual_hook(model: nn.Module, site: Site, fn: ResidualFn) -> Iterator[None]:
    """Call `fn` on the residual stream at one site in every forward pass inside the `with`."""
    with residual_hooks(model, [(site, fn)]):
        yield


@contextmanager
def residual_hooks(model: nn.Module, hooks: Iterable[tuple[Site, ResidualFn]]) -> Iterator[None]:
    """Call a function at each of several sites; on leaving, also by an exception, no hook remains.

    Blocks return a tensor in today's transformers and returned a tuple before; both are handled, so
    that an edit reaches every row of the batch.

    Raises:
        ConfigError: a site is beyond the model (then no hook is set at all).
        ModelError: a block's output is not a residual stream (b, t, d).
    """
    blocks, d = decoder_blocks(model), width(model)
    with ExitStack() as stack:
        for site, fn in hooks:
            check_site(model, site)
            stack.callback(_attach(blocks[site.layer], site, fn, d).remove)
        yield


def _attach(block: nn.Module, site: Site, fn: ResidualFn, d: int) -> RemovableHandle:
    def edited(hidden: Any) -> Tensor:
        if not isinstance(hidden, Tensor) or hidden.ndim != 3 or hidden.shape[-1] != d:
            shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
            raise ModelError(
                f"{site} of {type(block).__name__}: expected a residual stream (batch, tokens, {d}), got {shape}"
            )
        result = fn(hidden)
        if result is None:
            return hidden
        if result.shape != hidden.shape or result.dtype != hidden.dtype:
            raise ModelError(
                f"{site}: the edit changed {tuple(hidden.shape)} {hidden.dtype} into "
                f"{tuple(result.shape)} {result.dtype}; it must keep both"
            )
        return result

    def before(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (edited(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edited(kwargs.get("hidden_states"))}

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (edited(output[0]), *output[1:])
        return edited(output)

    if site.stream == "resid_pre":
        return block.register_forward_pre_hook(before, with_kwargs=True)
    return block.register_forward_hook(after)
