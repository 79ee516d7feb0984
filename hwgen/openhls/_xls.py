"""XLS, the scheduler and Verilog writer, behind four functions; the only module that imports `xls`.

XLS aborts the process on input that it does not like, so all of this runs in processes of its own
(:mod:`hwgen.openhls._job`).
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["optimised", "pipeline_verilog", "run_function", "suggested_stages"]


def _top(package: str) -> str:
    """Return the name of the top function."""
    match = re.search(r"^top fn (\w+)\(", package, flags=re.MULTILINE)
    assert match is not None
    return match[1]


def optimised(package: str) -> str:
    """Return the package after XLS's optimiser."""
    from xls import c_api

    return str(c_api.optimize_ir(package, _top(package)))


def pipeline_verilog(package: str, module: str, stages: int) -> str:
    """Return a pipeline with the ports `clk`, `rst`, `in_valid`, `in_data`, `out_valid`, `out`.

    Args:
        package: XLS IR with a function as top.
        module: name of the Verilog module.
        stages: stages of logic; registers stand between them and behind the last, but not in front of the first.
    """
    from xls import c_api

    result = c_api.Package.parse_ir(package).schedule_and_codegen(
        generator="pipeline",
        with_delay_model=True,
        delay_model="unit",
        pipeline_stages=stages,
        flop_inputs=False,
        flop_outputs=True,
        input_valid_signal="in_valid",
        output_valid_signal="out_valid",
        reset="rst",
        reset_active_low=False,
        reset_asynchronous=False,
        reset_data_path=False,
        use_system_verilog=False,
        module_name=module,
    )
    return str(result.get_verilog_text())


def _batched(package: str, n_in: int, in_width: int, n_out: int, out_width: int, *, signed: bool) -> str:
    """Return the package with a wrapper `batch`: arrays of 64-bit words in and out, as the batched JIT wants them."""
    name = _top(package)
    body = package.replace("top fn ", "fn ")
    base = 1 << 28
    lines, parts = [], []
    for k in range(n_in):
        lines += [
            f"  i{k}: bits[32] = literal(value={k}, id={base + 3 * k})",
            f"  w{k}: bits[64] = array_index(words, indices=[i{k}], id={base + 3 * k + 1})",
            f"  p{k}: bits[{in_width}] = bit_slice(w{k}, start=0, width={in_width}, id={base + 3 * k + 2})",
        ]
        parts.append(f"p{k}")
    at = base + 3 * n_in
    lines.append(f"  packed: bits[{n_in * in_width}] = concat({', '.join(reversed(parts))}, id={at})")
    lines.append(f"  called: bits[{n_out * out_width}] = invoke(packed, to_apply={name}, id={at + 1})")
    at += 2
    outs = []
    extend = "sign_ext" if signed else "zero_ext"
    for k in range(n_out):
        lines.append(
            f"  s{k}: bits[{out_width}] = bit_slice(called, start={k * out_width}, width={out_width}, id={at + 2 * k})"
        )
        lines.append(f"  x{k}: bits[64] = {extend}(s{k}, new_bit_count=64, id={at + 2 * k + 1})")
        outs.append(f"x{k}")
    at += 2 * n_out
    head = f"top fn batch(words: bits[64][{n_in}] id={base - 1}) -> bits[64][{n_out}]"
    lines.append(f"  ret all: bits[64][{n_out}] = array({', '.join(outs)}, id={at})")
    return body + f"\n{head} {{\n" + "\n".join(lines) + "\n}\n"


def run_function(
    package: str,
    X: npt.NDArray[np.int64],
    *,
    in_width: int,
    n_out: int,
    out_width: int,
    signed: bool,
    interpreted: int,
) -> npt.NDArray[np.int64]:
    """Run the package's function on integers.

    Args:
        package: XLS IR; its top takes `n_in * in_width` bits.
        X: integers (rows, n_in), slot by slot.
        in_width: bits of an input slot.
        n_out: output slots.
        out_width: bits of each.
        signed: output slots are two's complement.
        interpreted: the first so many rows are run by XLS's interpreter, the others by its JIT.

    Returns:
        int64 (rows, n_out).
    """
    from xls import c_api

    X = np.ascontiguousarray(X, dtype=np.int64)
    result = np.empty((X.shape[0], n_out), dtype=np.int64)
    rows = min(interpreted, X.shape[0])
    parsed = c_api.Package.parse_ir(package)  # functions do not keep their package alive
    function: Any = parsed.get_function(_top(package))
    size = X.shape[1] * in_width
    mask = (1 << in_width) - 1
    for row in range(rows):
        word = 0
        for k, value in enumerate(X[row].tolist()):
            word |= (value & mask) << (k * in_width)
        bits = c_api.Bits.from_bytes(size, word.to_bytes(math.ceil(size / 8), "little"))
        answer = function.interpret([c_api.Value.from_bits(bits)]).get_bits()
        found = int.from_bytes(answer.to_bytes(), "little")
        for k in range(n_out):
            value = found >> (k * out_width) & ((1 << out_width) - 1)
            result[row, k] = value - (1 << out_width) if signed and value >> (out_width - 1) else value
    if rows < X.shape[0]:
        text = _batched(package, X.shape[1], in_width, n_out, out_width, signed=signed)
        batched = c_api.Package.parse_ir(text)
        jit = batched.get_function("batch").to_jit()
        answer = c_api.jit_fn_predict(jit, X[rows:].reshape(-1), 64, X.shape[1], n_out)
        result[rows:] = np.asarray(answer, dtype=np.int64).reshape(-1, n_out)
    return result


#: Delay of an operation in units of a small adder; what is not listed is wiring.
_DELAYS = {
    **dict.fromkeys(("add", "sub", "neg", "ne", "eq", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"), 2),
    **dict.fromkeys(("and", "or", "xor", "not", "nand", "nor", "sel", "priority_sel", "one_hot_sel"), 1),
    **dict.fromkeys(("shll", "shrl", "shra", "array_index", "encode", "one_hot", "and_reduce", "or_reduce"), 2),
    **dict.fromkeys(("umul", "smul"), 4),
    **dict.fromkeys(("udiv", "sdiv", "umod", "smod"), 24),
}
_STAGE_DELAY = 6


def suggested_stages(package: str) -> int:
    """Return the number of pipeline stages that puts about one multiplication and one addition into each."""
    depth: dict[str, int] = {}
    for match in re.finditer(r"^  (?:ret )?([\w.]+): \S+ = (\w+)\((.*)\)$", package, flags=re.MULTILINE):
        before = max((depth.get(name, 0) for name in re.findall(r"[A-Za-z_][\w.]*", match[3])), default=0)
        depth[match[1]] = before + _DELAYS.get(match[2], 0)
    return max(1, -(-max(depth.values(), default=0) // _STAGE_DELAY))
