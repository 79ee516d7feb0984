"""Bambu (PandA, Politecnico di Milano): its command line, the function that it synthesizes, and what it prints."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hwgen.adapters._report import HlsReport, read_xml
from hwgen.openhls._translate import Slots
from pymodel.errors import ConfigError

__all__ = ["TOP", "WORD", "bambu_command", "bambu_shim", "parse_bambu_log", "parse_bambu_results", "words"]

#: The function that Bambu gets, and so its module.
TOP = "kan4ml_bambu"
#: Bits of a port of that function.
WORD = 64
_DEVICE = re.compile(r"[A-Za-z0-9,_-]+")
_NUMBER = r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)"


def words(source: Slots) -> list[range]:
    """Return which inputs share each of the function's 64-bit arguments."""
    step = WORD // source.width
    return [range(at, min(at + step, source.count)) for at in range(0, source.count, step)]


def bambu_shim(project_top: str, source: Slots, result: Slots) -> str:
    """Return the C++ of the function that Bambu synthesizes: the project's top function behind 64-bit integers.

    So every port is passed by value, and the interface is the one that all versions of Bambu share (`MINIMAL`): a port
    per argument, `return_port`, `start_port` and `done_port`. How arrays become ports differs between versions.

    Raises:
        ConfigError: if the outputs have more than 64 bits together.
    """
    if result.bits > WORD:
        raise ConfigError(
            f"Bambu returns the outputs in one word of {WORD} bits, but the model has {result.count} of {result.width} "
            "bits; build it with engine='openhls'"
        )
    arguments = ", ".join(f"unsigned long long x{k}" for k in range(len(words(source))))
    load = "".join(
        f"    x[{i}] = kan4ml::from_raw<types::x>(kan4ml::raw_bits<types::x>::type(x{k} >> {(i - group.start) * source.width}));\n"
        for k, group in enumerate(words(source))
        for i in group
    )
    mask = f"0x{(1 << result.width) - 1:x}ULL"
    store = "".join(
        f"    result |= ((unsigned long long)kan4ml::to_raw<types::y>(y[{o}]).to_int64() & {mask}) << {o * result.width};\n"
        for o in range(result.count)
    )
    return (
        f"// {project_top} with integers as ports: element 0 in the least significant bits of a word.\n"
        f'#include "{project_top}.cpp"\n#include "kan4ml/types.h"\n\n'
        "namespace kan4ml_bambu_ports {\n"
        "template <class X, class Y>\nstruct types_of {\n    typedef X x;\n    typedef Y y;\n};\n"
        "template <class X, class Y>\ntypes_of<X, Y> of(void (*)(X *, Y *));\n"
        "} // namespace kan4ml_bambu_ports\n\n"
        f'extern "C" unsigned long long {TOP}({arguments}) {{\n'
        f"    typedef decltype(kan4ml_bambu_ports::of(&{project_top})) types;\n"
        f"    types::x x[{source.count}];\n    types::y y[{result.count}];\n{load}"
        f"    {project_top}(x, y);\n    unsigned long long result = 0;\n{store}    return result;\n}}\n"
    )


def bambu_command(program: str, source: str, *, clock_ns: float, device: str = "") -> list[str]:
    """Return the command line, to be run in a folder beside `firmware`.

    The headers `ap_int.h` and `ap_fixed.h` are Bambu's own, which belong to its compiler.

    Args:
        program: Bambu.
        source: the file of :func:`bambu_shim`.
        clock_ns: target clock period.
        device: Bambu's own name of the FPGA (`xc7z020-1clg484-VVD`); empty lets Bambu choose.

    Raises:
        ConfigError: if `device` is no name.
    """
    if device and not _DEVICE.fullmatch(device):
        raise ConfigError(f"a device of Bambu was expected, such as xc7z020-1clg484-VVD, not {device!r}; correct it")
    return [
        program,
        source,
        f"--top-fname={TOP}",
        "--generate-interface=MINIMAL",
        "--compiler=I386_CLANG16",
        f"--clock-period={clock_ns:g}",
        *([f"--device-name={device}"] if device else []),
        "--reset-type=sync",
        "--reset-level=high",
        "--writer=V",
        "--no-mixed-design",
        "-ftemplate-depth=2048",
        "-I../firmware",
        "-D__SYNTHESIS__",
        "-O3",
        "-v2",
        "-lm",
    ]


def parse_bambu_log(text: str) -> HlsReport:
    """Read what Bambu prints of its top function; it prints the same of every function."""

    def found(pattern: str, block: str) -> float | None:
        match = re.search(pattern, block)
        return None if match is None else float(match.group(1))

    def block(title: str) -> str:
        start = re.search(rf"{title} (?:information )?(?:of|for) function {TOP}:\n", text, re.IGNORECASE)
        return "" if start is None else text[start.end() :].split("\n\n", 1)[0]

    schedule, binding = block("Scheduling"), block("Module binding")
    mhz = found(rf"Estimated max frequency \(MHz\): {_NUMBER}", schedule)
    ff = found(rf"Total number of flip-flops in function {TOP}: {_NUMBER}", text)
    dsp = found(rf"Estimated number of DSPs: {_NUMBER}", binding)
    extra: dict[str, float | str] = {}
    for key, pattern, place in (
        ("control_steps", rf"Number of control steps: {_NUMBER}", schedule),
        ("area", rf"Total estimated area: {_NUMBER}", binding),
        ("modules", rf"Number of modules instantiated: {_NUMBER}", binding),
    ):
        value = found(pattern, place)
        if value is not None:
            extra[key] = value
    return HlsReport(
        tool="bambu",
        estimated_ns=None if not mhz else 1000.0 / mhz,
        ff=None if ff is None else int(ff),
        dsp=None if dsp is None else int(dsp),
        extra=extra,
    )


def parse_bambu_results(path: Path, report: HlsReport) -> HlsReport:
    """Add what `bambu_results_0.xml` says, which Bambu writes after a simulation or an evaluation, to `report`.

    Raises:
        ToolError: if it is malformed.
    """
    root = read_xml(path, "Bambu")
    values: dict[str, float] = {}
    for node in root:
        try:
            values[node.tag] = float(node.get("value", ""))
        except ValueError:
            continue
    extra: dict[str, float | str] = {**report.extra, **{tag.lower(): value for tag, value in values.items()}}
    if root.get("bambu_version"):
        extra["version"] = root.get("bambu_version", "")

    def integer(tag: str, otherwise: int | None) -> int | None:
        return int(values[tag]) if tag in values else otherwise

    return replace(
        report,
        estimated_ns=values.get("PERIOD", report.estimated_ns),
        latency_min=integer("CYCLES", report.latency_min),
        latency_max=integer("CYCLES", report.latency_max),
        ff=integer("REGISTERS", report.ff),
        dsp=integer("DSPS", report.dsp),
        bram=integer("BRAMS", report.bram),
        extra=extra,
    )
