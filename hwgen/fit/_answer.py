"""Will it fit? A program's predicted LUTs and flip-flops against what parts offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hwgen.fit._features import Features, features_of
from hwgen.fit._model import QUANTITIES, FitModel, fitted
from hwgen.fit._parts import Part
from pymodel.errors import DataError
from pymodel.ir import KanIR, load_ir

__all__ = ["Answer", "Fit", "Verdict", "fit", "load_program"]

#: Beyond this share of a part's LUTs, placing and routing become hard.
COMFORTABLE = 0.8


class Verdict(Enum):
    """Whether a program fits, given how far off the model was at worst."""

    YES = "yes"
    TIGHT = "tight"
    UNSURE = "unsure"
    NO = "no"


@dataclass(frozen=True)
class Fit:
    """One part: shares of its LUTs (cells, and sites with two small LUTs in one) and flip-flops, and the verdict."""

    part: Part
    lut_share: float
    lut_paired_share: float
    ff_share: float
    verdict: Verdict


@dataclass(frozen=True)
class Answer:
    """A program's features, prediction, and what that means for each part."""

    name: str
    edges: int
    features: Features
    predicted: dict[str, int]
    model: FitModel
    fits: tuple[Fit, ...]

    @property
    def error(self) -> str:
        """One sentence on the model's error."""
        parts = [
            f"{name} median {100 * quantity.median_error:.1f} %, worst {100 * quantity.worst_error:.1f} %"
            for name, quantity in self.model.quantities.items()
        ]
        return (
            f"model error against Yosys on {self.model.designs} designs, each left out of its fit: {'; '.join(parts)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "edges": self.edges,
            "predicted": self.predicted,
            "model_error": {
                "designs": self.model.designs,
                **{
                    name: {"median": quantity.median_error, "worst": quantity.worst_error}
                    for name, quantity in self.model.quantities.items()
                },
            },
            "parts": [
                {
                    "part": fit.part.name,
                    "lut": fit.part.lut,
                    "ff": fit.part.ff,
                    "document": fit.part.document,
                    "lut_share": round(fit.lut_share, 5),
                    "lut_paired_share": round(fit.lut_paired_share, 5),
                    "ff_share": round(fit.ff_share, 5),
                    "verdict": fit.verdict.value,
                }
                for fit in self.fits
            ],
        }


def load_program(source: Path) -> KanIR:
    """Read a program: the folder of a build or of an IR, or an npz file of edge tables.

    Raises:
        DataError: if it is none of these.
        IRError: if the IR is malformed.
    """
    from hwgen.tables import load_tables

    for folder in (source / "ir", source):
        if (folder / "ir.json").is_file():
            return load_ir(folder)
    if source.is_dir():
        raise DataError(f"{source} holds neither ir/ir.json nor ir.json; name a build, an IR, or a file of edge tables")
    return load_tables(source).ir


def _verdict(shares: dict[str, float], model: FitModel) -> Verdict:
    """Judge by the worst error of the model: yes and no hold even then."""
    worst = {name: quantity.worst_error for name, quantity in model.quantities.items()}
    most = max(shares["lut"] * (1 + worst["lut"]), shares["ff"] * (1 + worst["ff"]))
    least = max(shares["lut_paired"] * (1 - worst["lut_paired"]), shares["ff"] * (1 - worst["ff"]))
    if most <= COMFORTABLE:
        return Verdict.YES
    if least > 1:
        return Verdict.NO
    return Verdict.TIGHT if most <= 1 else Verdict.UNSURE


def fit(ir: KanIR, parts: Sequence[Part], model: FitModel | None = None) -> Answer:
    """Predict what a program needs as table RTL, and compare it with parts.

    Args:
        ir: the program.
        parts: the parts.
        model: the model; the one that comes with the package if None.

    Raises:
        IRError: if a layer has no edge-table form.
    """
    chosen = model or fitted()
    features = features_of(ir)
    predicted = {name: chosen.quantities[name].predict(features) for name in QUANTITIES}
    fits = []
    for part in parts:
        offered = {"lut": part.lut, "lut_paired": part.lut, "ff": part.ff}
        shares = {name: predicted[name] / offered[name] for name in QUANTITIES}
        fits.append(Fit(part, shares["lut"], shares["lut_paired"], shares["ff"], _verdict(shares, chosen)))
    return Answer(ir.name, ir.n_edges, features, predicted, chosen, tuple(fits))
