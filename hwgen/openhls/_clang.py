"""The front of the C++ road: clang (from the ziglang wheel) turns a file into LLVM code and tells a function's signature.

The file is compiled as it is: a translation unit of ours includes the `ap_types` headers, defines `__SYNTHESIS__`,
includes the file, and takes the address of the top function; so templates, namespaces and macros work as in any C++.
"""

from __future__ import annotations

import importlib.util
import re
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.openhls._errors import Refused
from hwgen.openhls._interface import Direction, Interface, Port
from pymodel.errors import ConfigError, ToolError
from sim.process import run_tool, tool_environment

__all__ = ["Compiled", "Source", "compile_functions", "compile_source", "parameter_extents", "require_clang"]

_TARGET = ("-target", "x86_64-linux-gnu", "-mcpu=baseline")
_FLAGS = (
    *("-std=c++17", "-O1", "-g0", "-w", "-Xclang", "-disable-llvm-passes", "-fno-exceptions", "-fno-stack-protector"),
    *("-fno-sanitize=all", "-fno-threadsafe-statics", "-ferror-limit=4", "-fno-color-diagnostics"),
)
# These headers specialise std::complex in a way that libc++ does not accept.
_DEFINES = ("-D__AP_INT_SPECIAL_H__", "-D__AP_FIXED_SPECIAL_H__")
_TOP = re.compile(r"[A-Za-z_]\w*(::[A-Za-z_]\w*)*(<[\w:, <>-]*>)?")
_NAME = re.compile(r"[A-Za-z]\w*")
_TIMEOUT = 600.0
_FIELDS = 8

#: The probe: one record of `_FIELDS` integers for the result and for each parameter.
_PROBE = r"""
namespace kan4ml_probe {
template <class T> struct type_of { static constexpr long long kind = __is_class(T) ? 3 : 4, width = 0, integer = 0, sign = 0; };
template <int W> struct type_of<ap_int<W>> { static constexpr long long kind = 1, width = W, integer = W, sign = 1; };
template <int W> struct type_of<ap_uint<W>> { static constexpr long long kind = 1, width = W, integer = W, sign = 0; };
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct type_of<ap_fixed<W, I, Q, O, N>> {
  static constexpr long long kind = 1, width = W, integer = I, sign = 1; };
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct type_of<ap_ufixed<W, I, Q, O, N>> {
  static constexpr long long kind = 1, width = W, integer = I, sign = 0; };
template <class T, bool S> struct native { static constexpr long long kind = 2, width = 8 * sizeof(T), integer = width, sign = S; };
template <> struct type_of<bool> { static constexpr long long kind = 2, width = 1, integer = 1, sign = 0; };
template <> struct type_of<char> : native<char, (char(-1) < 0)> {};
template <> struct type_of<signed char> : native<signed char, true> {};
template <> struct type_of<unsigned char> : native<unsigned char, false> {};
template <> struct type_of<short> : native<short, true> {};
template <> struct type_of<unsigned short> : native<unsigned short, false> {};
template <> struct type_of<int> : native<int, true> {};
template <> struct type_of<unsigned> : native<unsigned, false> {};
template <> struct type_of<long> : native<long, true> {};
template <> struct type_of<unsigned long> : native<unsigned long, false> {};
template <> struct type_of<long long> : native<long long, true> {};
template <> struct type_of<unsigned long long> : native<unsigned long long, false> {};
template <> struct type_of<void> { static constexpr long long kind = 0, width = 0, integer = 0, sign = 0; };
template <class T> struct bare { typedef T type; static constexpr bool is_const = false; };
template <class T> struct bare<const T> { typedef T type; static constexpr bool is_const = true; };
template <class T> struct size { static constexpr long long value = sizeof(T); };
template <> struct size<void> { static constexpr long long value = 0; };
// What is passed: 0 a value, 1 a pointer, 2 a reference to one object, 3 a reference to an array.
template <class T> struct passed { typedef T element; static constexpr long long how = 0, count = 1; };
template <class T> struct passed<T *> { typedef T element; static constexpr long long how = 1, count = 0; };
template <class T> struct passed<T &> { typedef T element; static constexpr long long how = 2, count = 1; };
template <class T, unsigned long N> struct passed<T (&)[N]> { typedef T element; static constexpr long long how = 3, count = N; };
template <class T> struct inner { typedef T element; static constexpr long long count = 1; };
template <class T, unsigned long N> struct inner<T[N]> {
  typedef typename inner<T>::element element; static constexpr long long count = N * inner<T>::count; };
template <class P> struct record {
  typedef passed<P> pass;
  typedef inner<typename pass::element> in;
  typedef bare<typename in::element> b;
  typedef type_of<typename b::type> t;
  static constexpr long long at(int k) {
    return k == 0 ? t::kind : k == 1 ? t::width : k == 2 ? t::integer : k == 3 ? t::sign :
           k == 4 ? size<typename b::type>::value : k == 5 ? pass::how : k == 6 ? pass::count * in::count : b::is_const; }
};
template <class F> struct signature;
template <class R, class... A> struct signature<R (*)(A...)> {
  static constexpr int n = 1 + sizeof...(A);
  struct table { long long value[8 * n]; };
  static constexpr table make() {
    table t{};
    int k = 0;
    for (int f = 0; f < 8; f++) t.value[k++] = record<R>::at(f);
    ((fill<A>(t, k)), ...);
    return t; }
  template <class P> static constexpr void fill(table &t, int &k) {
    for (int f = 0; f < 8; f++) t.value[k++] = record<P>::at(f); }
};
}
"""


