"""The batched C entry points that are added to hls4ml's bridge: integers in and out, and floats in and out.

They call the very top function that is synthesized, one row at a time, in several threads.
"""

from __future__ import annotations

import json
from typing import Any

from hls4ml.model.layers import Input, Reshape, Transpose
from hls4ml.model.types import FixedPrecisionType, IntegerPrecisionType

from hwgen.plugin._layer import KanLayer
from hwgen.plugin._passes import kan_layers
from hwgen.plugin._tables import checks
from hwgen.plugin._taps import TAPS_HEADER, description, row_size

__all__ = [
    "BATCH_HEADER",
    "CHECKS_HEADER",
    "REALS_HEADER",
    "batch_entry_points",
    "has_batch_entry_points",
    "table_checks",
]

#: The header of the row loop, below `firmware/`.
BATCH_HEADER = "kan_csim/batch.h"
#: The header of the table checks, below `firmware/`.
CHECKS_HEADER = "kan_csim/fits.h"
#: The header of the conversion of reals, below `firmware/`.
REALS_HEADER = "kan_csim/reals.h"


def _using(model: Any) -> str:
    """Return the statement that makes the model's own namespace visible, if it has one."""
    namespace = model.config.get_writer_config().get("Namespace", None)
    return f"    using namespace {namespace};\n" if namespace is not None else ""


def has_batch_entry_points(model: Any) -> bool:
    """Return whether inputs and outputs are fixed-point numbers of at most 62 bits, the inputs all of one type."""
    if any(w.storage.lower() == "bram" for w in model.get_weight_variables()):
        return False
    inputs = [variable.type.precision for variable in model.get_input_variables()]
    kinds = [*inputs, *(variable.type.precision for variable in model.get_output_variables())]
    if any(kind != inputs[0] for kind in inputs):
        return False
    return all(isinstance(kind, FixedPrecisionType | IntegerPrecisionType) and kind.width <= 62 for kind in kinds)


def _streams(model: Any) -> bool:
    return bool(model.config.get_config_value("IOType") == "io_stream")


def _has_state(model: Any) -> bool:
    """Return whether a call may leave something for the next one: hls4ml's own streaming layers keep static buffers."""
    known = (KanLayer, Input, Reshape, Transpose)
    return _streams(model) and not all(
        isinstance(layer, known) or layer.class_name in ("Clone", "Repack") for layer in model.get_layers()
    )


def _ports(model: Any) -> tuple[list[tuple[str, str, int, int]], list[tuple[str, str, int, int]]]:
    """Return C++ name, type, size and offset in a row of every input and of every output."""

    def ports(variables: list[Any], prefix: str) -> list[tuple[str, str, int, int]]:
        result, offset = [], 0
        for index, variable in enumerate(variables):
            size = int(variable.size())
            result.append((f"{prefix}{index}_ap", str(variable.type.name), size, offset))
            offset += size
        return result

    return ports(model.get_input_variables(), "x"), ports(model.get_output_variables(), "y")


def batch_entry_points(model: Any) -> str:
    """Return the C++ text of the entry points; see :mod:`sim.csim` and :mod:`hwgen.plugin._predict` for the other side.

    Several inputs, or several outputs, lie one after the other in a row.

    Args:
        model: a model for which :func:`has_batch_entry_points` holds.
    """
    inputs, outputs = _ports(model)
    n_in, n_out = sum(size for _, _, size, _ in inputs), sum(size for _, _, size, _ in outputs)
    if _streams(model):
        declare = "".join(f'        hls::stream<{kind}> {name}("{name}");\n' for name, kind, *_ in [*inputs, *outputs])
    else:
        declare = "".join(f"        {kind} {name}[{size}];\n" for name, kind, size, _ in [*inputs, *outputs])
    threads = "1" if _has_state(model) else "n_threads"
    call = f"{model.config.get_project_name()}({', '.join(name for name, *_ in [*inputs, *outputs])});"
    read = "".join(
        f"        kan_csim::{'write_stream' if _streams(model) else 'write_array'}<{kind}, {size}>"
        f"(x + row * {n_in} + {offset}, {name});\n"
        for name, kind, size, offset in inputs
    )
    drain = "".join(f"        kan_csim::drain({name});\n" for name, *_ in outputs) if _streams(model) else ""
    using = _using(model)
    text = f"""
// Batched entry points of the simulation. Threads share nothing but the constant tables.
#include "firmware/{BATCH_HEADER}"
#include "firmware/{REALS_HEADER}"
#include "firmware/{TAPS_HEADER}"

extern "C" {{

const char *kan_csim_describe() {{
    return {json.dumps(description(model))};
}}

// x: n_rows rows of {n_in} raw input integers; taps: n_rows rows of {row_size(model)} integers, see kan_csim_describe.
void kan_csim_run(long long n_rows, const long long *x, long long *taps, int n_threads) {{
{using}    kan_csim::for_each_row(n_rows, {threads}, [=](long long row) {{
{declare}{read}        kan_csim::tap_row() = taps + row * {row_size(model)};
        {call}
        kan_csim::tap_row() = 0;
{drain}    }});
}}

// Likewise, but every layer behind the first reads its row of `inject`, laid out like `taps`, instead of what the layer before it gave.
void kan_csim_run_alone(long long n_rows, const long long *x, const long long *inject, long long *taps, int n_threads) {{
{using}    kan_csim::for_each_row(n_rows, {threads}, [=](long long row) {{
{declare}{read}        kan_csim::tap_row() = taps + row * {row_size(model)};
        kan_csim::inject_row() = inject + row * {row_size(model)};
        {call}
        kan_csim::tap_row() = 0;
        kan_csim::inject_row() = 0;
{drain}    }});
}}
"""
    for real in ("float", "double"):
        convert = "".join(
            f"        kan_csim::write_reals<{kind}, {size}>(x + row * {n_in} + {offset}, {name});\n"
            if not _streams(model)
            else f"        nnet::convert_data<const {real}, {kind}, {size}>(x + row * {n_in} + {offset}, {name});\n"
            for name, kind, size, offset in inputs
        )
        store = "".join(
            f"        nnet::convert_data<{kind}, {real}, {size}>({name}, y + row * {n_out} + {offset});\n"
            for name, kind, size, offset in outputs
        )
        text += f"""
void kan_csim_predict_{real}(long long n_rows, const {real} *x, {real} *y, int n_threads) {{
{using}    kan_csim::for_each_row(n_rows, {threads}, [=](long long row) {{
{declare}{convert}        {call}
{store}    }});
}}
"""
    return text + '\n} // extern "C"\n'


def table_checks(model: Any) -> str:
    """Return the C++ text of the check of all KAN tables, for the end of the top function's file.

    It stands there and not in the bridge, because only one file may include hls4ml's weights.
    """
    check = "\n".join(
        f"    {line}" for layer in kan_layers(model) for line in checks(layer.node, layer.reuse, layer.streams)
    )
    return f"""
#ifndef __SYNTHESIS__
#include "{CHECKS_HEADER}"

// One line per table that holds an entry which its type or its use does not allow; empty if all is well.
extern "C" const char *kan_csim_check() {{
{_using(model)}    static std::string problems;
    problems.clear();
{check}
    return problems.c_str();
}}
#endif
"""
