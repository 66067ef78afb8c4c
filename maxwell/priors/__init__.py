"""Prior distributions of the unknowns, sampled from a Generator that the caller passes in."""

from maxwell.errors import MaxwellError
from maxwell.kinds import one_of
from maxwell.parametrisations import Balls, Dipoles, MagneticCells, Parametrisation, Voxels
from maxwell.priors.balls import BallPrior
from maxwell.priors.base import Prior
from maxwell.priors.boundary_patches import BoundaryPatchPrior
from maxwell.priors.magnetisation import MagneticDipoles, MagnetisedBlocks
from maxwell.priors.voxels import BlockyPrior, GaussianField

LogContrastPrior = one_of(BallPrior, GaussianField, BlockyPrior)
"""What a table may choose from as the distribution of log σ/σ0."""

DEFAULTS = {
    Balls: lambda balls: BallPrior(count=balls.count),
    Voxels: lambda voxels: GaussianField(voxels=voxels),
    MagneticCells: lambda cells: MagnetisedBlocks(edge=(1, min(3, *cells.shape)), shape=cells.shape),
    Dipoles: lambda dipoles: MagneticDipoles(dipoles.count, reach=0.5 - dipoles.radius),
}
"""The prior of each parametrisation that is meant when none is given."""


def default_prior(parametrisation: Parametrisation) -> Prior:
    """The prior that suits a parametrisation; MaxwellError for one that `DEFAULTS` does not know."""
    if type(parametrisation) not in DEFAULTS:
        raise MaxwellError(f"There is no default prior for {parametrisation!r}; give one as prior=.")
    return DEFAULTS[type(parametrisation)](parametrisation)


__all__ = [
    "BallPrior",
    "BlockyPrior",
    "BoundaryPatchPrior",
    "GaussianField",
    "LogContrastPrior",
    "MagneticDipoles",
    "MagnetisedBlocks",
    "Prior",
    "default_prior",
]