@dataclass(frozen=True)
class Source:
    """C++ to compile: the file, folders for `#include`, and `-D` definitions (`NAME` or `NAME=VALUE`)."""

    file: Path
    includes: tuple[Path, ...] = ()
    defines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compiled:
    """What clang made.

    Attributes:
        text: LLVM code, not optimised.
        symbol: the top function's mangled name.
        top: its name as written in C++.
        records: what the probe tells of the result and each parameter.
    """

    text: str
    symbol: str
    top: str
    records: tuple[tuple[int, ...], ...]

    @property
    def interface(self) -> Interface:
        """The ports as the signature tells them; lengths of plain pointers are 0, names are `arg0` ...

        Raises:
            Refused: if a parameter has a type that hardware cannot have.
        """
        return _interface(self.top, self.records)


def require_clang() -> None:
    """Check that the packages of this engine are installed.

    Raises:
        ToolError: naming the one that is not.
    """
    for package, what in (("ziglang", "clang"), ("llvmlite", "LLVM"), ("xls", "XLS")):
        if importlib.util.find_spec(package) is None:
            raise ToolError(f"open HLS needs {what}, which is not installed; pip install 'kan4ml[openhls]'")


def _zig(arguments: Sequence[str], folder: Path, what: str) -> str:
    environment = tool_environment(ZIG_LOCAL_CACHE_DIR=str(folder / "zig-cache"))
    command = [sys.executable, "-m", "ziglang", *arguments]
    try:
        return run_tool(command, what="clang", cwd=folder, env=environment, timeout=_TIMEOUT, remedy=f"correct {what}")
    except ToolError as error:
        lines = [line for line in str(error).splitlines() if " error: " in line]
        if not lines:
            raise
        place = lines[0].replace(f"{folder}/", "").strip()
        raise ToolError(f"clang cannot compile {what} ({place}); correct it") from None


def _unit(source: Source, tops: Sequence[str]) -> str:
    return (
        '#include "ap_int.h"\n#include "ap_fixed.h"\n#define __SYNTHESIS__\n'
        f'#include "{source.file.resolve()}"\n{_PROBE}\n' + "".join(_asked(k, top) for k, top in enumerate(tops))
    )


def _asked(number: int, top: str) -> str:
    """Return C++ that takes the address of a function and describes its signature."""
    return (
        f'extern "C" {{\n__attribute__((used)) void *kan4ml_top{number} = '
        f"(void *)static_cast<decltype(&{top})>(&{top});\n"
        f"__attribute__((used)) constexpr auto kan4ml_signature{number} = "
        f"kan4ml_probe::signature<decltype(&{top})>::make();\n}}\n"
    )


def _check(source: Source, top: str) -> None:
    if not _TOP.fullmatch(top):
        raise ConfigError(f"the top function must be a C++ name such as top or ns::top<4>, not {top!r}; correct it")
    if not source.file.is_file():
        raise ToolError(f"the C++ file {source.file} does not exist; check its name")
    if '"' in str(source.file) or "\n" in str(source.file):
        raise ToolError(f"the path {source.file} cannot be written in an #include; rename it")


def _arguments(source: Source) -> list[str]:
    return [
        *_TARGET,
        *_DEFINES,
        *(f"-D{define}" for define in source.defines),
        *(f"-I{folder.resolve()}" for folder in (*source.includes, source.file.parent)),
    ]


def compile_source(source: Source, top: str) -> Compiled:
    """Compile a file and find its top function.

    Args:
        source: what to compile; `ap_types` must be among its includes.
        top: the function, as C++ names it.

    Raises:
        ConfigError: if `top` is no C++ name.
        ToolError: if clang is missing or rejects the file.
    """
    return compile_functions(source, [top])[0]


