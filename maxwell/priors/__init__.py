"""Prior distributions of the unknowns, sampled from a Generator that the caller passes in."""

from maxwell.errors import MaxwellError
from maxwell.kinds import one_of
from maxwell.parametrisations import Balls, Parametrisation, Voxels
from maxwell.priors.balls import BallPrior
from maxwell.priors.base import Prior
from maxwell.priors.voxels import BlockyPrior, GaussianField

LogContrastPrior = one_of(BallPrior, GaussianField, BlockyPrior)
"""What a table may choose from as the distribution of log σ/σ0."""

DEFAULTS = {
    Balls: lambda balls: BallPrior(count=balls.count),
    Voxels: lambda voxels: GaussianField(voxels=voxels),
}
"""The prior of each parametrisation that is meant when none is given."""


def default_prior(parametrisation: Parametrisation) -> Prior:
    """The prior that suits a parametrisation; MaxwellError for one that `DEFAULTS` does not know."""
    if type(parametrisation) not in DEFAULTS:
        raise MaxwellError(f"There is no default prior for {parametrisation!r}; give one as prior=.")
    return DEFAULTS[type(parametrisation)](parametrisation)


__all__ = ["BallPrior", "BlockyPrior", "GaussianField", "LogContrastPrior", "Prior", "default_prior"]
