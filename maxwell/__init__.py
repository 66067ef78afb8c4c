"""Physics: forward models of ill-posed 3D Maxwell inverse problems, solved with FEniCSx.

Time convention e^{+iωt}; SI units at every public door.  Importing this package is light: DOLFINx is
imported by the first `problem.discretise(...)`.
"""

from maxwell.errors import AccuracyError, MaxwellError
from maxwell.forward import ForwardMap, LinearForwardMap, Response, SlowPathWarning
from maxwell.parametrisations import Balls, Dipoles, MagneticCells, Parameter, Parametrisation, Voxels
from maxwell.priors import (
    BallPrior,
    BlockyPrior,
    BoundaryPatchPrior,
    GaussianField,
    MagneticDipoles,
    MagnetisedBlocks,
    Prior,
)
from maxwell.problems.cauchy import Cauchy
from maxwell.problems.conductivity import REGION_OF_INTEREST, Conductivity
from maxwell.problems.magnetisation import Magnetisation
from maxwell.spec import problem_from
from maxwell.survey import GaussianPatches

__all__ = [
    "REGION_OF_INTEREST",
    "AccuracyError",
    "BallPrior",
    "Balls",
    "BlockyPrior",
    "BoundaryPatchPrior",
    "Cauchy",
    "Conductivity",
    "Dipoles",
    "ForwardMap",
    "GaussianField",
    "GaussianPatches",
    "LinearForwardMap",
    "MagneticCells",
    "MagneticDipoles",
    "Magnetisation",
    "MagnetisedBlocks",
    "MaxwellError",
    "Parameter",
    "Parametrisation",
    "Prior",
    "Response",
    "SlowPathWarning",
    "Voxels",
    "problem_from",
]
