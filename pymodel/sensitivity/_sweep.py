"""One branch at a time: everything else keeps its bits, one quantity gets fewer and fewer, and the integers are measured."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pymodel.errors import ConfigError
from pymodel.ir import HostSpec, Task
from pymodel.layers import KAN, NO_BASE, PyKANLinear
from pymodel.quant import TensorQuantizer, freeze, post_training
from pymodel.settings import CODERS, PTQ_METHODS, QuantizeSettings
from pymodel.suggest import suggest

__all__ = ["BRANCHES", "Curve", "Point", "Rows", "Sensitivity", "SweepSettings", "branches_of", "sweep"]

#: What can be swept. `scaler` is the factor in front of an edge's spline (pykan's `scale_sp`); the other families have
#: none, or an importer has folded it into the spline weights.
BRANCHES: Final = ("activations", "basis", "base", "spline", "scaler")
#: Widths that every branch takes.
_BITS = (2, 12)
#: Settings with a number for the network, and with one per layer, by branch.
_KEYS: Final = {
    "activations": ("activations", "layer_activations"),
    "basis": ("basis", "layer_basis"),
    "base": ("base_weights", "layer_base_weights"),
    "spline": ("spline_weights", "layer_spline_weights"),
}
#: The HAWQ-V2 method chooses bits itself.
_METHODS: Final = tuple(method for method in PTQ_METHODS if method != "hawq_v2")


@dataclass(frozen=True)
class SweepSettings:
    """What is swept, and what stays.

    Attributes:
        bits: of the swept branch, each 2 … 12.
        others: bits of all other branches.
        branches: some of :data:`BRANCHES`; None takes those that the network has.
        method: of post-training quantization.
        coder: of the hidden layers' codes, as `quantize.coder`; None is the method's own.
        granularity: of the weights' steps, `channel` or `tensor`.
        per_layer: sweep every layer alone as well.
        input: bits of the input integers; at least those of the first layer's codes.

    Raises:
        ConfigError: for a value out of range.
    """

    bits: tuple[int, ...] = (8, 7, 6, 5, 4, 3, 2)
    others: int = 8
    branches: tuple[str, ...] | None = None
    method: str = "minmax"
    coder: str | None = None
    granularity: str = "channel"
    per_layer: bool = False
    input: int = 8

    def __post_init__(self) -> None:
        low, high = _BITS
        for bits in (*self.bits, self.others):
            if not low <= bits <= high:
                raise ConfigError(f"a sweep takes {low} to {high} bits, not {bits}; change it")
        if not self.bits or len(set(self.bits)) != len(self.bits):
            raise ConfigError(f"a sweep needs different numbers of bits, not {list(self.bits)}; name each once")
        object.__setattr__(self, "bits", tuple(sorted(self.bits, reverse=True)))
        for branch in self.branches or ():
            if branch not in BRANCHES:
                raise ConfigError(f"there is no branch {branch!r} to sweep; {suggest(branch, BRANCHES)}")
        if self.branches is not None and not self.branches:
            raise ConfigError(f"a sweep needs a branch; name some of {', '.join(BRANCHES)}")
        if self.method not in _METHODS:
            raise ConfigError(
                f"a sweep quantizes without training and at given bits, by {', '.join(_METHODS)}, not by {self.method!r}; "
                "choose one of these"
            )
        if self.coder is not None and self.coder not in CODERS:
            raise ConfigError(f"there is no coder {self.coder!r}; {suggest(self.coder, CODERS)}")
        if self.granularity not in ("tensor", "channel"):
            raise ConfigError(f"the granularity must be tensor or channel, not {self.granularity!r}; change it")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to calibrate on and rows to measure on.

    Attributes:
        calibration: prepared features (rows, I), float32.
        x: raw features (rows, I) to measure on.
        y: (rows,) class indices, or targets in their own unit.
        host: how raw features become the network's inputs, and classes.
        part: which rows are measured, for the record.
    """

    calibration: Tensor
    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    host: HostSpec
    part: str

    def value(self, outputs: npt.NDArray[np.float64]) -> float:
        """Return accuracy, or R², of outputs (rows, N) in the network's scale."""
        if self.host.task is Task.CLASSIFICATION:
            return float(np.mean(outputs.argmax(axis=1) == self.y))
        guess = self.host.target_offset + self.host.target_scale * outputs[:, 0]
        variance = float(np.var(self.y))
        return 1.0 - float(np.mean((guess - self.y) ** 2)) / variance if variance > 0 else float("nan")


@dataclass(frozen=True)
class Point:
    """The integers' accuracy or R² at some bits."""

    bits: int
    value: float


@dataclass(frozen=True)
class Curve:
    """One branch, of the whole network (`layer` is None) or of one layer."""

    branch: str
    layer: int | None
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """For a legend."""
        return self.branch if self.layer is None else f"{self.branch}, layer {self.layer}"


