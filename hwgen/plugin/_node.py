"""Which IR nodes the plugin generates."""

from __future__ import annotations

from pymodel.ir import EdgeTable, KanConv, KanLinear, Norm, Pool, Product

__all__ = ["ARITHMETIC", "SPATIAL", "Arithmetic", "LayerNode", "Spatial", "reuse_domain"]

#: Nodes without tables of functions: they have one fully parallel kernel each, whatever the strategy.
Arithmetic = Product | Norm
ARITHMETIC = (Product, Norm)
#: Nodes of images: windows that slide.
Spatial = KanConv | Pool
SPATIAL = (KanConv, Pool)
LayerNode = KanLinear | EdgeTable | Product | Norm | KanConv | Pool


def reuse_domain(node: LayerNode, io_type: str) -> tuple[int, str]:
    """Return the number that a reuse factor divides, and what it counts.

    In arrays, a convolution's hardware is that of some windows, used several times. In streams it is that of one window;
    a reuse factor divides the inputs of that window, as it does those of a dense layer. A pool has no multipliers that
    streams could share.
    """
    if not isinstance(node, SPATIAL):
        return node.n_in, "inputs"
    if io_type == "io_parallel":
        return node.geometry.n_windows, "windows"
    if isinstance(node, Pool):
        return 1, "stream of windows"
    return node.geometry.n_taps * node.geometry.channels, "inputs of a window"
