"""A block Krylov method for the equation of one sample, with data that converge faster than fields.

The law.  With Δ and A = I + iGΔ such that ΔA is symmetric, fields Ax = x_0 and data −iD, D = x_0ᵀΔx, any x̃ of
residual R = x_0 − Ax̃ and error δ gives

    D = x_0ᵀΔx̃ + (Δx̃)ᵀR + δᵀΔR.

The second term is the residual weighted by the dual solution, which by symmetry is Δx̃.  Of the third, a
preconditioner M⁻¹A = I + B knows most: δ = M⁻¹R − Bδ, hence

    D = x_0ᵀΔx̃ + (Δx̃)ᵀR + (M⁻¹R)ᵀΔR − (Bδ)ᵀΔR.

The first three terms are the data; the last is estimated as β‖(M⁻¹R)ᵀΔR‖ with β = ‖BV‖/‖V‖ for the method's last
block V: an estimate and no bound, right within a factor of three where B is small, up to tens too small where it
is not.  Where the products with G are rounded to a precision ε, ε‖(Δx̃)ᵀG_sΔx̃‖ is added to the estimate.

The method takes the directions of M⁻¹R that still matter as a block, and solves for all sources by least squares.

Source of the dual weighting: Pierce and Giles, SIAM Review 42 (2000) 247; the third term is ours.
"""

import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from maxwell.errors import AccuracyError
from maxwell.paths.least_squares import BlockLeastSquares, leading, norm

RESIDUAL = {False: 1e-4, True: 1e-9}
"""Relative residual at which the method stops, by whether fields themselves are asked for."""

REFINED = 3e-9
"""Relative residual of accurate fields that are made of solutions in single precision."""

MOST_PASSES = 4
"""Solutions after which these are given up; two are usual."""

REST_ERROR = 1e-5
"""Estimated relative error of what these add to the data, which is small beside the data."""

MOST_ROUNDING = 5e-9
"""ε‖G_sΔx‖/‖x_0‖ up to which accurate fields are handed on: they, and a Jacobian, are wrong by some twice that."""

SHARE = 0.5
"""Directions of the residual that together are below this share of the goal are left."""

DATA_ERROR = 2e-9
"""Estimated relative error of the data at which the method stops, rounding apart."""

MOST_ERROR = 1e-8
"""Largest estimated relative error of the data that is handed on, rounding included."""

MOST_BLOCKS = 12
"""Blocks after which the method gives up; two are usual."""

DENSE = 3000
"""Unknowns up to which an equation that the method gives up is solved by a dense factorisation."""


class SampleEquation(Protocol):
    """What the method asks of an equation with n unknowns and K right-hand sides."""

    incident: np.ndarray
    """x_0 (n, K)."""
    dtype: np.dtype
    """Precision of the Krylov space."""
    precision: float
    """Relative spacing of the numbers that G_s is kept in."""

    def precondition(self, x):
        """M⁻¹x in the precision of the Krylov space."""

    def apply(self, x):
        """iG_sΔx and M⁻¹(I + iGΔ)x in the precision of the Krylov space."""

    def change(self, x):
        """Δx in double precision."""

    def quasi_static(self, changed):
        """The product of iG − iG_s with Δx, given Δx, in double precision."""

    def induce(self, changed):
        """iG_sΔx, given Δx, in the precision of G_s."""

    def weigh(self, refined, left):
        """(M⁻¹R)ᵀΔR (K, K), given both residuals, in the precision of the Krylov space."""

    def direct(self):
        """x and iG_sΔx by a dense factorisation."""


@dataclass(frozen=True)
class Solution:
    """Fields x (n, K) in the precision of the space, D (K, K), ‖R‖/‖x_0‖, estimated relative error of D, blocks.

    No blocks: a dense factorisation.
    """

    fields: np.ndarray
    contracted: np.ndarray
    residual: float
    error: float
    blocks: int


