"""Which IR nodes the plugin generates."""

from __future__ import annotations

from pymodel.ir import EdgeTable, KanLinear, Norm, Product

__all__ = ["ARITHMETIC", "Arithmetic", "LayerNode"]

#: Nodes without tables of functions: they have one fully parallel kernel each, whatever the strategy.
Arithmetic = Product | Norm
ARITHMETIC = (Product, Norm)
LayerNode = KanLinear | EdgeTable | Product | Norm
