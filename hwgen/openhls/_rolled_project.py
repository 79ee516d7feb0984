"""The layers of an hls4ml project: every kernel call of the top function as a function of its own.

The kernels, tables and config structs are the project's files as they lie there, edited or not; what is added is one
function per layer that makes the very call which the top function makes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.openhls._clang import Source
from hwgen.openhls._errors import Refused
from pymodel.errors import ToolError

__all__ = ["LayerCall", "is_plain_chain", "layer_calls", "layer_unit", "project_name", "project_source"]

_CALL = re.compile(
    r"(?P<kernel>kan4ml::\w+)<(?P<data>\w+), (?P<result>\w+), kan_(?P<layer>\w+)_config>"
    r"\((?P<source>\w+), (?P<target>\w+), (?P<tables>[^;]*)\);"
)


@dataclass(frozen=True)
class LayerCall:
    """One call of a KAN kernel in a top function.

    Attributes:
        layer: name in the IR.
        kernel: the function, e.g. `kan4ml::edge_rows`.
        data, result: types of an input and an output element.
        source, target: the arrays that are passed.
        tables: the table arguments.
    """

    layer: str
    kernel: str
    data: str
    result: str
    source: str
    target: str
    tables: str

    @property
    def top(self) -> str:
        """Name of the layer's own function."""
        return f"kan_layer_{self.layer}"

    @property
    def is_rolled(self) -> bool:
        """Whether its kernel is a loop that stays one."""
        return self.kernel in _ROLLED_KERNELS

    @property
    def is_stream(self) -> bool:
        """Whether its kernel lies between streams."""
        return self.kernel.endswith("_stream")


_ROLLED_KERNELS = frozenset(("kan4ml::edge_rows", "kan4ml::kan_dense_rolled"))


def _top_file(project: Path) -> tuple[str, str]:
    """Return the name of the top function, and its file without comments."""
    tops = [path for path in sorted((project / "firmware").glob("*.cpp")) if path.is_file()]
    if len(tops) != 1:
        raise ToolError(
            f"{project} is no hls4ml project (firmware/ has {len(tops)} C++ files); convert the model again"
        )
    return tops[0].stem, re.sub(r"//[^\n]*", "", tops[0].read_text(encoding="utf-8"))


def project_name(project: Path) -> str:
    """Return the name of the project's top function."""
    return _top_file(project)[0]


def layer_calls(project: Path, *, chain: bool = True) -> list[LayerCall]:
    """Return the KAN kernels that the top function of the project calls, in order.

    Args:
        project: folder of the hls4ml project.
        chain: refuse a model that is not one chain of KAN layers.

    Raises:
        ToolError: if the folder holds no project.
        Refused: if the calls are not one chain of KAN layers and `chain` is set.
    """
    top, text = _top_file(project)
    calls = [
        LayerCall(*(match[k] for k in ("layer", "kernel", "data", "result", "source", "target", "tables")))
        for match in _CALL.finditer(text)
    ]
    others = re.findall(r"\bnnet::\w+<", text)
    chained = all(a.target == b.source for a, b in itertools.pairwise(calls))
    if chain and (not calls or others or not chained):
        raise Refused(
            "a model that is not one chain of KAN layers",
            top,
            "convert the KAN layers alone, or use csim only",
        )
    return calls


def is_plain_chain(project: Path) -> bool:
    """Return whether the top function does nothing but call KAN kernels, each on what the one before it gave.

    Then, and only then, its layers may be built one by one.
    """
    text = _top_file(project)[1]
    calls = layer_calls(project, chain=False)
    chained = all(a.target == b.source for a, b in itertools.pairwise(calls))
    sources = [call.source for call in calls]
    if not calls or not chained or len(set(sources)) != len(sources):
        return False
    text = re.sub(r"^[ \t]*#ifndef __SYNTHESIS__\n.*?^[ \t]*#endif\n", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE)
    head = re.search(r"\bvoid \w+\(([^()]*)\)\s*\{", text)
    if head is None or re.findall(r"(\w+)(?:\[\d+\])?\s*(?:,|$)", head[1]) != [sources[0], calls[-1].target]:
        return False
    rest = _CALL.sub("", text[head.end() :])
    rest = re.sub(r"\b\w+ \w+\[\d+\];|\bhls::stream<\w+> \w+(\(\"\w+\"\))?;", "", rest)
    return re.sub(r"\s", "", text[: head.start()]) == "" and re.sub(r"\s", "", rest) == "}"


def project_source(project: Path, unit: Path) -> Source:
    """Return the C++ source of the layers' functions, which :func:`layer_unit` wrote to `unit`."""
    firmware = project.resolve() / "firmware"
    return Source(unit, (firmware, firmware / "ap_types"))


def layer_unit(calls: Sequence[tuple[LayerCall, int, int]]) -> str:
    """Return the C++ of the layers' own functions, from their calls and numbers of inputs and outputs."""
    return '#include "defines.h"\n#include "parameters.h"\n' + "".join(
        f"void {call.top}(const {call.data} x[{n_in}], {call.result} y[{n_out}]) {{\n"
        f"    {call.kernel}<{call.data}, {call.result}, kan_{call.layer}_config>(x, y, {call.tables});\n}}\n"
        for call, n_in, n_out in calls
    )
