"""KAN layers for torch: float ones for training, and frozen ones that compute the KAN IR's integers."""

from pymodel.layers._activations import ACTIVATIONS, NO_BASE, activate, prelu_name, prelu_slope
from pymodel.layers._bspline import cell_matrix, feature_table, uniform_knots
from pymodel.layers._build import FAMILIES, build_kan, family_of
from pymodel.layers._conv import ConvLayer, ConvSpec, convolve, pool_real
from pymodel.layers._conv_families import (
    EfficientKANConv1d,
    EfficientKANConv2d,
    FastKANConv1d,
    FastKANConv2d,
    KAGNConv1d,
    KAGNConv2d,
)
from pymodel.layers._efficient_kan import MAX_ORDER, EfficientKAN, EfficientKANLinear
from pymodel.layers._fast_kan import FastKAN, FastKANLinear
from pymodel.layers._float_file import load_float, save_float
from pymodel.layers._fold import AfterPReLU, FoldedLayer, fold
from pymodel.layers._frozen import INPUT_NAME, FrozenKAN, frozen_layer
from pymodel.layers._frozen_arithmetic import FrozenNorm, FrozenProduct, normalised
from pymodel.layers._frozen_file import load_frozen, save_frozen
from pymodel.layers._frozen_layer import FrozenLayer
from pymodel.layers._frozen_linear import CoderFacts, FrozenKANLinear
from pymodel.layers._frozen_spatial import FrozenKANConv, FrozenPool
from pymodel.layers._functions import (
    BSplineFunctions,
    Functions,
    GramFunctions,
    RbfFunctions,
    gram_factor,
    gram_values,
)
from pymodel.layers._handlers import ensure_layer_handlers
from pymodel.layers._kagn import KAGN, KAGNLinear
from pymodel.layers._kan import KAN, KANLayer
from pymodel.layers._knot_functions import KnotFunctions
from pymodel.layers._knots import fit_curves, knot_basis
from pymodel.layers._pykan import PyKAN, PyKANLinear, refuse_symbolic

__all__ = [
    "ACTIVATIONS",
    "FAMILIES",
    "INPUT_NAME",
    "KAGN",
    "KAN",
    "MAX_ORDER",
    "NO_BASE",
    "AfterPReLU",
    "BSplineFunctions",
    "CoderFacts",
    "ConvLayer",
    "ConvSpec",
    "EfficientKAN",
    "EfficientKANConv1d",
    "EfficientKANConv2d",
    "EfficientKANLinear",
    "FastKAN",
    "FastKANConv1d",
    "FastKANConv2d",
    "FastKANLinear",
    "FoldedLayer",
    "FrozenKAN",
    "FrozenKANConv",
    "FrozenKANLinear",
    "FrozenLayer",
    "FrozenNorm",
    "FrozenPool",
    "FrozenProduct",
    "Functions",
    "GramFunctions",
    "KAGNConv1d",
    "KAGNConv2d",
    "KAGNLinear",
    "KANLayer",
    "KnotFunctions",
    "PyKAN",
    "PyKANLinear",
    "RbfFunctions",
    "activate",
    "build_kan",
    "cell_matrix",
    "convolve",
    "ensure_layer_handlers",
    "family_of",
    "feature_table",
    "fit_curves",
    "fold",
    "frozen_layer",
    "gram_factor",
    "gram_values",
    "knot_basis",
    "load_float",
    "load_frozen",
    "normalised",
    "pool_real",
    "prelu_name",
    "prelu_slope",
    "refuse_symbolic",
    "save_float",
    "save_frozen",
    "uniform_knots",
]
