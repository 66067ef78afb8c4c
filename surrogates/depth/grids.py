"""Time grids whose layers come and go: how the numbers of each rule follow the layers.

A plan says of each layer of the new net which layer of the old one it is, or is like. A rule of one's own joins
with ``taken.register`` and ``set_steps.register``.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from surrogates.depth.constraint import Dependent
from surrogates.errors import SurrogateError
from surrogates.time_grid import FLOOR, TimeGrid, _Fixed, _Free, _Positive, _Simplex, _Uniform


@dataclass(frozen=True)
class Place:
    """Where a layer of a new net comes from.

    source      number of a layer of the old net, from 0, whose parameters it has
    new         whether it is a layer beside that one, with a step at rest (τ = 0), and not that one itself
    """

    source: int
    new: bool = False


@singledispatch
def taken(grid: TimeGrid, plan: Sequence[Place]) -> TimeGrid:
    """Return a grid of the same rule with the layers of the plan: old steps as they are, new ones exactly 0.

    A step at rest is 0 in every rule but ``uniform``, which has none of its own; ``positive`` and ``simplex``,
    whose steps are positive otherwise, keep it there until ``set_steps`` wakes it. Where a layer is left out,
    ``fixed``, ``free``, ``positive`` and ``uniform`` keep the other steps, bit for bit, so the horizon falls by
    its step; ``simplex`` keeps the horizon and shares the step out in proportion, ``Dependent`` leaves it to the
    last layer. Buffers and parameters are copies. Raises ``SurrogateError`` for a rule that cannot.
    """
    raise SurrogateError(
        f"the layers of a time grid of class {type(grid).__name__} cannot come and go: use one of the rules of "
        "TimeGrid, or give surrogates.depth.grids.taken.register the class and the way"
    )


@taken.register(_Fixed)
@taken.register(_Free)
def _plain(grid, plan):
    return _replaced(grid, plan, steps=_gathered(grid.steps, plan, 0.0))


@taken.register(_Positive)
def _positive(grid, plan):
    # a scale of 0 holds the step at exactly 0, whatever its logit
    scale, logits = _gathered(grid.start, plan, 0.0), _gathered(grid.logits, plan, 0.0)
    return _replaced(grid, plan, start=scale, logits=logits)


@taken.register(_Simplex)
def _simplex(grid, plan):
    return _replaced(grid, plan, logits=_gathered(grid.logits, plan, -math.inf))


@taken.register(_Uniform)
def _uniform(grid, plan):
    if any(place.new for place in plan):
        raise SurrogateError(
            "a uniform time grid has equal steps and none that is zero, so no layer can be inserted: use "
            "TimeGrid.free, TimeGrid.positive or TimeGrid.simplex"
        )
    return _replaced(grid, plan, start=grid.start.detach() * (len(plan) / grid.layers))


@taken.register(Dependent)
def _dependent(grid, plan):
    return _replaced(grid, plan, steps=_gathered(grid(), plan, 0.0)[:-1])


@singledispatch
def set_steps(grid: TimeGrid, steps: Mapping[int, float]) -> None:
    """Move the grid, in place, to these steps of these layers, numbered from 0.

    ``fixed``, ``free`` and ``positive`` keep all other steps; ``simplex`` and ``Dependent`` keep the horizon, for
    which ``simplex`` scales the others, and ``Dependent`` the last one or, where that one is given, the others. A
    step of ``positive`` that was at rest gets the mean of those that were not as its scale, so that it moves as
    they do.
    Raises ``SurrogateError`` for steps that the rule cannot have.
    """
    raise SurrogateError(
        f"single steps of a {grid.rule!r} time grid cannot be set: use TimeGrid.free, TimeGrid.positive or "
        "TimeGrid.simplex"
    )


@set_steps.register(_Fixed)
@set_steps.register(_Free)
@torch.no_grad()
def _set_plain(grid, steps):
    _check(grid, steps)
    for layer, step in steps.items():
        grid.steps[layer] = step


@set_steps.register(_Positive)
@torch.no_grad()
def _set_positive(grid, steps):
    _check(grid, steps)
    awake = grid()[grid.start > 0]
    scale = awake.mean() if len(awake) else torch.as_tensor(sum(steps.values()) / len(steps))
    for layer, step in steps.items():
        if grid.start[layer] == 0:
            grid.start[layer] = scale
        factor = (step / grid.start[layer].double() - FLOOR) / (1 - FLOOR) * math.log(2)
        if not factor > 0:
            raise SurrogateError(
                f"a step of a positive time grid cannot be {step:.4g}, as it stays above {FLOOR:g} of its scale "
                f"{grid.start[layer].item():.4g}: give a larger one"
            )
        # the inverse of softplus, in the form that does not overflow
        grid.logits[layer] = factor + torch.log(-torch.expm1(-factor))


@set_steps.register(_Simplex)
@torch.no_grad()
def _set_simplex(grid, steps):
    _check(grid, steps)
    horizon = grid.horizon.double()
    chosen = torch.zeros_like(grid.logits, dtype=torch.bool)
    chosen[list(steps)] = True
    awake = int((chosen | grid.logits.isfinite()).sum())
    share = torch.tensor([float(step) for step in steps.values()], dtype=torch.float64) / horizon
    share = (share - FLOOR / awake) / (1 - FLOOR)
    left = 1 - share.sum()
    others = grid.logits.double()[~chosen].logsumexp(0) if awake > len(steps) else horizon.new_zeros(())
    if not (share > 0).all() or (awake > len(steps)) != bool(left > 1e-12):
        raise SurrogateError(
            f"steps {[float(step) for step in steps.values()]} do not fit into the horizon {horizon.item():.4g} of "
            "a simplex time grid beside the other layers, or are too small for it: give smaller or larger ones"
        )
    logits = others + share.log() - (left.log() if awake > len(steps) else 0)
    grid.logits[list(steps)] = logits.to(grid.logits.dtype)


@set_steps.register(Dependent)
@torch.no_grad()
def _set_dependent(grid, steps):
    _check(grid, steps)
    values, last = grid().clone(), grid.layers - 1
    free = [layer for layer in range(last) if layer not in steps]
    for layer, step in steps.items():
        values[layer] = step
    if last in steps:
        wanted, held = grid.total - sum(steps.values()), values[free].sum()
        fits = (wanted - held).abs() <= 8 * torch.finfo(values.dtype).eps * grid.layers * values.abs().max()
        if not fits and held == 0:
            raise SurrogateError(
                "the last step of a dependent time grid is what the others leave, and none of them is free to "
                "move: set an earlier one"
            )
        if not fits:
            values[free] *= wanted / held
    grid.steps.copy_(values[:-1])


def _check(grid, steps):
    for layer, step in steps.items():
        if not 0 <= layer < grid.layers or not math.isfinite(step) or (grid.always_positive and step <= 0):
            kind = "positive" if grid.always_positive else "finite"
            raise SurrogateError(
                f"a {grid.rule!r} time grid of {grid.layers} layers cannot have the step {step!r} at layer "
                f"{layer + 1}: give a {kind} number for one of its layers"
            )


def _gathered(values: Tensor, plan: Sequence[Place], rest: float) -> Tensor:
    values = values.detach()
    new = torch.tensor([place.new for place in plan], device=values.device)
    return values[[place.source for place in plan]].masked_fill(new, rest)


def _replaced(grid: TimeGrid, plan: Sequence[Place], **tensors: Tensor) -> TimeGrid:
    found = copy.deepcopy(grid)
    for name, value in tensors.items():
        if name in found._parameters:
            value = nn.Parameter(value, requires_grad=found._parameters[name].requires_grad)
        setattr(found, name, value)
    found.layers = len(plan)
    return found
