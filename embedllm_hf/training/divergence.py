"""Stops a training that has diverged, before anything that is not a number is kept.

What is checked is the same in every process (sums over all, weights after a step of all), so all of them stop.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .._errors import InputError

_TOO_LARGE = 1e4  # nats a response: a logit that is wrong by so much is none that a training could come back from


def check_loss(what: str, loss: float | None, place: str, rates: str) -> None:
    """Refuse to go on after a loss that is not finite or beyond all measure; arguments as `check_finite` has them."""
    check_finite(f"{what} is", [loss], place, rates)
    if loss is not None and loss > _TOO_LARGE:
        raise InputError(f"training diverged: {what} is {loss:.2g} in {place}, with {rates}")


def check_finite(what: str, values: Iterable[torch.Tensor | float | None], place: str, rates: str) -> None:
    """Refuse to go on with values that are not finite.

    Args:
        what (`str`): The values with a verb, for the error.
        values (`Iterable`): Numbers, tensors; None stands for none.
        place (`str`): Epoch and block.
        rates (`str`): The settings that may be to blame, and the remedy.

    Raises:
        ValueError: If a value is not finite.
    """
    if not all(bool(torch.as_tensor(value).isfinite().all()) for value in values if value is not None):
        raise InputError(f"training diverged: {what} not finite in {place}, with {rates}")


def place_in_epoch(epoch: int, losses: torch.Tensor) -> str:
    """An epoch, counted from 0, in words; with the first block whose loss is not finite, if this process has one."""
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    return f"epoch {epoch + 1}" + (f", block {bad[0] + 1} of {len(losses)}" if bad else "")


def blame(learning_rate: float, weight_decay: float, name: str = "learning_rate") -> str:
    """The settings that a training may have diverged by, and the remedy."""
    if learning_rate * weight_decay > 1:  # each step takes more than all off the weights
        return (
            f"`{name}` {learning_rate:g} and `weight_decay` {weight_decay:g}. Lower them: their product is the share "
            "that a step takes off the weights."
        )
    return f"`{name}` {learning_rate:g}. Lower --{name}."
