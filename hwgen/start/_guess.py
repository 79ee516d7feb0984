"""Guesses for every part of a configuration from a few facts about the rows. Rules of thumb, each with its reason.

They come from the builds of `examples/`: a KAN of one hidden layer, codes of few bits, and as many edges as a table
circuit of some thousand LUTs holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pymodel.data import Dataset

__all__ = ["Facts", "Guess", "guess"]

#: Training steps of the float phase; QAT takes half as many.
_STEPS: Final = {"classification": 3000, "regression": 6000}
#: Up to so many edges nothing is pruned.
_ALL_EDGES: Final = 100
#: Rows that are looked at for the values of a feature.
_SEEN_ROWS: Final = 20_000


@dataclass(frozen=True)
class Guess:
    """One guessed key.

    Attributes:
        key: dotted, such as `quantize.activations`.
        value: plain YAML types.
        why: half a sentence; empty where the value says it all.
    """

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Facts:
    """What the guesses depend on.

    Attributes:
        task: `classification` or `regression`.
        rows: of the whole data set.
        features: columns, without the label.
        outputs: classes, or 1.
        levels: most different values of any feature (of the rows looked at).
        pixels: whether all features are integers from 0 to at most 255, as in images.
        beyond: largest share of a feature's values outside mean +- 3 standard deviations.
    """

    task: str
    rows: int
    features: int
    outputs: int
    levels: int
    pixels: bool
    beyond: float

    @classmethod
    def of(cls, dataset: Dataset) -> Facts:
        """Return the facts of a data set."""
        x = dataset.x_train[:_SEEN_ROWS].astype(np.float64)
        mean, std = x.mean(axis=0), x.std(axis=0)
        beyond = (np.abs(x - mean) > 3 * std).mean(axis=0).max(initial=0.0)
        whole = bool((x == np.floor(x)).all() and x.min() == 0 and x.max() <= 255)
        return cls(
            task=dataset.task.name.lower(),
            rows=len(dataset.y_train) + len(dataset.y_test),
            features=dataset.n_features,
            outputs=dataset.n_outputs,
            levels=max(np.unique(column).size for column in x.T),
            pixels=whole and dataset.n_features >= 16,
            beyond=float(beyond),
        )


def guess(facts: Facts, *, simulator: bool = True, synthesis: bool = True) -> tuple[Guess, ...]:
    """Return a guess for every key of the sections `model`, `quantize`, `train` and `hardware`, and `data`'s scaling.

    Args:
        facts: about the rows.
        simulator: Verilator and cocotb are there, so RTL can be checked.
        synthesis: Yosys is there, too.
    """
    hidden = _hidden(facts)
    edges = hidden * (facts.features + facts.outputs)
    return (
        *_data(facts),
        *_model(facts, hidden),
        *_quantize(facts),
        *_train(facts, edges),
        *_hardware(simulator, synthesis),
    )


def _hidden(facts: Facts) -> int:
    if facts.rows < 300:
        return 4
    if facts.task == "regression":
        return min(max(2 * facts.features + 2, 4), 16)
    return min(max(round(math.sqrt(facts.features * facts.outputs)) + 2, 4), 32)


def _data(facts: Facts) -> list[Guess]:
    scale, why = "standard", "mean +- 3 standard deviations become the model's range"
    if facts.pixels:
        scale, why = "minmax", "all features are integers from 0 to 255 at most, as pixels are"
    elif facts.beyond > 0.05:
        scale = "minmax"
        why = f"a feature has {100 * facts.beyond:.0f} % of its values beyond 3 standard deviations"
    small = facts.rows < 500
    return [
        Guess("data.scale", scale, why),
        Guess("data.test_fraction", 0.2, "a fifth of the rows is only tested on"),
        Guess(
            "data.validation_fraction",
            0 if small else 0.1,
            f"{facts.rows} rows: train on all that are not tested on" if small else "these choose the best epoch",
        ),
        Guess("data.seed", 0, ""),
    ]


def _model(facts: Facts, hidden: int) -> list[Guess]:
    last = "the target" if facts.task == "regression" else "classes"
    grid = 8 if facts.features <= 8 and facts.rows >= 1000 else 5 if facts.rows >= 300 else 4
    return [
        Guess("model.widths", [facts.features, hidden, facts.outputs], f"features, hidden nodes, {last}"),
        Guess("model.grid", grid, "few features and many rows: finer splines pay" if grid == 8 else "spline intervals"),
        Guess("model.order", 3, "cubic splines"),
        Guess("model.range", [-2, 2], "what the features are scaled to"),
    ]


def _quantize(facts: Facts) -> list[Guess]:
    if facts.task == "regression":
        bits, weights, basis, first, why = 6, 8, 8, 8, "a regression needs more levels than a class does"
    else:
        bits, weights, basis, first, why = 4, 4, 6, 6, "16 codes: an edge is a table of 16 entries"
    if facts.levels <= 16:
        first, first_why = min(first, 4), f"no feature has more than {facts.levels} different values"
    elif facts.pixels:
        first, first_why = min(first, 4), "pixels are noisier than 16 levels"
    else:
        first_why = "measurements keep more levels" if first > 6 else "64 codes: a table that one LUT6 per bit holds"
    return [
        Guess("quantize.activations", bits, why),
        Guess("quantize.first_activations", first, first_why),
        Guess("quantize.base_weights", weights, ""),
        Guess("quantize.spline_weights", weights, ""),
        Guess("quantize.basis", basis, ""),
        Guess("quantize.input", 10 if first > 6 else 8, "bits of the integers at the chip's input"),
    ]


def _train(facts: Facts, edges: int) -> list[Guess]:
    batch = 16 if facts.rows < 300 else 32 if facts.rows < 2000 else 128 if facts.rows < 50_000 else 256
    per_epoch = max(1, math.ceil(0.72 * facts.rows / batch))
    epochs = min(max(round(_STEPS[facts.task] / per_epoch), 5), 200)
    kept = edges if edges <= _ALL_EDGES else min(edges, _two_digits(10 * math.sqrt(edges)))
    guesses = [
        Guess("train.epochs", epochs, f"about {epochs * per_epoch} steps for {facts.rows} rows"),
        Guess("train.qat_epochs", max(3, epochs // 2), "with quantizers in place"),
        Guess("train.batch_size", batch, ""),
        Guess("train.learning_rate", 0.01, ""),
        Guess("train.qat_learning_rate", 0.003, ""),
        Guess("train.weight_decay", 0.1 if facts.rows < 500 else 0.01, "few rows: hold the splines flat" if facts.rows < 500 else ""),
    ]  # fmt: skip
    if kept < edges:
        guesses.append(Guess("train.prune", {"edges": kept}, f"of {edges}; each one that goes saves a table"))
    return [*guesses, Guess("train.seed", 0, "")]


def _two_digits(value: float) -> int:
    unit: int = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return round(value / unit) * unit


def _hardware(simulator: bool, synthesis: bool) -> list[Guess]:
    rtl = "Verilog from the edge tables" if simulator else "no Verilog: pip install 'kan4ml[sim]', then write [tables]"
    synth = "LUT estimates by Yosys" if synthesis else "Yosys is absent: pip install 'kan4ml[synth]', then write true"
    return [
        Guess("hardware.part", "xcvu9p-flga2104-2L-e", "the FPGA; `kan4ml fit` says which others will do"),
        Guess("hardware.clock_ns", 5, "nanoseconds"),
        Guess("hardware.rtl", ["tables"] if simulator else [], rtl),
        Guess("hardware.synth", simulator and synthesis, synth if simulator else "needs Verilog"),
        Guess("hardware.vectors", 10_000, "random rows of the equivalence checks, beside others"),
    ]
