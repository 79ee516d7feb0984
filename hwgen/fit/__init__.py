"""Will a program fit a part? Answered from its edge tables in a second, before anything is generated or synthesised."""

from hwgen.fit._answer import Answer, Fit, Verdict, fit, load_program
from hwgen.fit._features import Features, features_of
from hwgen.fit._model import FitModel, Quantity, fit_model, fitted
from hwgen.fit._parts import DEFAULT_PARTS, PARTS, Part, find_part

__all__ = [
    "DEFAULT_PARTS",
    "PARTS",
    "Answer",
    "Features",
    "Fit",
    "FitModel",
    "Part",
    "Quantity",
    "Verdict",
    "features_of",
    "find_part",
    "fit",
    "fit_model",
    "fitted",
    "load_program",
]
