"""The section `quantize`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pymodel.errors import ConfigError
from pymodel.settings._checks import check_choice, check_integer

__all__ = ["CODERS", "PTQ_METHODS", "QAT_METHODS", "STARTS", "QuantizeSettings"]

#: How a network becomes integers: trained on with quantizers in place, or from the float weights and some rows.
QAT_METHODS: Final = ("lsq", "lsq_plus", "pact", "dorefa", "qil", "dsq")
PTQ_METHODS: Final = ("minmax", "percentile", "mse", "gptq", "adaround", "brecq", "awq", "hawq_v2")
#: How PTQ finds the range of a hidden layer's codes.
CODERS: Final = ("minmax", "percentile", "mse", "output")
#: Where QAT starts.
STARTS: Final = ("gptq", "float", "plain")


#: Lists with a number per layer, and the range of the numbers.
_LISTS: Final = (
    ("layer_activations", 1, 12),
    ("layer_edges", 2, 16),
    ("layer_base_weights", 2, 16),
    ("layer_spline_weights", 2, 16),
    ("layer_basis", 2, 16),
)


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
        layer_base_weights, layer_spline_weights, layer_basis: bits of every layer, instead of those of all layers.
        layer_edges: bits of a table entry of every layer (family table), instead of `edge`, whose default is then 8.
        input: bits of the integers X at which the chip starts.
        start: of QAT, one of :data:`STARTS`: `gptq` from the weights and codes of GPTQ with the same bits, `float` from the float
            weights and GPTQ's codes, `plain` from the float weights, with steps and codes of least squared error. None stands
            for `gptq` with 3 bits or fewer somewhere, else for `plain` (docs/training.md); no use in PTQ.

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
    layer_base_weights: tuple[int, ...] | None = None
    layer_spline_weights: tuple[int, ...] | None = None
    layer_basis: tuple[int, ...] | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        check_choice("quantize.method", self.method, QAT_METHODS + PTQ_METHODS)
        if self.granularity is None:
            object.__setattr__(self, "granularity", "channel" if self.post_training else "tensor")
        check_choice("quantize.granularity", self.granularity, ("tensor", "channel"))
        if self.coder is None and self.post_training:
            object.__setattr__(self, "coder", self.method if self.method in CODERS else "output")
        if self.coder is not None:
            check_choice("quantize.coder", self.coder, CODERS)
        if self.edge is not None and self.method != "lsq":
            raise ConfigError(
                f"quantize.edge trains tables with lsq, not with {self.method}; leave edge out or use the method lsq"
            )
        if self.method == "awq" and self.implementation != "rom":
            raise ConfigError(
                f"quantize.method awq scales the basis ROM, which the implementation {self.implementation} has not; use rom"
            )
        check_integer("quantize.activations", self.activations, 1, 12)
        check_integer("quantize.base_weights", self.base_weights, 2, 16)
        check_integer("quantize.spline_weights", self.spline_weights, 2, 16)
        check_integer("quantize.basis", self.basis, 2, 16)
        check_choice("quantize.implementation", self.implementation, ("rom", "arith"))
        check_integer("quantize.product", self.product, 3, 16)
        if self.edge is not None:
            check_integer("quantize.edge", self.edge, 2, 16)
        if self.first_activations is None:
            object.__setattr__(self, "first_activations", self.activations)
        if self.start is not None:
            check_choice("quantize.start", self.start, STARTS)
            if self.edge is not None and self.start != "plain":
                raise ConfigError(
                    f"quantize.start {self.start} settles branches, but quantize.edge has none; use plain"
                )
        for key, low, high in _LISTS:
            given = getattr(self, key)
            if given is not None:
                object.__setattr__(self, key, tuple(given))
                for bits in given:
                    check_integer(f"quantize.{key}", bits, low, high)
        self._check_lists()
        if self.layer_activations:
            object.__setattr__(self, "first_activations", self.layer_activations[0])
        check_integer("quantize.first_activations", self.first_activations, 1, 12)
        check_integer("quantize.input", self.input, 1, 16)
        assert self.first_activations is not None
        if self.first_activations > self.input:
            raise ConfigError(
                f"quantize.input has {self.input} bits, fewer than the {self.first_activations} bits of the first "
                "layer's activations; raise it"
            )

    def _check_lists(self) -> None:
        weights = self.layer_base_weights is not None or self.layer_spline_weights is not None
        if weights and self.method == "hawq_v2":
            raise ConfigError(
                "quantize.method hawq_v2 chooses the weights' bits layer by layer; leave layer_base_weights and "
                "layer_spline_weights out, or use another method"
            )
        if self.edge is not None and (weights or self.layer_basis is not None):
            raise ConfigError(
                "quantize.edge trains tables, in which weights and basis have no bits; leave edge out, or the layer_ lists of both"
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

    def weight_bits(self, layer: int) -> tuple[int, int]:
        """Return the bits of base and spline weights of layer number `layer`."""
        base, spline = self.layer_base_weights, self.layer_spline_weights
        return (
            self.base_weights if base is None else base[layer],
            self.spline_weights if spline is None else spline[layer],
        )

    def basis_bits(self, layer: int) -> int:
        """Return the bits of the basis values of layer number `layer`."""
        return self.basis if self.layer_basis is None else self.layer_basis[layer]

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
        for key, _, _ in _LISTS:
            given = getattr(self, key)
            if given is not None and len(given) != layers:
                raise ConfigError(
                    f"quantize.{key} has {len(given)} numbers, but the model has {layers} layers; give one each"
                )
