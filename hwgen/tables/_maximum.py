"""The maximum of a pool to Verilog: a tree of comparators per window and channel, a register behind each."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.tables._verilog import vector
from pymodel.ir import FixedPoint, Interval, Pool, PoolKind

__all__ = ["MaximumPlan", "emit_maximum", "plan_maximum"]


@dataclass(frozen=True)
class MaximumPlan:
    """How a pool's maxima are built.

    Level 0 is the input integers; the values of a level are the maxima of two of the one before, or one of them delayed.
    Windows that overlap share what they have in common.

    Attributes:
        node: the pool.
        in_type: of its input integers.
        levels: of each level from 1 on, its values: (a,) or (a, b), places in the level before.
        outputs: the place of each output in the last level.
        intervals: the range of each output.
    """

    node: Pool
    in_type: FixedPoint
    levels: tuple[tuple[tuple[int, ...], ...], ...]
    outputs: tuple[int, ...]
    intervals: tuple[Interval, ...]

    @property
    def latency(self) -> int:
        """Cycles from input to output."""
        return len(self.levels)

    @property
    def register_bits(self) -> int:
        """Bits of all registers."""
        return self.in_type.width * sum(map(len, self.levels))


def plan_maximum(node: Pool, in_type: FixedPoint, domain: tuple[Interval, ...]) -> MaximumPlan:
    """Return the plan of a maximum.

    Args:
        node: a pool that is a maximum.
        in_type: of its input integers.
        domain: (n_in,), their ranges.
    """
    assert node.op is PoolKind.MAX, node.op
    channels = node.geometry.channels
    left = [
        [int(pixel) * channels + channel for pixel in pixels if pixel >= 0]
        for pixels in node.geometry.taps()
        for channel in range(channels)
    ]
    intervals = tuple(Interval(max(domain[i].low for i in w), max(domain[i].high for i in w)) for w in left)
    levels: list[tuple[tuple[int, ...], ...]] = []
    while not levels or any(len(window) > 1 for window in left):  # at least one: an output is a register
        places: dict[tuple[int, ...], int] = {}
        left = [
            [places.setdefault(tuple(window[j : j + 2]), len(places)) for j in range(0, len(window), 2)]
            for window in left
        ]
        levels.append(tuple(places))
    return MaximumPlan(node, in_type, tuple(levels), tuple(window[0] for window in left), intervals)


def emit_maximum(plan: MaximumPlan, module: str) -> str:
    """Return the Verilog of a maximum: a module with the ports of :func:`~hwgen.tables.netlist.emit_layer`."""
    node, width = plan.node, plan.in_type.width
    total = len(plan.outputs) * width

    def order(name: str) -> str:
        """Return what compares as an unsigned number as `name` compares in its type."""
        if not plan.in_type.signed:
            return name
        return f"{{~{name}[{width - 1}]{f', {name}[{width - 2}:0]' if width > 1 else ''}}}"

    lines = [
        f"// Layer {node.name}: {len(plan.outputs)} maxima, latency {plan.latency} cycles.",
        "`default_nettype none",
        f"module {module} (",
        "  /* verilator lint_off UNUSEDSIGNAL */ // not every pixel is in a window",
        "  input wire clk,",
        f"  input wire {vector(node.n_in * width)}x,",
        "  /* verilator lint_on UNUSEDSIGNAL */",
        f"  output wire {vector(total)}y",
        ");",
    ]
    read = sorted({place for value in plan.levels[0] for place in value})
    lines += [f"wire {vector(width)}m0_{i} = x[{i * width + width - 1}:{i * width}];" for i in read]
    for number, level in enumerate(plan.levels, start=1):
        lines.append("")
        for place, value in enumerate(level):
            first, *second = (f"m{number - 1}_{i}" for i in value)
            name = f"m{number}_{place}"
            lines.append(f"reg {vector(width)}{name};")
            larger = f"{order(second[0])} > {order(first)} ? {second[0]} : {first}" if second else first
            lines.append(f"always @(posedge clk) {name} <= {larger};")
    lines.append("")
    for number, (place, interval) in enumerate(zip(plan.outputs, plan.intervals, strict=True)):
        lines.append(f"// output {number}: {interval.low} ... {interval.high}")
        lines.append(f"assign y[{number * width + width - 1}:{number * width}] = m{plan.latency}_{place};")
    return "\n".join([*lines, "endmodule", "`default_nettype wire", ""])
