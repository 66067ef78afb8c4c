"""Classical inversion, the yardstick of every learned one: numpy alone, any forward map."""

from maxwell.inversion.tikhonov import LinearisedTikhonov

__all__ = ["LinearisedTikhonov"]