def compile_functions(source: Source, tops: Sequence[str]) -> list[Compiled]:
    """Compile a file once and find several functions, each of which may become a kernel; see :func:`compile_source`."""
    for top in tops:
        _check(source, top)
    require_clang()
    with tempfile.TemporaryDirectory(prefix="kan4ml-clang-") as name:
        folder = Path(name)
        (folder / "unit.cpp").write_text(_unit(source, tops), encoding="utf-8")
        arguments = ["c++", *_FLAGS, *_arguments(source), "-S", "-emit-llvm", "unit.cpp", "-o", "unit.ll"]
        try:
            _zig(arguments, folder, source.file.name)
        except ToolError as error:
            if "(unit.cpp:" in str(error):  # our own lines: the file itself was compiled
                raise ToolError(
                    f"{source.file.name} has no plain function {', '.join(tops)} (methods, overloads and functions in "
                    "unnamed namespaces do not count); name another function"
                ) from None
            raise
        text = (folder / "unit.ll").read_text(encoding="utf-8")
    return [_compiled(text, number, top) for number, top in enumerate(tops)]


def _compiled(text: str, number: int, top: str) -> Compiled:
    pattern = rf'^@kan4ml_top{number} = .*?(?:global|constant) ptr @("[^"]+"|[-\w.$]+)'
    symbol = re.search(pattern, text, flags=re.MULTILINE)
    probe = re.search(rf"^@\w*kan4ml_signature{number} = internal constant .*$", text, flags=re.MULTILINE)
    assert symbol is not None
    assert probe is not None
    values = [int(v) for v in re.findall(r"i64 (-?\d+)", probe[0])] or [0] * _FIELDS
    assert len(values) % _FIELDS == 0, probe[0]
    records = tuple(struct.iter_unpack(f"{_FIELDS}q", struct.pack(f"{len(values)}q", *values)))
    return Compiled(text, symbol[1].strip('"'), top, records)


def _interface(top: str, records: tuple[tuple[int, ...], ...]) -> Interface:
    ports = []
    for position, (kind, width, integer, sign, size, how, count, constant) in enumerate(records):
        is_result = position == 0
        name = "result" if is_result else f"arg{position - 1}"
        if kind == 0 and is_result:
            continue
        if kind == 3:
            raise Refused(
                f"the {'result' if is_result else f'parameter {position}'} of a class type (a struct, a stream, ...)",
                top,
                "pass ap_int, ap_fixed, native integers, or arrays of them",
            )
        if kind not in (1, 2):
            raise Refused(
                f"the {'result' if is_result else f'parameter {position}'} of a type that is no integer",
                top,
                "pass ap_int, ap_fixed, native integers, or arrays of them",
            )
        if is_result and how:
            raise Refused("a result that is a pointer or reference", top, "write to an output array")
        direction = Direction.OUT if is_result else Direction.IN if constant or how == 0 else Direction.UNKNOWN
        scalar = how == 0 and kind == 2
        ports.append(Port(name, count, width, integer, bool(sign), size, direction, scalar))
    return Interface(top, tuple(ports), result=records[0][0] != 0)


def parameter_extents(source: Source, top: str) -> list[tuple[str, int]] | None:
    """Return name and length (0: not given) of every parameter as the definition's text states them.

    A parameter `x[2][3]` has length 6. C++ passes arrays as pointers, so the type of the function lacks this; clang's
    printer still knows it. None if the function is not found by its plain name (an instance of a template).
    """
    plain = re.sub(r"<.*", "", top).rpartition("::")[2]
    with tempfile.TemporaryDirectory(prefix="kan4ml-clang-") as name:
        folder = Path(name)
        (folder / "unit.cpp").write_text(_unit(source, [top]), encoding="utf-8")
        _zig(
            ["c++", "-std=c++17", "-w", *_arguments(source), "-E", "unit.cpp", "-o", "unit.ii"],
            folder,
            source.file.name,
        )
        printed = _zig(
            [
                *("clang", "-cc1", "-triple", "x86_64-linux-gnu", "-std=c++17", "-x", "c++-cpp-output", "-w"),
                *("-ast-print", f"-ast-dump-filter={plain}", "unit.ii"),
            ],
            folder,
            source.file.name,
        )
    pattern = re.compile(
        rf"^Printing (?:\S+::)?{re.escape(plain)}:\n([^\n]*?\b{re.escape(plain)}\((.*)\))", re.MULTILINE
    )
    found = [match[2] for match in pattern.finditer(printed)]
    if not found:
        return None
    return [_parameter(text) for text in _split(found[-1])]


def _split(text: str) -> list[str]:
    """Split a parameter list at its outer commas."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([<{") - (letter in ")]>}")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip() and part.strip() != "void"]


def _parameter(text: str) -> tuple[str, int]:
    match = re.fullmatch(r".*?\b(\w+)((?:\[\d+\])+)|.*\(&\s*(\w+)\)((?:\[\d+\])+)", text, flags=re.DOTALL)
    if match:
        name, extents = (match[1], match[2]) if match[1] else (match[3], match[4])
        length = 1
        for number in re.findall(r"\d+", extents):
            length *= int(number)
        return name, length
    name = re.search(r"(\w+)\s*(?:=.*)?$", text)
    plain = name[1] if name is not None and _NAME.fullmatch(name[1]) else ""
    return plain, 0 if "*" in text else 1