def solve(equation: SampleEquation, *, accurate: bool) -> Solution:
    """Fields and data of a sample; `accurate` when the fields are wanted and not the data alone.

    Accurate fields of a space in single precision are a sum: a second solution for what the first leaves over in
    double precision is added to it, and so on.

    Raises AccuracyError when the method does not converge and the equation is too large to be factorised, and when
    the estimated error of the data exceeds `MOST_ERROR`.
    """
    if accurate and equation.dtype == np.complex64:
        return _refined(equation)
    solution = _once(equation, RESIDUAL[accurate], DATA_ERROR)
    if not solution.error <= MOST_ERROR:
        raise AccuracyError(
            f"the update leaves an estimated error of {solution.error:.1e} in the data, where "
            f"{MOST_ERROR:.0e} is allowed"
        )
    return solution


def _once(equation, goal, allowed):
    """By iteration, or a dense factorisation of what that gives up; `allowed` error of the data, rounding apart."""
    try:
        return _iterate(equation, goal, allowed)
    except AccuracyError:
        if len(equation.incident) > DENSE:
            raise
    return _contracted(equation, *equation.direct(), refined=None, contraction=1.0, blocks=0)[0]


def _refined(equation):
    """With fields x of residual R the data are x_0ᵀΔx + (Δx)ᵀR and those of the same equation for R.

    R itself is wrong by the rounding of G_s and of the product with it, which no refinement removes.
    """
    solution = solve(equation, accurate=False)
    fields, blocks, size = solution.fields.astype(complex), solution.blocks, norm(equation.incident)
    for _ in range(MOST_PASSES - 1):
        changed = equation.change(fields)
        induced = equation.induce(changed)
        rounding = equation.precision * norm(induced.astype(complex)) / size
        if rounding > MOST_ROUNDING:
            raise AccuracyError(
                f"rounding leaves an estimated error of {rounding:.1e} in the fields, where {MOST_ROUNDING:.0e} is "
                "allowed"
            )
        left = equation.incident - fields
        left -= equation.quasi_static(changed)
        left -= induced
        contracted = equation.incident.T @ changed + changed.T @ left
        other = copy.copy(equation)
        other.incident = left
        rest = _once(other, RESIDUAL[False], REST_ERROR)
        contracted += rest.contracted
        fields += rest.fields
        blocks += rest.blocks
        residual = rest.residual * norm(left) / size
        if residual <= REFINED:
            return Solution(fields, contracted, residual + rounding, solution.error, blocks)
    raise AccuracyError(f"the update has not converged in {MOST_PASSES} passes, where two are usual")


def _iterate(equation, goal, allowed):
    start = equation.precondition(equation.incident.astype(equation.dtype))
    size = norm(start)
    space = BlockLeastSquares(start)
    for _ in range(MOST_BLOCKS):
        basis = leading(space.residual, SHARE * goal * size)
        induced, image = equation.apply(basis)
        space.add(basis, induced, image)
        if norm(space.residual) > goal * size:
            continue
        contraction = norm(image - basis) / norm(basis)
        solution, error = _contracted(
            equation,
            *space.solution(),
            refined=space.residual,
            contraction=contraction,
            blocks=space.blocks,
        )
        if error <= allowed:
            return solution
        goal /= 4
    raise AccuracyError(f"the update has not converged after {MOST_BLOCKS} blocks, where two are usual")


def _contracted(equation, fields, induced, *, refined, contraction, blocks):
    """The solution that x and iG_sΔx make, and the error that R leaves.  refined : M⁻¹R; contraction : β."""
    x0 = equation.incident
    changed = equation.change(fields)
    left = x0 - fields
    left -= induced
    left -= equation.quasi_static(changed)
    if refined is None:
        refined = equation.precondition(left.astype(equation.dtype))
    second = equation.weigh(refined, left).astype(complex)
    contracted = x0.T @ changed + changed.T @ left
    contracted += second
    size = norm(contracted) or 1.0
    error = contraction * norm(second) / size
    rounding = equation.precision * norm(changed.astype(induced.dtype).T @ induced) / size
    residual = norm(left) / norm(x0)
    return Solution(fields, contracted, float(residual), float(error + rounding), blocks), error
