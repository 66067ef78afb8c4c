"""Residual network: the explicit Euler scheme."""

from torch import Tensor

from surrogates.nets.recursive import RecursiveNet


class ResNet(RecursiveNet):
    """y_l = y_{l−1} + τ_l σ(K_l y_{l−1} + b_l): a = 0, c_l = τ_l.

    Explicit Euler for y' = σ(K(t) y + b(t)), order 1, no memory: cost linear in L. Any time grid. With
    learned steps: Antil, Díaz and Herberg (arXiv 2204.08528), Benning et al. (doi 10.3934/jcd.2019009).
    Gradients at early layers can shrink like Π(1 − τ_l β‖K_l‖); where that bites, ``Fractional`` has a direct
    path.
    """

    def memory(self) -> tuple[Tensor | None, Tensor]:
        """Return (None, τ)."""
        return None, self.steps()
