"""kan4ml's models: float and quantized KANs, the KAN IR, and the numba reference."""

from pymodel._version import __version__

__all__ = ["__version__"]
