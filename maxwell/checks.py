"""Laws that a forward map obeys, as numbers that a user can ask for.

Each function takes any `ForwardMap` and returns what it measured; what is good enough is the caller's word.
"""

import numpy as np

from maxwell.forward import ForwardMap


def reciprocity(matrix: np.ndarray) -> float:
    """max |D − Dᵀ| / max |D| of a source × receiver matrix whose sources and receivers are the same."""
    return float(np.abs(matrix - matrix.T).max() / np.abs(matrix).max())


def jacobian_differences(forward: ForwardMap, theta, step: float = 1e-4) -> np.ndarray:
    """Relative distance of each column of J(θ) from a fourth-order central difference: (p,).

    The quotient itself is wrong by O(step⁴) plus round-off over step, and by the kinks of higher
    derivatives (a ball's edge is C²): about 1e-6 is as good as it gets.
    Cost: one linearisation and 4p solves.
    """
    theta = np.asarray(theta, dtype=float)
    jacobian = forward.jacobian(theta)
    errors = np.empty(len(theta))
    for k, e in enumerate(np.eye(len(theta)) * step):
        near = forward(theta + e) - forward(theta - e)
        far = forward(theta + 2 * e) - forward(theta - 2 * e)
        difference = (8 * near - far) / (12 * step)
        errors[k] = np.linalg.norm(difference - jacobian[:, k]) / np.linalg.norm(difference)
    return errors


def taylor_remainders(forward: ForwardMap, theta, direction, steps) -> np.ndarray:
    """‖F(θ + h v) − F(θ) − h J(θ)v‖ for each h in steps: (len(steps),); falls like h² when J is right."""
    value, jacobian = forward.linearise(theta)
    slope = jacobian @ np.asarray(direction)
    theta, direction = np.asarray(theta, dtype=float), np.asarray(direction, dtype=float)
    return np.array([np.linalg.norm(forward(theta + h * direction) - value - h * slope) for h in steps])


def adjoint_mismatch(forward: ForwardMap, theta, direction, covector) -> float:
    """|Re⟨J v, w⟩ − ⟨v, vjp(w)⟩| / (‖J v‖ ‖w‖) for v (p,) and w (m,)."""
    image = forward.jvp(theta, direction)
    left = np.vdot(covector, image).real
    right = np.dot(direction, forward.vjp(theta, covector))
    return float(abs(left - right) / (np.linalg.norm(image) * np.linalg.norm(covector)))
