"""Many layers in one native library: the plugin's own text of every layer, in a namespace each, called with integers.

Tables, config structs and calls are what the plugin wrote for the hls4ml model; only the loop over the rows is ours. The
types are those that are synthesized (no native sums).
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np

from hwgen.plugin._layer import WRITING
from hwgen.plugin._writer import VitisKANWriter, library_headers
from pymodel.ir import IntArray

__all__ = ["Library", "build"]

_TEMPLATES = Path(hls4ml.__file__).parent / "templates" / "vivado"
_CSIM = Path(__file__).parents[2] / "hwgen" / "plugin" / "cpp"
_FIRST = """\
#include <cstdlib>
#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#include "nnet_utils/nnet_types.h"
#include "kan_csim/batch.h"
#include "kan_csim/taps.h"
#include "kan4ml/kan4ml.h"
#include "kan4ml/kan4ml_stream.h"
"""
_SECONDS = 280


def _tables(model: Any, folder: Path) -> str:
    """Return the text of the table headers that the plugin writes for `model`."""
    (folder / "firmware" / "weights").mkdir(parents=True)
    model.config.config["OutputDir"] = str(folder)
    setattr(model, WRITING, True)
    VitisKANWriter().write_weights(model)
    headers = sorted((folder / "firmware" / "kan_tables").glob("*.h"))
    lines = [line for path in headers for line in path.read_text(encoding="ascii").splitlines()]
    return "\n".join(line for line in lines if not line.startswith("#"))


def _declare(variable: Any) -> str:
    return f"        {variable.definition_cpp().strip()};"


def _function(name: str, model: Any, folder: Path) -> str:
    """Return a namespace with the model in it, and its entry point `name(rows, x, y)`."""
    stream = model.config.get_config_value("IOType") == "io_stream"
    (given,), (result,) = model.get_input_variables(), model.get_output_variables()
    typedefs: dict[str, str] = {}
    body: list[str] = []
    for layer in model.get_layers():
        variable = layer.get_output_variable()
        typedefs[variable.type.name] = variable.type.definition_cpp().strip()
        body.append(_declare(variable))
    write = "write_stream" if stream else "write_array"
    size_in, size_out = int(given.size()), int(result.size())
    body.append(f"        kan_csim::{write}<{given.type.name}, {size_in}>(given_rows + row * {size_in}, {given.name});")
    for layer in model.get_layers():
        body += layer.get_attr("function_cpp") or []
    if stream:
        body += [
            f"        for (unsigned b = 0; b < {size_out} / {result.type.name}::size; b++) {{",
            f"            const {result.type.name} beat = {result.name}.read();",
            f"            for (unsigned j = 0; j < {result.type.name}::size; j++)",
            f"                result_rows[row * {size_out} + b * {result.type.name}::size + j] =",
            f"                    kan4ml::to_raw<{result.type.name}::value_type>(beat[j]).to_int64();",
            "        }",
            f"        if (!{result.name}.empty() || !{given.name}.empty()) std::abort();  // a beat is left over",
        ]
    else:
        body += [
            f"        for (unsigned j = 0; j < {size_out}; j++)",
            f"            result_rows[row * {size_out} + j] = kan4ml::to_raw<{result.type.name}>({result.name}[j]).to_int64();",
        ]
    configs = "\n".join(layer.get_attr("config_cpp") or "" for layer in model.get_layers())
    lines = "\n".join(body)
    return f"""
namespace in_{name} {{
{chr(10).join(typedefs.values())}
{_tables(model, folder)}
{configs}
extern "C" void {name}(long long n_rows, const long long *given_rows, long long *result_rows) {{
    for (long long row = 0; row < n_rows; row++) {{
{lines}
    }}
}}
}} // namespace in_{name}
"""


class Library:
    """Compiled layers.

    Args:
        path: a library made by :func:`build`.
        outputs: by entry point, integers that a row gives.
    """

    def __init__(self, path: Path, outputs: Mapping[str, int]) -> None:
        self._library = ctypes.CDLL(str(path))
        self._outputs = dict(outputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The entry points."""
        return tuple(self._outputs)

    def dump_coverage(self) -> None:
        """Write what `--coverage` counted."""
        self._library.dump_coverage()

    def run(self, name: str, X: IntArray) -> IntArray:
        """Return the integers (rows, n_out) of the layer `name` for X (rows, n_in)."""
        rows = np.ascontiguousarray(X, dtype=np.int64)
        result = np.full((rows.shape[0], self._outputs[name]), -(1 << 62), dtype=np.int64)
        pointer = ctypes.c_void_p
        call = getattr(self._library, name)
        call.restype = None
        call(ctypes.c_longlong(rows.shape[0]), rows.ctypes.data_as(pointer), result.ctypes.data_as(pointer))
        return result


def build(
    models: Mapping[str, Any],
    folder: Path,
    *,
    per_file: int = 30,
    headers: Path | None = None,
    extra_flags: Sequence[str] = (),
) -> list[Library]:
    """Compile hls4ml models into native libraries, two compilers at a time.

    Args:
        models: by the name of the entry point; as :func:`tests.matrix.cells.ask` returns them.
        folder: for the text and the libraries.
        per_file: models in one library; those that follow each other should be alike, to share instances of templates.
        headers: the folder `kan4ml` to use instead of the project's.
        extra_flags: for the compiler.
    """
    include = folder / "include"
    include.mkdir(parents=True)
    shutil.copytree(headers or library_headers(), include / "kan4ml")
    shutil.copytree(_CSIM, include / "kan_csim")
    (include / "first.h").write_text(_FIRST, encoding="ascii")
    flags = [
        "g++",
        "-std=c++11",
        "-O0",
        "-w",
        "-fPIC",
        *extra_flags,
        f"-I{include}",
        f"-I{_TEMPLATES}",
        f"-I{_TEMPLATES / 'ap_types'}",
    ]
    first = [*flags, "-x", "c++-header", str(include / "first.h"), "-o", str(include / "first.h.gch")]
    subprocess.run(first, check=True, timeout=_SECONDS)
    names = list(models)
    parts = [names[at : at + per_file] for at in range(0, len(names), per_file)]
    for at in range(0, len(parts), 2):
        running = [_start(flags, folder, index, parts[index], models) for index in range(at, min(at + 2, len(parts)))]
        for process in running:
            _, errors = process.communicate(timeout=_SECONDS)
            assert process.returncode == 0, errors.decode()[:4000]
    outputs = {name: int(model.get_output_variables()[0].size()) for name, model in models.items()}
    return [Library(folder / f"part_{index}.so", {n: outputs[n] for n in part}) for index, part in enumerate(parts)]


def _start(
    flags: Sequence[str], folder: Path, index: int, names: Sequence[str], models: Mapping[str, Any]
) -> subprocess.Popen[bytes]:
    source = folder / f"part_{index}.cpp"
    coverage = "--coverage" in flags
    dump = 'extern "C" { void __gcov_dump(); void dump_coverage() { __gcov_dump(); } }\n' if coverage else ""
    text = dump + "".join(_function(name, models[name], folder / "projects" / name) for name in names)
    source.write_text('#include "first.h"\n' + text, encoding="ascii")
    command = [*flags, "-include", str(folder / "include" / "first.h"), "-shared", str(source)]
    return subprocess.Popen([*command, "-o", str(folder / f"part_{index}.so")], stderr=subprocess.PIPE)
