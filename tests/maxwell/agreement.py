"""How the tests measure that two paths agree."""

import numpy as np


def distance(a, b) -> float:
    """‖a − b‖/‖b‖ in the Frobenius norm."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def check_single_precision(forward, samples) -> None:
    """Data and Jacobians equal those of refactorising; the estimated error is the true one within a factor 3.

    An estimate up to 1e-8 is accepted, so the true error is below 3e-8; how far single precision rounds differs
    from processor to processor.
    """
    for theta in samples:
        response, (slow, slow_jacobian) = forward.solve(theta), forward.refactorising.linearise(theta)
        true = distance(response.observation, slow)
        assert true < 3e-8
        assert response.info["error"] / 3 < true < 3 * response.info["error"]
        data, jacobian = forward.linearise(theta)
        assert distance(data, slow) < 3e-8
        assert distance(jacobian, slow_jacobian) < 3e-8