@dataclass(frozen=True)
class Sensitivity:
    """A finished sweep.

    Attributes:
        measure: `accuracy` or `r2`.
        rows, part: how many rows were measured, and of which part of the data.
        calibration_rows: on which codes and weights were settled.
        float_value: of the float network on the same rows.
        reference: of the integers with all branches at `settings.others` bits.
        settings: what was swept, and what stayed.
        layers: KAN layers.
        curves: the results.
    """

    measure: str
    rows: int
    part: str
    calibration_rows: int
    float_value: float
    reference: float
    settings: SweepSettings
    layers: int
    curves: tuple[Curve, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        fixed = dict.fromkeys(_KEYS, f"{self.settings.others} bits")
        return {
            "measure": self.measure,
            "part": self.part,
            "rows": self.rows,
            "calibration_rows": self.calibration_rows,
            "float": self.float_value,
            "reference": self.reference,
            "fixed": fixed
            | {"scaler": "float, folded into the spline weights", "input": f"{self.settings.input} bits"},
            "layers": self.layers,
            "settings": dataclasses.asdict(self.settings),
            "curves": [dataclasses.asdict(curve) for curve in self.curves],
        }


def branches_of(model: KAN) -> tuple[str, ...]:
    """Return the branches that a float network has."""
    layers = list(model.kan_layers())
    found = ["activations", "basis"]
    if any(layer.functions.activation != NO_BASE for layer in layers):
        found.append("base")
    found.append("spline")
    if any(isinstance(layer, PyKANLinear) for layer in layers):
        found.append("scaler")
    return tuple(found)


def sweep(
    model: KAN, rows: Rows, settings: SweepSettings, *, on_point: Callable[[str, int, float], None] | None = None
) -> Sensitivity:
    """Measure the integers of a float network with one branch at a time at fewer bits.

    A branch is one of the four quantities that the hardware rounds: the codes at the inputs of all layers (the first
    one's included), the basis values and base tables, the base weights, the spline weights; or the scaler, a factor of the
    spline weights that is rounded before it is folded into them. Every point is quantized afresh from the float network,
    frozen, and run as integers.

    Args:
        model: the float network; not changed.
        rows: to calibrate and to measure on.
        settings: what is swept.
        on_point: told curve, bits and value of every point.

    Raises:
        ConfigError: if a branch is not there or the method does not settle the network.
        ModelError: if a layer has no integer form.
    """
    there = branches_of(model)
    wanted = settings.branches or there
    for branch in wanted:
        if branch not in there:
            raise ConfigError(f"the network has no {branch} to sweep; it has {', '.join(there)}")
    source = copy.deepcopy(model).eval()
    count = len(source.layers)
    with torch.no_grad():
        features = torch.from_numpy(rows.host.prepare(rows.x).astype(np.float32))
        outputs = torch.cat([source(block) for block in torch.split(features, 1024)]).double().numpy()
    reference = _measure(source, _bits(settings, None, None, settings.others, count), settings, rows)
    curves = []
    for branch, layer in _plans(wanted, settings.per_layer, count):
        points = []
        for bits in settings.bits:
            if branch != "scaler" and bits == settings.others:
                value = reference
            else:
                trial = _rounded_scalers(source, bits, layer, settings.granularity) if branch == "scaler" else source
                chosen = _bits(settings, branch, layer, bits, count)
                value = _measure(trial, chosen, settings, rows)
            points.append(Point(bits, value))
            if on_point is not None:
                on_point(branch if layer is None else f"{branch}, layer {layer}", bits, value)
        curves.append(Curve(branch, layer, tuple(points)))
    return Sensitivity(
        measure="accuracy" if rows.host.task is Task.CLASSIFICATION else "r2",
        rows=len(rows.y),
        part=rows.part,
        calibration_rows=len(rows.calibration),
        float_value=rows.value(outputs),
        reference=reference,
        settings=settings,
        layers=count,
        curves=tuple(curves),
    )


def _plans(branches: tuple[str, ...], per_layer: bool, layers: int) -> Iterator[tuple[str, int | None]]:
    for branch in branches:
        yield branch, None
        if per_layer:
            yield from ((branch, layer) for layer in range(layers))


def _bits(settings: SweepSettings, branch: str | None, layer: int | None, bits: int, layers: int) -> dict[str, Any]:
    """Return the bits of a quantization in which one branch has `bits`, and all others those that stay."""
    chosen: dict[str, Any] = {plain: settings.others for plain, _ in _KEYS.values()}
    if branch in _KEYS:
        plain, listed = _KEYS[branch]
        if layer is None:
            chosen[plain] = bits
        else:
            chosen[listed] = tuple(bits if index == layer else settings.others for index in range(layers))
    first = chosen.get("layer_activations", (chosen["activations"],))[0]
    return chosen | {"input": max(settings.input, first)}


def _measure(model: KAN, bits: dict[str, Any], settings: SweepSettings, rows: Rows) -> float:
    """Return the value of the integers."""
    chosen = QuantizeSettings(method=settings.method, coder=settings.coder, granularity=settings.granularity, **bits)
    frozen = freeze(post_training(model, chosen, rows.calibration), name="sweep", host=rows.host)
    X = frozen.in_type.quantize(rows.host.prepare(rows.x))
    name, last = list(frozen.named_layers())[-1]
    outputs = last.value_offset + last.value_lsb * frozen.run(X)[name].astype(np.float64)
    return rows.value(outputs)


@torch.no_grad()
def _rounded_scalers(model: KAN, bits: int, layer: int | None, granularity: str) -> KAN:
    """Return a copy whose scalers are rounded to `bits` signed bits, the largest magnitude (of an output) at the largest level."""
    result = copy.deepcopy(model)
    for index, part in enumerate(result.kan_layers()):
        if not isinstance(part, PyKANLinear) or layer not in (None, index):
            continue
        scaler = part.scale_sp
        quantizer = TensorQuantizer(bits, channels=scaler.shape[0] if granularity == "channel" else None)
        largest = scaler.abs().amax(dim=1) if granularity == "channel" else scaler.abs().max()
        quantizer.set_step(torch.where(largest > 0, largest, 1.0) / quantizer.high)
        scaler.copy_(quantizer(scaler))
    return result
