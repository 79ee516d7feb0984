"""A convolution between streams: one pixel per clock, the line buffer of the C++ is the state.

The C++ of a stream layer is a loop over pixels whose body is `kan4ml::next_pixel`. That body becomes a kernel without
loops, called with the number of the pixel and the bytes of the line buffer; its result is the buffer afterwards and, if
the pixel completes a window, a beat of the output. The loop around it is a proc, as for rolled layers. The whole C++
function, streams and all, is compiled too and run by LLVM's JIT: it is a station of the self-check.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwgen.openhls._access import Machine
from hwgen.openhls._builder import Builder
from hwgen.openhls._clang import Compiled, Source
from hwgen.openhls._errors import Refused
from hwgen.openhls._ifconvert import Region, order_of
from hwgen.openhls._interface import Direction, Interface, Port
from hwgen.openhls._kernel import PortSpec, elaborate_compiled, find_interface
from hwgen.openhls._memory import Memory
from hwgen.openhls._narrow import Fact
from hwgen.openhls._rolled import Rolled, State
from hwgen.openhls._rolled_machine import ROUND, STATE
from hwgen.openhls._rolled_project import LayerCall
from pymodel.ir import KanConv, Node

__all__ = ["STREAM_UNITS", "roll_stream", "stream_source", "stream_unit"]

#: Stream kernels, and what they do with a window.
STREAM_UNITS = {
    "kan4ml::edge_table_conv2d_stream": "kan4ml::edge_table_unit",
    "kan4ml::kan_conv2d_stream": "kan4ml::kan_conv_unit<{config}::has_base>",
}
_DESCENTS = 4
_PIXEL, _X, _BEFORE, _AFTER, _Y, _WRITTEN = "pixel", "x", "before", "after", "y", "written"


def _geometry(call: LayerCall, node: Node) -> KanConv:
    if call.kernel not in STREAM_UNITS or not isinstance(node, KanConv):
        raise Refused(
            f"the layer {call.layer} between streams, which is no convolution with a window per clock",
            call.kernel,
            "convert with io_parallel",
        )
    g = node.geometry
    if g.padding_top or g.padding_bottom or g.padding_left or g.padding_right:
        raise Refused(
            f"the convolution {call.layer} between streams with padding, which takes clocks in which no pixel comes",
            call.kernel,
            "convert with io_parallel, or pad the image before",
        )
    if g.height * g.width < 2 or g.out_height * g.out_width < 2:
        raise Refused(
            f"the convolution {call.layer} between streams of one pixel or one window",
            call.kernel,
            "convert with io_parallel",
        )
    return node


def stream_source(source: Source, node: Node) -> Source:
    """Return a source whose streams are queues for the beats of one image of a convolution."""
    assert isinstance(node, KanConv)
    pixels = node.geometry.height * node.geometry.width
    return replace(
        source, includes=(Path(__file__).parent / "cpp", *source.includes), defines=(f"KAN4ML_BEATS={pixels}",)
    )


def stream_unit(call: LayerCall, node: Node) -> tuple[str, str, str]:
    """Return C++ with two functions, and their names: the layer on a whole image in arrays, and the body of its loop.

    Raises:
        Refused: if the layer is no convolution that takes a pixel and may complete a window in every clock.
    """
    g = _geometry(call, node).geometry
    pixels, windows, config = g.height * g.width, g.out_height * g.out_width, f"kan_{call.layer}_config"
    unit, body = STREAM_UNITS[call.kernel].format(config=config), f"{call.top}_body"
    text = f"""#include "defines.h"
