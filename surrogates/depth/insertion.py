"""Layers that come without changing the function: τ = 0 first, and what wakes them; or a step in two halves."""

from collections.abc import Iterable
from functools import singledispatch

from torch import nn

from surrogates.depth.grids import Place, set_steps
from surrogates.depth.surgery import Surgery, rebuilt
from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet


@singledispatch
def insert(net: nn.Module, positions: int | Iterable[int]) -> Surgery:
    """Return the net with a new layer at each position, τ = 0 and parameters of its neighbour: the same function.

    Position g = 0 … L is the place after g layers, so that the new one has number g+1 (of several, each has one
    more for each before it); its neighbour is layer g+1, at the end layer L. For every activation:

    ===================  =================================================================================
    ResNet               y ↦ y + 0 · f(y)
    Fractional           c = Γ(2−γ) 0^γ and the row of a vanish, so d = 0; a zero increment is remembered
                         with whatever weight, and the spans S_{j,l} of all other layers are what they were
    AdditiveDenseNet     column K_{·,g+1} of a zero step; it reads a new state, which has a copy of its
                         neighbour's row: y_g again, at the end y_{L−1} + τ_L σ(K_{L,L} y_{L−1} + b_{L,L})
    ConcatenatingDense   ``growth`` entries that are 0, read with the columns of the neighbour's
    ===================  =================================================================================

    so the result equals that of the old net to round-off. Under a ``free`` or ``Dependent`` rule the step trains
    from 0 by its derivative (``sensitivity``) in all families that admit these rules; other rules need ``wake``
    first, and a fractional net always, since dJ/dτ is infinite at 0, like τ^{γ−1}. Costs copies of all parameters.

    Nets without time steps: an identity in a ``FeedForward``, which only ReLU does not change again, and zero outer
    weights in ``Blocks``, for every activation. Other classes join with ``insert.register``.

    Raises ``SurrogateError`` for a position out of range or given twice, an ensemble, a uniform grid, and a net
    that cannot. Source: Herberg, Herzog, Köhne, Kreis and Schiela, SensLI (arXiv 2311.15995), there without τ.
    """
    raise SurrogateError(
        f"no layer can be inserted into a {type(net).__name__}: use a family of surrogates.FAMILIES, FeedForward "
        "or surrogates.depth.Blocks"
    )


@insert.register(LayeredNet)
def _layered(net: LayeredNet, positions: int | Iterable[int]) -> Surgery:
    given, plan = placed(net.layers, positions), []
    for position in range(net.layers + 1):
        if position in given:
            plan.append(Place(min(position, net.layers - 1), new=True))
        if position < net.layers:
            plan.append(Place(position))
    return rebuilt(net, plan)


def placed(layers: int, positions: int | Iterable[int]) -> list[int]:
    """Return positions 0 … L as a list; ``SurrogateError`` for one out of range or given twice, and for none."""
    given = [positions] if isinstance(positions, int) else list(positions)
    if not given or len(set(given)) < len(given) or not all(_place(each, layers) for each in given):
        raise SurrogateError(
            f"a net of {layers} layers has positions 0 … {layers} for a new one, each of them once, but "
            f"positions={positions!r}"
        )
    return given


def wake(net: LayeredNet, layer: int, step: float) -> None:
    """Give the layer of this number, from 1, a step, in place; an optimiser of the net goes on with it.

    To first order the function moves by the step times f(y), in a fractional net by Γ(2−γ) step^γ times what
    ``sensitivity`` says. ``free``, ``fixed`` and ``positive`` grids become longer by it; others take it from the
    other steps. Raises ``SurrogateError`` for a step that the rule of the grid cannot have.
    """
    _check_layer(net, layer)
    set_steps(net.time, {layer - 1 + net.timed_lift: step})


def split(net: LayeredNet, layer: int) -> Surgery:
    """Return the net with the layer of this number, from 1, as two of half its step and the same parameters.

    The way of refining a discretisation. In a ``ResNet`` and an ``AdditiveDenseNet`` the second half starts from a
    state that is τ/2 f(y) away, so the function changes by τ²/4 ∂f/∂y f + O(τ³); in a ``ConcatenatingDenseNet`` the
    second half does not read the first and nothing changes at all, to round-off. In a ``Fractional`` net the
    increment of a constant field becomes 2^{−γ}(3 − 2^{1−γ}) times what it was: a change of O(τ^γ), and no
    better, as the scheme is not one of time steps that can be composed. Errors as ``insert``, and for a fractional
    net none: where the function must stay, insert.
    """
    _check_layer(net, layer)
    plan = [Place(number) for number in range(net.layers)]
    plan.insert(layer, Place(layer - 1, new=True))
    found = rebuilt(net, plan)
    half, first = net.steps()[layer - 1].item() / 2, layer - 1 + net.timed_lift
    if half == 0:
        raise SurrogateError(f"layer {layer} has the step 0 and no halves: insert a layer instead")
    set_steps(found.net.time, {first: half, first + 1: half})
    return found


def _place(position, layers) -> bool:
    return isinstance(position, int) and not isinstance(position, bool) and 0 <= position <= layers


def _check_layer(net: LayeredNet, layer: int) -> None:
    if not _place(layer, net.layers) or layer == 0:
        raise SurrogateError(f"a net of {net.layers} layers has layers 1 … {net.layers}, but layer={layer!r}")
