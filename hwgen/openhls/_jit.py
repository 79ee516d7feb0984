"""Runs a kernel natively, row by row: LLVM's JIT on the optimised code, or a shared library that g++ made."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from hwgen.openhls._constructors import start_llvm
from pymodel.ir import IntArray

__all__ = ["Call", "CallPort", "call_rows", "run_jit", "run_library"]

_INTEGERS: dict[int, Any] = {1: ctypes.c_int8, 2: ctypes.c_int16, 4: ctypes.c_int32, 8: ctypes.c_int64}
_NUMPY: dict[int, Any] = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


@dataclass(frozen=True)
class CallPort:
    """A port as the calling convention passes it; `bits` of a value in a register, 0 for an address."""

    count: int
    width: int
    signed: bool
    stride: int
    output: bool
    bits: int


@dataclass(frozen=True)
class Call:
    """The ports in the order of the parameters, a returned value first; `returns` its bits in a register, or 0."""

    ports: tuple[CallPort, ...]
    returns: int


def call_rows(address: int, call: Call, X: IntArray) -> IntArray:
    """Call the function at `address` for every row of `X` (rows, inputs); return (rows, outputs)."""
    rows = X.shape[0]
    inputs = [p for p in call.ports if not p.output]
    outputs = [p for p in call.ports if p.output]
    starts = np.cumsum([0, *(p.count for p in inputs)])
    buffers: dict[int, Any] = {}
    for port, start in zip(inputs, starts[:-1], strict=True):
        part = X[:, start : start + port.count]
        buffers[id(port)] = np.ascontiguousarray(part, dtype=np.int64).astype(_NUMPY[port.stride])
    for port in outputs:
        buffers[id(port)] = np.zeros((rows, port.count), dtype=_NUMPY[port.stride])
    returned = call.ports[0] if call.returns else None
    passed = [p for p in call.ports if p is not returned]
    kinds = [_INTEGERS[max(1, _bytes(p.bits))] if p.bits else ctypes.c_void_p for p in passed]
    result_kind = _INTEGERS[_bytes(call.returns)] if call.returns else None
    function = ctypes.CFUNCTYPE(result_kind, *kinds)(address)
    columns = [
        buffers[id(p)][:, 0].tolist()
        if p.bits
        else [buffers[id(p)].ctypes.data + row * p.count * p.stride for row in range(rows)]
        for p in passed
    ]
    answers = [function(*arguments) for arguments in zip(*columns, strict=True)]
    if returned is not None:
        buffers[id(returned)][:, 0] = np.array(answers, dtype=np.int64)
    return np.concatenate([_trimmed(buffers[id(p)], p) for p in outputs], axis=1)


def _bytes(bits: int) -> int:
    return 1 << (max(1, -(-bits // 8)) - 1).bit_length()


def _trimmed(values: Any, port: CallPort) -> IntArray:
    """Return the low `width` bits of memory as integers."""
    wide: IntArray = values.astype(np.int64)
    shift = 64 - port.width
    return (wide << shift) >> shift if port.signed else wide & ((1 << port.width) - 1)


def run_jit(text: str, symbol: str, call: Call, X: IntArray) -> IntArray:
    """Run the function `symbol` of an LLVM module on every row."""
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    engine = llvm.create_mcjit_compiler(module, start_llvm())
    engine.finalize_object()
    return call_rows(engine.get_function_address(symbol), call, X)


def run_library(path: Path, pointer: str, call: Call, X: IntArray) -> IntArray:
    """Run the function that the variable `pointer` of a shared library points to on every row."""
    library = ctypes.CDLL(str(path))
    address = ctypes.c_void_p.in_dll(library, pointer).value
    assert address is not None
    return call_rows(address, call, X)


def read_call(data: dict[str, Any]) -> Call:
    """Return the call that JSON describes."""
    ports: Sequence[dict[str, Any]] = data["ports"]
    return Call(tuple(CallPort(**p) for p in ports), data["returns"])