#include "parameters.h"
#include <string.h>
typedef {call.data} kan_in_t;
typedef {call.result} kan_out_t;
typedef kan4ml::buffer_of<{unit}, kan_in_t, {config}>::type kan_buffer_t;
typedef kan4ml::windows<{config}::geometry> kan_sizes;
void {call.top}(const kan_in_t::value_type x[{g.channels * pixels}], kan_out_t::value_type y[{node.n_out}]) {{
    hls::stream<kan_in_t> in;
    hls::stream<kan_out_t> out;
    for (unsigned p = 0; p < {pixels}; p++) {{
        kan_in_t beat;
        for (unsigned c = 0; c < {g.channels}; c++)
            beat[c] = x[p * {g.channels} + c];
        in.write(beat);
    }}
    {call.kernel}<kan_in_t, kan_out_t, {config}>(in, out, {call.tables});
    for (unsigned w = 0; w < {windows}; w++) {{
        const kan_out_t beat = out.read();
        for (unsigned o = 0; o < {config}::n_out; o++)
            y[w * {config}::n_out + o] = beat[o];
    }}
}}
void {body}(unsigned short {_PIXEL}, const kan_in_t::value_type ({_X})[{g.channels}],
        const unsigned char (&{_BEFORE})[sizeof(kan_buffer_t)], unsigned char (&{_AFTER})[sizeof(kan_buffer_t)],
        kan_out_t::value_type ({_Y})[{config}::n_out], ap_uint<1> &{_WRITTEN}) {{
    const unsigned row = {_PIXEL} / {g.width}, column = {_PIXEL} % {g.width};
    const bool complete = row + 1 >= kan_sizes::extent_h && (row + 1 - kan_sizes::extent_h) % {g.stride_h} == 0 &&
                          column + 1 >= kan_sizes::extent_w && (column + 1 - kan_sizes::extent_w) % {g.stride_w} == 0;
    hls::stream<kan_in_t> in;
    hls::stream<kan_out_t> out;
    kan_buffer_t buffer;
    memcpy((void *)&buffer, {_BEFORE}, sizeof buffer);
    kan_in_t beat;
    for (unsigned c = 0; c < {g.channels}; c++)
        beat[c] = {_X}[c];
    in.write(beat);
    kan4ml::next_pixel<{unit}, kan_in_t, kan_out_t, {config}>(row, column, complete, buffer, in, out, {call.tables});
    memcpy({_AFTER}, (const void *)&buffer, sizeof buffer);
    const kan_out_t result = out.read();
    for (unsigned o = 0; o < {config}::n_out; o++)
        {_Y}[o] = result[o];
    {_WRITTEN} = complete;
}}
"""
    return text, call.top, body


class _BodyMachine(Machine):
    """Ports of the body as pseudo-inputs of a rolled kernel: the number of the pixel, the line buffer, the pixel."""

    trip = 1
    states: dict[int, Fact]

    def _input(self, port: Port, element: int) -> int:
        b = self.builder
        if port.name == _PIXEL:
            return b.resize(b.input((ROUND, 0), port.bits + 1, Fact(0, self.trip - 1)), port.bits, is_signed=False)
        if port.name == _BEFORE:
            state = b.input((STATE, element), port.bits + 1, self.states.get(element, Fact(0, 255)))
            return b.resize(state, port.bits, is_signed=False)
        return super()._input(port, element)


def roll_stream(compiled: Compiled, source: Source, node: Node, folder: Path) -> Rolled:
    """Return a convolution between streams as a rolled kernel.

    Args:
        compiled: the body of its loop, see :func:`stream_unit`.
        source: where that comes from.
        node: the layer in the IR.
        folder: for the files of the jobs.

    Raises:
        Refused: if the C++ is outside the subset.
    """
    assert isinstance(node, KanConv)
    g = node.geometry
    specs = (
        PortSpec(_PIXEL, 1, Direction.IN),
        PortSpec(_X, g.channels, Direction.IN),
        PortSpec(_BEFORE, 0, Direction.IN),
        PortSpec(_AFTER, 0, Direction.OUT),
        PortSpec(_Y, node.n_out // (g.out_height * g.out_width), Direction.OUT),
        PortSpec(_WRITTEN, 1, Direction.OUT),
    )
    elaborated = elaborate_compiled(compiled, find_interface(compiled, specs, source), source, folder)
    facts: dict[int, Fact] = {}
    for _ in range(_DESCENTS):
        builder = Builder()
        machine = _BodyMachine(builder, elaborated.interface, elaborated.globals)
        machine.trip, machine.states = g.height * g.width, facts
        region = Region(elaborated.function, machine, machine.parameters(elaborated.function))
        edges = region.run(order_of(elaborated.function, compiled.top), Memory())
        interface = machine.finish(region.joined(edges), region.returned)
        better = _bounds(builder, interface)
        if better == facts:
            break
        facts = better
    ports = {p.name: p for p in interface.ports}
    outputs = builder.program.outputs
    states = tuple(State(k, facts[k], 0, outputs[_AFTER, k]) for k in _needed(builder, ports))
    shown = Interface(compiled.top, (ports[_X], ports[_Y]))
    windows = g.out_height * g.out_width
    return Rolled(
        builder, shown, g.height * g.width, g.channels, states, (), sends=outputs[_WRITTEN, 0], samples=windows
    )


def _bounds(builder: Builder, interface: Interface) -> dict[int, Fact]:
    """Return the interval of every byte of the line buffer: 0 at first, and all that follows."""
    port = next(p for p in interface.ports if p.name == _AFTER)
    after = [builder.facts[builder.program.outputs[_AFTER, k]] for k in range(port.count)]
    return {k: Fact(0, fact.high if fact.low >= 0 else 255) for k, fact in enumerate(after)}


def _needed(builder: Builder, ports: dict[str, Port]) -> list[int]:
    """Return the bytes of the line buffer that an output depends on, now or later."""
    outputs, ops = builder.program.outputs, builder.program.ops
    wanted = {outputs[_Y, k] for k in range(ports[_Y].count)} | {outputs[_WRITTEN, 0]}
    states: set[int] = set()
    while True:
        needed = set(wanted)
        for number in range(len(ops) - 1, -1, -1):
            if number in needed:
                needed.update(ops[number].args)
        found = {ops[n].data[1] for n in needed if ops[n].kind == "input" and ops[n].data[0] == STATE}
        if found <= states:
            return sorted(states)
        states |= found
        wanted |= {outputs[_AFTER, k] for k in found}
