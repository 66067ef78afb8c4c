"""Losses: plain functions of (prediction, target) that return a scalar tensor."""

from torch import Tensor

from surrogates.errors import SurrogateError


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over all entries of (prediction − target)²; both of one shape, usually (batch, outputs).

    Shapes must be equal: torch would broadcast (n, 1) against (n,) to (n, n) and train on nonsense. Not
    for unknowns of mixed units: bring them to comparable scale first, or the largest unit decides.
    """
    if prediction.shape != target.shape:
        raise SurrogateError(
            f"the prediction has shape {tuple(prediction.shape)} and the target {tuple(target.shape)}: "
            "give both the same shape"
        )
    return (prediction - target).square().mean()
