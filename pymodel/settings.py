"""What a run is told: frozen dataclasses, one per section of the configuration, each validating itself.

The YAML file of the command line becomes these (``hwgen.config``); library users construct them directly. Every
field has its section and name in the error message, so that `quantize.activations` can be found in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from pymodel._conv_settings import ConvSettings
from pymodel.errors import ConfigError

__all__ = [
    "BASES",
    "CODERS",
    "CONV_FAMILIES",
    "EMBEDDED_SOURCES",
    "FAMILIES",
    "PTQ_METHODS",
    "QAT_METHODS",
    "SOURCES",
    "ConvSettings",
    "DataSettings",
    "DistillSettings",
    "ModelSettings",
    "PruneSettings",
    "QuantizeSettings",
    "Scale",
    "Source",
    "TaskName",
    "TrainSettings",
]

Source = Literal["digits", "wine", "breast_cancer", "moons", "csv", "idx", "mnist", "npz"]
TaskName = Literal["classification", "regression"]
Scale = Literal["auto", "standard", "minmax", "none"]

SOURCES: Final[tuple[str, ...]] = get_args(Source)
#: Sources that scikit-learn carries: no file, no download.
EMBEDDED_SOURCES: Final = ("digits", "wine", "breast_cancer", "moons")
#: KAN formulas.
FAMILIES: Final = ("efficient_kan", "fast_kan", "kagn", "pykan", "table")
#: Those that have convolutions.
CONV_FAMILIES: Final = ("efficient_kan", "fast_kan", "kagn")
#: How a network becomes integers: trained on with quantizers in place, or from the float weights and some rows.
QAT_METHODS: Final = ("lsq", "lsq_plus", "pact", "dorefa", "qil", "dsq")
PTQ_METHODS: Final = ("minmax", "percentile", "mse", "gptq", "adaround", "brecq", "awq", "hawq_v2")
#: How PTQ finds the range of a hidden layer's codes.
CODERS: Final = ("minmax", "percentile", "mse", "output")
#: Activations of the base branch; `zero` leaves it out.
BASES: Final = ("silu", "gelu", "relu", "tanh", "sigmoid", "identity", "zero")


def _choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, not {value!r}; choose one of these")


def _integer(key: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{key} must be an integer from {low} to {high}, not {value!r}; change it")


def _real(key: str, value: object, low: float, high: float, *, low_open: bool = False, high_open: bool = False) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if good:
        assert isinstance(value, int | float)
        good = (low < value if low_open else low <= value) and (value < high if high_open else value <= high)
    if not good:
        bounds = f"{'above' if low_open else 'at least'} {low:g} and {'below' if high_open else 'at most'} {high:g}"
        raise ConfigError(f"{key} must be a number {bounds}, not {value!r}; change it")


@dataclass(frozen=True)
class DataSettings:
    """Where the rows come from and how they are split and scaled.

    Attributes:
        source: one of :data:`SOURCES`; `csv` reads plain and gzip files alike.
        path: the file (csv, npz), the folder (mnist) or the image file (idx); None for embedded sources.
        label: column of the label or target (csv only).
        task: what the outputs mean.
        labels: the label file of `path` (idx only).
        test_path, test_labels: a second IDX pair to test on; without it, `test_fraction` of the rows is set aside.
        test_fraction: share of the rows set aside for the test, where the source has no test part of its own.
        validation_fraction: share of the training rows on which the best epoch is chosen; never trained on.
        seed: of both splits.
        threshold: makes every feature one bit: 1 where its raw value is at least this, 0 below (family table).
        scale: `minmax` maps `[0, max]` (images) onto the model's range, `standard` maps mean +- 3 standard deviations
            onto it; `auto` takes `minmax` for images and `standard` for tables; `none` leaves features
            and targets as they are.

    Raises:
        ConfigError: for a value out of range or fields that do not combine.
    """

    source: Source
    path: Path | None = None
    label: str | None = None
    task: TaskName = "classification"
    labels: Path | None = None
    test_path: Path | None = None
    test_labels: Path | None = None
    test_fraction: float = 0.2
    validation_fraction: float = 0.1
    seed: int = 0
    threshold: float | None = None
    scale: Scale = "auto"

    def __post_init__(self) -> None:
        _choice("data.source", self.source, SOURCES)
        _choice("data.task", self.task, get_args(TaskName))
        _choice("data.scale", self.scale, get_args(Scale))
        _real("data.test_fraction", self.test_fraction, 0.0, 0.9, low_open=True)
        _real("data.validation_fraction", self.validation_fraction, 0.0, 0.5)
        _integer("data.seed", self.seed, 0, 2**32 - 1)
        if self.threshold is not None:
            _real("data.threshold", self.threshold, -1e30, 1e30)
        for key in ("path", "labels", "test_path", "test_labels"):
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, Path(value))
        embedded = self.source in EMBEDDED_SOURCES
        if embedded and self.path is not None:
            raise ConfigError(f"data.path has no use with the embedded source {self.source!r}; remove it")
        if not embedded and self.path is None:
            raise ConfigError(f"data.source {self.source!r} needs data.path, which is missing; add it")
        if self.source == "csv" and not self.label:
            raise ConfigError("data.source 'csv' needs data.label, the column to predict; add it")
        if self.source != "csv" and self.label is not None:
            raise ConfigError(f"data.label names a CSV column and has no use with source {self.source!r}; remove it")
        if self.source == "idx" and self.labels is None:
            raise ConfigError("data.source 'idx' needs data.labels, the label file of data.path; add it")
        if self.source != "idx":
            for key in ("labels", "test_path", "test_labels"):
                if getattr(self, key) is not None:
                    raise ConfigError(f"data.{key} has no use with source {self.source!r}; remove it")
        if (self.test_path is None) != (self.test_labels is None):
            raise ConfigError("data.test_path and data.test_labels belong together, but one is missing; add it")
        if self.task == "regression" and self.source not in ("csv", "npz"):
            raise ConfigError(f"data.source {self.source!r} has class labels; set data.task to classification")


@dataclass(frozen=True)
class ModelSettings:
    """The network: one KAN layer between each two neighbours of `widths`.

    Attributes:
        widths: features, hidden nodes, outputs; at least two numbers. Behind convolutions, the first dense layer reads
            all that they put out.
        image: [height, width, channels] of the features, channels last, where there are convolutions.
        conv: convolutional layers in front (efficient_kan, fast_kan, kagn); see :class:`ConvSettings`.
        family: the KAN formula: `efficient_kan` (B-splines), `fast_kan` (Gaussians), `kagn` (Gram polynomials), `pykan`
            (B-splines, a grid per input, nodes that multiply), or `table`: every edge is a trained table, for the smallest circuit (docs/fabric.md).
        grid: intervals G of the spline grid inside `range`, or number of Gaussians; kagn has no use for it.
        order: spline order k (each edge has `grid + order` spline weights), or degree of the polynomials; fast_kan has
            no use for it.
        range: the interval `[low, high]` that the grid covers, where the features are mapped to.
        base: activation of the base branch; `zero` leaves it out.
        norm: of the outputs of a kagn layer, and of a convolution of any family: `none`, or `batch` (folded into the
            weights).
        layernorm: normalise what the Gaussians see over the layer's inputs (fast_kan); costs a norm node in hardware.
        multiplication: nodes that multiply instead of adding up (pykan): how many in every hidden layer, or a list with
            one number per width after the first.
        arity: factors of each of these nodes.
        grid_per_input: let every input's grid follow the data (pykan); costs a basis table per input.
        fan_in: inputs that each node keeps (family table): a number for all layers but the last, or a list with a number
            or null (no limit) per layer.
        name: of the model in reports and generated code.

    Raises:
        ConfigError: for a value out of range or a family that is not available.
    """

    widths: tuple[int, ...]
    family: str = "efficient_kan"
    grid: int = 5
    order: int = 3
    range: tuple[float, float] = (-2.0, 2.0)
    base: str = "silu"
    norm: str = "none"
    layernorm: bool = False
    multiplication: int | tuple[int, ...] = 0
    arity: int = 2
    grid_per_input: bool = False
    fan_in: int | tuple[int | None, ...] | None = None
    name: str = "kan"
    image: tuple[int, int, int] | None = None
    conv: tuple[ConvSettings, ...] = ()

    def __post_init__(self) -> None:
        _choice("model.family", self.family, FAMILIES)
        _choice("model.base", self.base, BASES)
        _choice("model.norm", self.norm, ("none", "batch"))
        if self.norm == "batch" and self.family != "kagn" and not self.conv:
            raise ConfigError(f"model.norm 'batch' belongs to the family kagn, not to {self.family}; remove it")
        object.__setattr__(self, "widths", tuple(self.widths))
        if not 2 <= len(self.widths) <= 17:
            raise ConfigError(
                f"model.widths must list 2 to 17 layer sizes from features to outputs, not {len(self.widths)}; change it"
            )
        for width in self.widths:
            _integer("model.widths", width, 1, 1 << 16)
        _integer("model.grid", self.grid, 2 if self.family == "fast_kan" else 1, 64)
        _integer("model.order", self.order, 1, 7)
        pair = tuple(self.range)
        if len(pair) != 2:
            raise ConfigError(f"model.range must be a pair [low, high], not {list(pair)}; change it")
        for value in pair:
            _real("model.range", value, -1e6, 1e6)
        if not pair[0] < pair[1]:
            raise ConfigError(f"model.range must be [low, high] with low < high, not {list(pair)}; change it")
        if pair[1] - pair[0] < max(1e-6, 1e-4 * abs(pair[0]), 1e-4 * abs(pair[1])):  # float32 must tell knots apart
            raise ConfigError(
                f"model.range must be wider than 1e-6 and than 1e-4 of its ends, not {list(pair)}; widen it (features are "
                "mapped onto it)"
            )
        object.__setattr__(self, "range", (float(pair[0]), float(pair[1])))
        self._check_conv()
        self._check_fan_in()
        self._check_nodes()
        if not (self.name.isascii() and self.name.isidentifier() and not self.name.startswith("_")):
            raise ConfigError(f"model.name must be a plain identifier such as 'kan', not {self.name!r}; rename it")
        if len(self.name) > 32:
            raise ConfigError(f"model.name must have at most 32 characters, not {len(self.name)}; shorten it")

    def _check_conv(self) -> None:
        object.__setattr__(self, "conv", tuple(self.conv))
        if not self.conv and self.image is None:
            return
        if not self.conv or self.image is None:
            raise ConfigError(
                "model.conv and model.image belong together: layers, and [height, width, channels]; add both"
            )
        if self.family not in CONV_FAMILIES:
            raise ConfigError(
                f"model.conv needs a family of {', '.join(CONV_FAMILIES)}, not {self.family}; choose one of these"
            )
        if len(self.conv) > 16 or len(self.image) != 3:
            raise ConfigError(
                f"at most 16 layers in model.conv and three numbers in model.image were expected, not {len(self.conv)} and "
                f"{len(self.image)}; change them"
            )
        for size in self.image:
            _integer("model.image", size, 1, 1 << 12)
        object.__setattr__(self, "image", tuple(self.image))
        height, width, channels = self.image
        if height * width * channels != self.widths[0]:
            raise ConfigError(
                f"model.image {list(self.image)} has {height * width * channels} numbers, but model.widths starts with "
                f"{self.widths[0]}; correct one"
            )
        _ = self.conv_edges

    def _check_fan_in(self) -> None:
        if self.fan_in is None:
            return
        if self.family != "table":
            raise ConfigError(f"model.fan_in belongs to the family table, not to {self.family}; remove it")
        if isinstance(self.fan_in, int):
            _integer("model.fan_in", self.fan_in, 1, 1 << 16)
            return
        object.__setattr__(self, "fan_in", tuple(self.fan_in))
        assert isinstance(self.fan_in, tuple)
        if len(self.fan_in) != len(self.widths) - 1:
            raise ConfigError(
                f"model.fan_in has {len(self.fan_in)} values, but the model has {len(self.widths) - 1} layers; give one each"
            )
        for value in self.fan_in:
            if value is not None:
                _integer("model.fan_in", value, 1, 1 << 16)

    def _check_nodes(self) -> None:
        if self.layernorm and self.family != "fast_kan":
            raise ConfigError(f"model.layernorm belongs to the family fast_kan, not to {self.family}; remove it")
        if self.layernorm and min(self.widths[:-1]) < 2:
            raise ConfigError("model.layernorm over one input gives a constant; leave it out or widen model.widths")
        _integer("model.arity", self.arity, 2, 16)
        hidden = len(self.widths) - 1
        counts = (
            (self.multiplication,) * (hidden - 1) + (0,)
            if isinstance(self.multiplication, int)
            else self.multiplication
        )
        if len(counts) != hidden:
            raise ConfigError(
                f"model.multiplication has {len(counts)} values, but {hidden} widths follow the first; give one each"
            )
        for count, width in zip(counts, self.widths[1:], strict=True):
            _integer("model.multiplication", count, 0, width)
        if isinstance(self.multiplication, int):
            _integer("model.multiplication", self.multiplication, 0, 1 << 16)
        else:
            object.__setattr__(self, "multiplication", tuple(self.multiplication))
        for key, given in (("multiplication", any(counts)), ("grid_per_input", self.grid_per_input)):
            if given and self.family != "pykan":
                raise ConfigError(f"model.{key} belongs to the family pykan, not to {self.family}; remove it")

    @property
    def arities(self) -> tuple[tuple[int, ...], ...]:
        """Factors of the nodes that multiply, per layer."""
        hidden = len(self.widths) - 1
        given = self.multiplication
        counts = (given,) * (hidden - 1) + (0,) if isinstance(given, int) else given
        return tuple((self.arity,) * count for count in counts)

    def _conv_shapes(self) -> tuple[tuple[int, ...], int]:
        """Return the edges of the convolutions, and how many numbers the last one puts out (or the image has)."""
        if self.image is None:
            return (), self.widths[0]
        image, edges = self.image, []
        for conv in self.conv:
            image, count = conv.apply(image)
            edges.append(count)
        return tuple(edges), image[0] * image[1] * image[2]

    @property
    def conv_edges(self) -> tuple[int, ...]:
        """Edges of every convolution; all windows share them."""
        return self._conv_shapes()[0]

    @property
    def n_layers(self) -> int:
        """KAN layers, convolutions first."""
        return len(self.conv) + len(self.widths) - 1

    @property
    def edges(self) -> tuple[int, ...]:
        """Edges of every layer; each factor of a node that multiplies has its own."""
        sums = (w - len(a) + sum(a) for w, a in zip(self.widths[1:], self.arities, strict=True))
        conv, flat = self._conv_shapes()
        return *conv, *(n * m for n, m in zip((flat, *self.widths[1:]), sums, strict=False))

    def layer_fan_in(self, layer: int) -> int | None:
        """Return how many inputs each node of layer number `layer` keeps; None is no limit."""
        if isinstance(self.fan_in, tuple):
            return self.fan_in[layer]
        return None if layer == len(self.widths) - 2 else self.fan_in


@dataclass(frozen=True)
class QuantizeSettings:
    """Method and bits of every quantizer.

    Attributes:
        method: one of :data:`QAT_METHODS`, or of :data:`PTQ_METHODS`, which train no epoch (`pymodel.quant.METHODS` tells
            what each is).
        activations: bits of the codes at a layer's input.
        base_weights, spline_weights: bits of the two branches' weights; for `hawq_v2` the mean over all weights is kept
            to the mean of these.
        granularity: of the weights' steps, `tensor` or `channel` (one per output); None stands for the method's own
            (`tensor` in QAT, `channel` in PTQ) and is replaced by it.
        coder: of hidden layers in PTQ, one of :data:`CODERS`; None stands for the method's own, as above; no use in QAT.
        basis: bits of the basis values and of the base branch's activation table.
        implementation: of the basis unit: `rom` (a table by code) or `arith` (integer polynomials, interpolation or
            recurrence); both are exact in every station, `arith` rounds a little more.
        product: bits of the factors of nodes that multiply (pykan).
        edge: bits of an edge's table entry when the edge-table form is trained directly; None trains the branches.
        first_activations: code bits of the first layer; None stands for `activations` and is replaced by it.
        layer_activations: code bits at the input of every layer, instead of the two above.
        layer_edges: bits of a table entry of every layer (family table), instead of `edge`, whose default is then 8.
        input: bits of the integers X at which the chip starts.

    Raises:
        ConfigError: for a value out of range or a method that is not available.
    """

    method: str = "lsq"
    activations: int = 4
    base_weights: int = 4
    spline_weights: int = 4
    basis: int = 6
    implementation: str = "rom"
    edge: int | None = None
    first_activations: int | None = None
    layer_activations: tuple[int, ...] | None = None
    layer_edges: tuple[int, ...] | None = None
    input: int = 8
    granularity: str | None = None
    coder: str | None = None
    product: int = 8

    def __post_init__(self) -> None:
        _choice("quantize.method", self.method, QAT_METHODS + PTQ_METHODS)
        if self.granularity is None:
            object.__setattr__(self, "granularity", "channel" if self.post_training else "tensor")
        _choice("quantize.granularity", self.granularity, ("tensor", "channel"))
        if self.coder is None and self.post_training:
            object.__setattr__(self, "coder", self.method if self.method in CODERS else "output")
        if self.coder is not None:
            _choice("quantize.coder", self.coder, CODERS)
        if self.edge is not None and self.method != "lsq":
            raise ConfigError(
                f"quantize.edge trains tables with lsq, not with {self.method}; leave edge out or use the method lsq"
            )
        if self.method == "awq" and self.implementation != "rom":
            raise ConfigError(
                f"quantize.method awq scales the basis ROM, which the implementation {self.implementation} has not; use rom"
            )
        _integer("quantize.activations", self.activations, 1, 12)
        _integer("quantize.base_weights", self.base_weights, 2, 16)
        _integer("quantize.spline_weights", self.spline_weights, 2, 16)
        _integer("quantize.basis", self.basis, 2, 16)
        _choice("quantize.implementation", self.implementation, ("rom", "arith"))
        _integer("quantize.product", self.product, 3, 16)
        if self.edge is not None:
            _integer("quantize.edge", self.edge, 2, 16)
        if self.first_activations is None:
            object.__setattr__(self, "first_activations", self.activations)
        for key, low, high in (("layer_activations", 1, 12), ("layer_edges", 2, 16)):
            given = getattr(self, key)
            if given is not None:
                object.__setattr__(self, key, tuple(given))
                for bits in given:
                    _integer(f"quantize.{key}", bits, low, high)
        if self.layer_activations:
            object.__setattr__(self, "first_activations", self.layer_activations[0])
        _integer("quantize.first_activations", self.first_activations, 1, 12)
        _integer("quantize.input", self.input, 1, 16)
        assert self.first_activations is not None
        if self.first_activations > self.input:
            raise ConfigError(
                f"quantize.input has {self.input} bits, fewer than the {self.first_activations} bits of the first "
                "layer's activations; raise it"
            )

    @property
    def post_training(self) -> bool:
        """Whether the method trains no epoch."""
        return self.method in PTQ_METHODS

    def activation_bits(self, layer: int) -> int:
        """Return the code bits at the input of layer number `layer` (0 is the first)."""
        if self.layer_activations is not None:
            return self.layer_activations[layer]
        if layer > 0:
            return self.activations
        assert self.first_activations is not None
        return self.first_activations

    def edge_bits(self, layer: int) -> int:
        """Return the bits of a table entry of layer number `layer` (family table)."""
        if self.layer_edges is not None:
            return self.layer_edges[layer]
        return 8 if self.edge is None else self.edge

    def check_layers(self, layers: int) -> None:
        """Check that lists with one number per layer have `layers` of them.

        Raises:
            ConfigError: otherwise.
        """
        for key in ("layer_activations", "layer_edges"):
            given = getattr(self, key)
            if given is not None and len(given) != layers:
                raise ConfigError(
                    f"quantize.{key} has {len(given)} numbers, but the model has {layers} layers; give one each"
                )


@dataclass(frozen=True)
class PruneSettings:
    """How many edges stay; exactly one of `fraction`, `edges`, `layers` and `luts` is given.

    Attributes:
        fraction: share of all edges to remove.
        edges: edges that stay in the whole network, ranked together.
        layers: edges that stay in each layer, ranked layer by layer.
        luts: LUTs that the circuit may cost (family table; an estimate by a rule of thumb, made before there is any).
            In that family the first three count only edges of layers without `model.fan_in`.
        start, end: the part of the float epochs during which edges go (cubic schedule).

    Raises:
        ConfigError: for a value out of range, or none or several of the three.
    """

    fraction: float | None = None
    edges: int | None = None
    layers: tuple[int, ...] | None = None
    luts: int | None = None
    start: float = 0.1
    end: float = 0.7

    def __post_init__(self) -> None:
        given = [key for key in ("fraction", "edges", "layers", "luts") if getattr(self, key) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "none of them"
            raise ConfigError(
                f"train.prune needs exactly one of fraction, edges, layers and luts, not {what}; change it"
            )
        if self.fraction is not None:
            _real("train.prune.fraction", self.fraction, 0.0, 1.0, high_open=True)
        if self.edges is not None:
            _integer("train.prune.edges", self.edges, 1, 1 << 32)
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
            for count in self.layers:
                _integer("train.prune.layers", count, 1, 1 << 32)
        if self.luts is not None:
            _integer("train.prune.luts", self.luts, 1, 1 << 32)
        _real("train.prune.start", self.start, 0.0, 1.0)
        _real("train.prune.end", self.end, 0.0, 1.0)
        if not self.start <= self.end:
            raise ConfigError(f"train.prune.start {self.start:g} lies after train.prune.end {self.end:g}; swap them")

    def targets(self, sizes: tuple[int, ...]) -> int | tuple[int, ...]:
        """Return the edges that stay, in all or per layer, for a network whose layers have `sizes` edges.

        Raises:
            ConfigError: if more edges are to stay than there are, or `layers` has another length.
        """
        if self.luts is not None:
            raise ConfigError("train.prune.luts needs model.family table; give edges instead")
        total = sum(sizes)
        if self.fraction is not None:
            return max(1, total - round(self.fraction * total))
        if self.edges is not None:
            if self.edges > total:
                raise ConfigError(f"train.prune.edges is {self.edges}, but the model has {total} edges; lower it")
            return self.edges
        assert self.layers is not None
        if len(self.layers) != len(sizes):
            raise ConfigError(
                f"train.prune.layers has {len(self.layers)} numbers, but the model has {len(sizes)} layers; give one each"
            )
        for index, (count, size) in enumerate(zip(self.layers, sizes, strict=True)):
            if count > size:
                raise ConfigError(f"train.prune.layers[{index}] is {count}, but that layer has {size} edges; lower it")
        return self.layers


@dataclass(frozen=True)
class DistillSettings:
    """A teacher (family table): a float network trained first in the same run, whose opinion the loss adds.

    Attributes:
        weight: of the teacher's part of the loss; the labels have the rest.
        temperature: T, which softens both sides (Hinton et al. 2015).
        epochs: of the teacher's training.
        hidden: channels (images) or nodes of the teacher.

    Raises:
        ConfigError: for a value out of range.
    """

    weight: float = 0.5
    temperature: float = 3.0
    epochs: int = 5
    hidden: int = 16

    def __post_init__(self) -> None:
        _real("train.distill.weight", self.weight, 0.0, 1.0, low_open=True)
        _real("train.distill.temperature", self.temperature, 0.1, 100.0)
        _integer("train.distill.epochs", self.epochs, 1, 100_000)
        _integer("train.distill.hidden", self.hidden, 1, 4096)


@dataclass(frozen=True)
class TrainSettings:
    """The two phases of training: float, then quantization-aware (QAT).

    Attributes:
        epochs: of the float phase.
        qat_epochs: of the QAT phase.
        batch_size: rows per step.
        learning_rate: at the start of the float phase; a cosine takes it to nearly 0.
        qat_learning_rate: likewise for the QAT phase.
        weight_decay: of AdamW.
        prune: edges to remove during the float phase, or None.
        distill: a teacher, or None.
        augment: `shift` moves each training image by up to one pixel, at random per step; `affine` also turns, scales and
            shears it a little; None leaves rows alone.
        seed: of initialisation, shuffling and augmentation.
        threads: of torch; part of the configuration because the order of float sums depends on it. More than one pays
            from about ten thousand edges on.

    Raises:
        ConfigError: for a value out of range.
    """

    epochs: int = 30
    qat_epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 0.005
    qat_learning_rate: float = 0.002
    weight_decay: float = 1e-4
    prune: PruneSettings | None = None
    distill: DistillSettings | None = None
    augment: Literal["shift", "affine"] | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        _integer("train.epochs", self.epochs, 0, 100_000)
        _integer("train.qat_epochs", self.qat_epochs, 0, 100_000)
        _integer("train.batch_size", self.batch_size, 1, 1 << 20)
        _real("train.learning_rate", self.learning_rate, 0.0, 10.0, low_open=True)
        _real("train.qat_learning_rate", self.qat_learning_rate, 0.0, 10.0, low_open=True)
        _real("train.weight_decay", self.weight_decay, 0.0, 10.0)
        if self.augment is not None:
            _choice("train.augment", self.augment, ("shift", "affine"))
        _integer("train.seed", self.seed, 0, 2**32 - 1)
        _integer("train.threads", self.threads, 1, 256)
