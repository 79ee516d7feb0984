"""C++ outside the subset: every construct is refused with a sentence of its own; nothing crashes, nothing passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.openhls import Refused
from hwgen.openhls._clang import Compiled, Source, compile_functions
from hwgen.openhls._csim import ap_types_folder
from hwgen.openhls._kernel import PortSpec, elaborate_compiled, find_interface, flatten_kernel

SOURCE = Path(__file__).parent / "refusals.cpp"

#: What the message must name, per kernel of the file.
CONSTRUCTS = {
    "data_trip_count": "loop that stays a loop",
    "endless": "loop that stays a loop",
    "variable_division": "division by a variable",
    "variable_remainder": "division by a variable",
    "fixed_division": "division by a variable",
    "float_arithmetic": "floating point",
    "float_library": "floating point",
    "float_parameter": "type that is no integer",
    "local_static": "static or global variable that is written",
    "global_state": "static or global variable that is written",
    "heap_new": "memory from the heap",
    "heap_malloc": "memory from the heap",
    "heap_vector": "",
    "recursion": "",
    "prints": "input or output of a program",
    "random_number": "random number",
    "aborts": "assertion or abort",
    "table_overrun": "may reach byte 30 of 20",
    "input_overrun": "may reach byte 8 of 8",
    "input_index": "may reach byte 14 of 8",
    "output_index": "may reach byte 6 of 4",
    "both_ways": "read and written",
    "reads_output": "read before it is written",
    "unwritten": "not written",
    "sometimes_written": "not written on some path",
    "struct_parameter": "class type",
    "stream_parameter": "class type",
    "wide_port": "of 80 bits",
    "no_output": "without outputs",
    "no_input": "without inputs",
    "pointer_result": "pointer or reference",
    "function_pointer": "",
    "pointer_comparison": "comparison of pointers",
    "pointer_integer": "pointer as an integer",
    "variable_array": "",
    "chosen_store": "pointer chosen at run time",
    "variable_rotation": "rotation by a variable",
    "variable_copy": "block copy",
    "assembler": "inline assembler",
    "atomics": "atomic",
    "vectors": "vector",
    "undefined_call": "outside",
    "overflow_builtin": "",
}


@pytest.fixture(scope="module")
def compiled() -> dict[str, Compiled]:
    found = compile_functions(Source(SOURCE, (ap_types_folder(),)), list(CONSTRUCTS))
    return {entry.top: entry for entry in found}


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_construct_is_refused_by_name(compiled: dict[str, Compiled], name: str, tmp_path: Path) -> None:
    source = Source(SOURCE, (ap_types_folder(),))
    specs = (PortSpec("x", 4), PortSpec("y", 2), PortSpec("z", 2))
    if name == "stream_parameter":
        specs = (PortSpec("x", 1), *specs[1:])
    with pytest.raises(Refused) as caught:
        parameters = 3 if name == "chosen_store" else 2
        interface = find_interface(compiled[name], specs[:parameters], source)
        flatten_kernel(elaborate_compiled(compiled[name], interface, source, tmp_path))
    message = str(caught.value)
    assert CONSTRUCTS[name] in message
    assert repr(name) in message
    assert "cannot become hardware; " in message
    assert "\n" not in message


def test_every_kernel_of_the_file_is_listed() -> None:
    text = SOURCE.read_text(encoding="utf-8")
    assert len(CONSTRUCTS) >= 20
    assert all(f"{name}(" in text for name in CONSTRUCTS)
