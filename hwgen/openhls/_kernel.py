"""A kernel on its way: C++ file and top name to a flat program with intervals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hwgen.openhls._access import GlobalBytes
from hwgen.openhls._clang import Compiled, Source, compile_source, parameter_extents
from hwgen.openhls._errors import Refused
from hwgen.openhls._ifconvert import Flat, flatten
from hwgen.openhls._interface import Direction, Interface, Port
from hwgen.openhls._jit import Call, CallPort
from hwgen.openhls._job import elaborate
from hwgen.openhls._llvm import Function, parse_function

__all__ = [
    "Elaborated",
    "Kernel",
    "PortSpec",
    "elaborate_compiled",
    "elaborate_kernel",
    "find_interface",
    "flatten_kernel",
    "lower_kernel",
]


@dataclass(frozen=True)
class PortSpec:
    """What is known of a parameter beside the C++ signature: name, length (0: unknown) and direction."""

    name: str = ""
    count: int = 0
    direction: Direction = Direction.UNKNOWN


@dataclass(frozen=True)
class Elaborated:
    """An optimised kernel, before anything decides how it becomes hardware.

    Attributes:
        source: what was compiled.
        symbol: mangled name of the top function.
        text: the optimised LLVM module, which also lies in the job's folder.
        function: the top function, parsed.
        globals: bytes of the module's globals.
        interface: the ports; directions may be unknown.
        seconds: `clang` and `optimise`.
    """

    source: Source
    symbol: str
    text: str
    function: Function
    globals: Mapping[str, GlobalBytes]
    interface: Interface
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Kernel:
    """A kernel without loops, flattened.

    Attributes:
        elaborated: where it comes from.
        flat: the flat program.
        call: how its function is called natively.
        seconds: of all steps so far.
    """

    elaborated: Elaborated
    flat: Flat
    call: Call
    seconds: Mapping[str, float]

    @property
    def interface(self) -> Interface:
        """The ports, every direction decided."""
        return self.flat.interface


def find_interface(compiled: Compiled, specs: tuple[PortSpec, ...] | None, source: Source) -> Interface:
    """Return the interface from the signature, and from `specs` or the definition's text what a signature lacks.

    Raises:
        Refused: if there are more or fewer specs than parameters, or one contradicts the signature.
    """
    interface = compiled.interface
    skip = int(interface.result)
    parameters = interface.ports[skip:]
    if specs is None:
        extents = parameter_extents(source, interface.top) or [("", 0)] * len(parameters)
        specs = tuple(PortSpec(name, count) for name, count in extents)
    if len(specs) != len(parameters):
        raise Refused(
            f"an interface of {len(specs)} ports for {len(parameters)} parameters",
            interface.top,
            "list every parameter",
        )
    ports = [*interface.ports[:skip], *(_port(interface.top, p, s) for p, s in zip(parameters, specs, strict=True))]
    names = [p.name for p in ports]
    if len(set(names)) != len(names):
        raise Refused(f"two parameters of one name ({names})", interface.top, "name every parameter differently")
    for p in ports:
        if p.count == 0:
            raise Refused(
                f"the parameter {p.name!r}, a pointer of unknown length",
                interface.top,
                "write it as an array, as in x[8], or give its length in the interface file",
            )
    return replace(interface, ports=tuple(ports))


def _port(top: str, port: Port, spec: PortSpec) -> Port:
    if port.count and spec.count > 1 and spec.count != port.count:
        raise Refused(
            f"{spec.count} elements for the parameter {spec.name or port.name!r}, which has {port.count}",
            top,
            "correct the interface",
        )
    direction = port.direction
    if spec.direction is not Direction.UNKNOWN:
        if direction not in (Direction.UNKNOWN, spec.direction):
            raise Refused(
                f"the parameter {spec.name or port.name!r} as {spec.direction}, which C++ passes as {direction}",
                top,
                "correct the interface",
            )
        direction = spec.direction
    return replace(port, name=spec.name or port.name, count=port.count or spec.count, direction=direction)


def elaborate_kernel(source: Source, top: str, folder: Path, specs: tuple[PortSpec, ...] | None = None) -> Elaborated:
    """Compile a file, run its constructors, optimise, and parse the top function.

    Args:
        source: what to compile.
        top: the function, as C++ names it.
        folder: for the files of the jobs; keep it as long as the result is used.
        specs: names, lengths and directions of the parameters; None reads them off the definition's text.

    Raises:
        Refused: for what cannot become hardware.
        ToolError: if clang rejects the file.
    """
    started = time.monotonic()
    compiled = compile_source(source, top)
    interface = find_interface(compiled, specs, source)
    return elaborate_compiled(compiled, interface, source, folder, time.monotonic() - started)


def elaborate_compiled(
    compiled: Compiled, interface: Interface, source: Source, folder: Path, clang_seconds: float = 0.0
) -> Elaborated:
    """Run constructors, optimise, and parse the top function of what clang made; see :func:`elaborate_kernel`."""
    middle, top = time.monotonic(), interface.top
    text, found = elaborate(folder, compiled.text, compiled.symbol, top)
    function = parse_function(text, compiled.symbol, top)
    globals_ = {
        name: GlobalBytes(None if entry["content"] is None else bytes.fromhex(entry["content"]), entry["constant"])
        for name, entry in found.items()
    }
    seconds = {"clang": clang_seconds, "optimise": time.monotonic() - middle}
    return Elaborated(source, compiled.symbol, text, function, globals_, interface, seconds)


def native_call(elaborated: Elaborated, interface: Interface) -> Call:
    """Return how the kernel's function is called: from its LLVM parameters and the directions of its ports."""
    function = elaborated.function
    kinds = [0 if t.kind == "ptr" else t.bits for _, t in function.parameters]
    in_register = interface.result and not function.sret
    if in_register:
        kinds.insert(0, function.result.bits)
    ports = tuple(
        CallPort(p.count, p.width, p.signed, p.stride, p.direction is Direction.OUT, bits)
        for p, bits in zip(interface.ports, kinds, strict=True)
    )
    return Call(ports, function.result.bits if in_register else 0)


def lower_kernel(source: Source, top: str, folder: Path, specs: tuple[PortSpec, ...] | None = None) -> Kernel:
    """Return a kernel without loops as a flat program; arguments and errors as for :func:`elaborate_kernel`."""
    return flatten_kernel(elaborate_kernel(source, top, folder, specs))


def flatten_kernel(elaborated: Elaborated) -> Kernel:
    """Return an elaborated kernel without loops as a flat program.

    Raises:
        Refused: for what cannot become hardware.
    """
    started = time.monotonic()
    flat = flatten(elaborated.function, elaborated.interface, elaborated.globals)
    seconds = {**elaborated.seconds, "flatten": time.monotonic() - started}
    return Kernel(elaborated, flat, native_call(elaborated, flat.interface), seconds)
