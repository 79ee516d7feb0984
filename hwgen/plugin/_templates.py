"""hls4ml's templates of KAN layers: what goes into `parameters.h` and into the top function."""

from __future__ import annotations

from typing import Any

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate

from hwgen.plugin._cpp import layer_identifier
from hwgen.plugin._layer import KanLayer
from hwgen.plugin._tables import arguments, config_structs, function, table_header_path
from hwgen.plugin._taps import TAPS_HEADER, tap_offset

__all__ = ["KanConfigTemplate", "KanFunctionTemplate"]


class KanConfigTemplate(LayerConfigTemplate):  # type: ignore[misc]  # hls4ml publishes no types
    """Writes a layer's config structs."""

    def __init__(self) -> None:
        super().__init__(KanLayer)

    def format(self, node: KanLayer) -> str:
        """Return the structs of `node`."""
        return config_structs(node.get_attr("kan_ir"), node.reuse, node.streams)


def _cast(node: KanLayer, variable: Any) -> tuple[list[str], str, str]:
    """Return lines that convert the input to the layer's input type, and the name and type of what the kernel reads."""
    kind = node.get_attr("kan_cast_t")
    if kind is None:
        return [], variable.name, variable.type.name
    name, n_in = f"layer{node.index}_in", node.node.n_in
    if node.streams:
        beat = int(variable.type.n_elem) * int(variable.type.n_pack)
        pack = f"nnet::array<{kind.name}, {beat}>"
        lines = [
            f'hls::stream<{pack}> {name}("{name}");',
            f"#pragma HLS STREAM variable={name} depth={n_in // beat}",
            f"kan4ml::cast_stream<{variable.type.name}, {pack}, {n_in}>({variable.name}, {name});",
        ]
        return lines, name, pack
    lines = [
        f"{kind.name} {name}[{n_in}];",
        f"#pragma HLS ARRAY_PARTITION variable={name} complete dim=0",
        f"layer{node.index}_cast:",
        f"for (unsigned i = 0; i < {n_in}; i++) {{",
        "    #pragma HLS UNROLL",
        f"    {name}[i] = {variable.name}[i];",
        "}",
    ]
    return lines, name, kind.name


def _tap(node: KanLayer, name: str, kind: str, count: int, offset: int) -> list[str]:
    tap = "tap_stream" if node.streams else "tap"
    return ["#ifndef __SYNTHESIS__", f"kan_csim::{tap}<{kind}, {count}>({name}, {offset});", "#endif"]


class KanFunctionTemplate(FunctionCallTemplate):  # type: ignore[misc]  # hls4ml publishes no types
    """Writes a layer's call, with taps for the simulation that are gone in synthesis."""

    def __init__(self) -> None:
        super().__init__(KanLayer)

    def transform(self, model: Any, node: KanLayer) -> bool:
        """Set `function_cpp` and the headers that the call needs."""
        result = super().transform(model, node)
        library = "kan4ml/kan4ml_stream.h" if node.streams else "kan4ml/kan4ml.h"
        node.set_attr("include_header", [library, TAPS_HEADER, table_header_path(node.node)])
        return bool(result)

    def format(self, node: KanLayer) -> list[str]:
        """Return the lines of the call."""
        output = node.get_output_variable()
        lines, data, data_t = _cast(node, node.get_input_variable())
        offsets = tap_offset(node)
        if offsets.cast is not None:
            lines += _tap(node, data, data_t, node.node.n_in, offsets.cast)
        config = f"{layer_identifier(node.node.name)}_config"
        kernel = function(node.node, node.reuse, node.streams) + ("_stream" if node.streams else "")
        call = f"{kernel}<{data_t}, {output.type.name}, {config}>"
        lines.append(f"{call}({', '.join([data, output.name, *arguments(node.node, node.reuse, node.streams)])});")
        return lines + _tap(node, output.name, output.type.name, node.node.n_out, offsets.output)
