"""The rolled layers of an hls4ml project: every kernel call of the top function as a function of its own.

The kernels, tables and config structs are the project's files as they lie there, edited or not; what is added is one
function per layer that makes the very call which the top function makes.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from hwgen.openhls._clang import Source
from hwgen.openhls._errors import Refused
from pymodel.errors import ToolError

__all__ = ["LayerCall", "layer_calls", "layer_unit", "project_source"]

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
        return f"kan_rolled_{self.layer}"


def layer_calls(project: Path, *, chain: bool = True) -> list[LayerCall]:
    """Return the KAN kernels that the top function of the project calls, in order.

    Args:
        project: folder of the hls4ml project.
        chain: refuse a model that is not one chain of KAN layers.

    Raises:
        ToolError: if the folder holds no project.
        Refused: if the calls are not one chain of KAN layers and `chain` is set.
    """
    firmware = project / "firmware"
    tops = [path for path in sorted(firmware.glob("*.cpp")) if path.is_file()]
    if len(tops) != 1:
        raise ToolError(
            f"{project} is no hls4ml project (firmware/ has {len(tops)} C++ files); convert the model again"
        )
    text = re.sub(r"//[^\n]*", "", tops[0].read_text(encoding="utf-8")).split("kan_csim_check")[0]
    calls = [
        LayerCall(*(match[k] for k in ("layer", "kernel", "data", "result", "source", "target", "tables")))
        for match in _CALL.finditer(text)
    ]
    others = re.findall(r"\bnnet::\w+<", text)
    chained = all(a.target == b.source for a, b in itertools.pairwise(calls))
    if chain and (not calls or others or not chained):
        raise Refused(
            "a model that is not one chain of KAN layers",
            tops[0].stem,
            "convert the KAN layers alone, or use csim only",
        )
    return calls


def project_source(project: Path, unit: Path) -> Source:
    """Return the C++ source of the layers' functions, which :func:`layer_unit` wrote to `unit`."""
    firmware = project.resolve() / "firmware"
    return Source(unit, (firmware, firmware / "ap_types"))


def layer_unit(call: LayerCall, n_in: int, n_out: int) -> str:
    """Return the C++ of a layer's own function."""
    return (
        '#include "defines.h"\n#include "parameters.h"\n'
        f"void {call.top}(const {call.data} x[{n_in}], {call.result} y[{n_out}]) {{\n"
        f"    {call.kernel}<{call.data}, {call.result}, kan_{call.layer}_config>(x, y, {call.tables});\n}}\n"
    )
