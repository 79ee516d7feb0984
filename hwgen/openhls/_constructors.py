"""Static constructors: run them once, here, and write what they left as the globals' initial values.

`w_t W[] = {0.125, ...}` is a zero-filled global and code that fills it before `main`. Runs in a process of its own,
because constructors may do anything.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm

from hwgen.openhls._errors import Refused

__all__ = ["global_bytes", "run_constructors", "start_llvm"]

#: Destructors of globals are registered with it; hardware never runs them.
_AT_EXIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)
_GLOBAL = re.compile(r'^@("[^"]+"|[-\w.$]+) = (.*)$', flags=re.MULTILINE)
_INITIAL = re.compile(r"\b(?P<kind>global|constant) ")


def start_llvm() -> Any:
    """Initialise LLVM for this machine and return a target machine; a JIT compiler takes it over, so ask for each."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.add_symbol("__cxa_atexit", ctypes.cast(_AT_EXIT, ctypes.c_void_p).value)
    return llvm.Target.from_default_triple().create_target_machine()


def run_constructors(text: str, shown: str) -> str:
    """Return the module with the effect of its static constructors, and without them.

    Args:
        text: LLVM code.
        shown: the kernel's name in messages.

    Raises:
        Refused: if a constructor calls something that does not exist here.
    """
    if "@llvm.global_ctors" not in text:
        return text
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    builder = llvm.create_pass_builder(start_llvm(), llvm.create_pipeline_tuning_options(0))
    passes = builder.getModulePassManager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)
    _check_resolved(module, shown)
    module = llvm.parse_assembly(_exported(str(module)))
    names = [v.name for v in module.global_variables if not v.is_declaration and not v.name.startswith("llvm.")]
    engine = llvm.create_mcjit_compiler(module, start_llvm())
    engine.finalize_object()
    before = _bytes(engine, module, names)
    engine.run_static_constructors()
    after = _bytes(engine, module, names)
    changed = {name: after[name] for name in names if after[name] != before[name]}
    return _rewritten(text, changed)


def _exported(text: str) -> str:
    """Return the module with every global visible to the JIT's symbol table."""

    def export(match: re.Match[str]) -> str:
        body = re.sub(r"^(private|internal|linkonce_odr|weak_odr|linkonce|weak) ", "", match[2])
        return match[0] if match[1].startswith("llvm.") else f"@{match[1]} = {body}"

    return _GLOBAL.sub(export, text)


def _check_resolved(module: Any, shown: str) -> None:
    for function in module.functions:
        name = function.name
        if function.is_declaration and not name.startswith("llvm.") and llvm.address_of_symbol(name) is None:
            raise Refused(
                f"a static initialiser that calls {name[:80]!r}", shown, "initialise tables with integer constants"
            )
    for variable in module.global_variables:
        name = variable.name
        if variable.is_declaration and llvm.address_of_symbol(name) is None:
            raise Refused(f"a static initialiser that uses {name[:80]!r}", shown, "define it in the file")


def _bytes(engine: Any, module: Any, names: Sequence[str]) -> dict[str, bytes]:
    layout = llvm.create_target_data(module.data_layout)
    sizes = {v.name: layout.get_abi_size(v.global_value_type) for v in module.global_variables}
    return {name: ctypes.string_at(engine.get_global_value_address(name), sizes[name]) for name in names}


def _literal(content: bytes) -> str:
    return "".join(f"\\{byte:02X}" for byte in content)


def _rewritten(text: str, changed: dict[str, bytes]) -> str:
    def rewrite(match: re.Match[str]) -> str:
        name, body = match[1].strip('"'), match[2]
        if name == "llvm.global_ctors":
            return ""
        if name not in changed:
            return match[0]
        align = re.search(r", align \d+", body)
        content = changed[name]
        return f'@{match[1]} = internal global [{len(content)} x i8] c"{_literal(content)}"{align[0] if align else ""}'

    return _GLOBAL.sub(rewrite, text)


def global_bytes(text: str) -> dict[str, dict[str, Any]]:
    """Return the initial bytes (hexadecimal; None if they hold addresses) and constness of every global of a module."""
    found: dict[str, dict[str, Any]] = {}
    plain: list[str] = []
    types = re.findall(r"^%\S.* = type .*$", text, flags=re.MULTILINE)
    for match in _GLOBAL.finditer(text):
        name, body = match[1].strip('"'), match[2]
        kind = _INITIAL.search(body)
        if name.startswith("llvm.") or kind is None:
            continue
        found[name] = {"content": None, "constant": kind["kind"] == "constant"}
        outside = re.sub(r'c"[^"]*"', "", body)  # bytes are written as text, which may hold any of these signs
        if "external " not in body[: kind.start()] and "@" not in outside:
            value = re.sub(r"(, !\w+ !\d+)+$", "", body[kind.end() :])
            plain.append(f"@{match[1]} = {kind['kind']} {value}")
    module = llvm.parse_assembly("\n".join([*types, *plain]))
    module.triple = llvm.get_process_triple()
    names = [variable.name for variable in module.global_variables]
    if names:
        engine = llvm.create_mcjit_compiler(module, start_llvm())
        engine.finalize_object()
        for name, content in _bytes(engine, module, names).items():
            found[name]["content"] = content.hex()
    return found
