"""From frozen torch models to the KAN IR."""

from pymodel.lower._lower import lower

__all__ = ["lower"]
