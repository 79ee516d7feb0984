"""LLVM's optimiser until a kernel is straight-line code: inlined, unrolled, without memory and with few branches."""

from __future__ import annotations

import re

import llvmlite.binding as llvm

from hwgen.openhls._constructors import start_llvm
from hwgen.openhls._errors import Refused
from hwgen.openhls._library import replace_wide_products

__all__ = ["clean", "optimise"]

# Everything is inlined and every loop with a known trip count unrolled; ifs become selects where LLVM can.
_OPTIONS = (
    "-unroll-threshold=100000000",
    "-unroll-full-max-count=100000",
    "-unroll-max-iteration-count-to-analyze=100000",
    "-inline-threshold=100000000",
    "-two-entry-phi-node-folding-threshold=1000",
    "-phi-node-folding-threshold=1000",
    "-max-speculation-depth=1000",
)


def clean(text: str) -> str:
    """Return clang's output without what only a linker needs, and without `volatile`, which `ap_types` is full of."""
    text = replace_wide_products(text)
    text = re.sub(r"\b(load|store) volatile ", r"\1 ", text)
    text = re.sub(r"^\$.* = comdat any$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(,| )\s*comdat(\([^)]*\))?(?=[ ,\n{])", " ", text)
    text = re.sub(r"^@(llvm\.(compiler\.)?used|\w*kan4ml_(top|signature)\d+) = .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"^@__dso_handle = .*$", "@__dso_handle = internal global i8 0", text, flags=re.MULTILINE)


def _limits(shown: str, count: int) -> None:
    if count > _MAX_INSTRUCTIONS:
        raise Refused(
            f"a kernel of {count} operations when unrolled",
            shown,
            f"keep it below {_MAX_INSTRUCTIONS}, or leave its loops rolled (ReuseFactor)",
        )


#: About what XLS schedules in five minutes (measured: 64 -> 16 inputs, 60,000 operations, 94 s).
_MAX_INSTRUCTIONS = 200_000


def optimise(text: str, top: str, shown: str) -> str:
    """Return the optimised module, every value named.

    Args:
        text: LLVM code without static constructors.
        top: mangled name of the kernel.
        shown: its name in messages.

    Raises:
        Refused: if the unrolled kernel is too large.
    """
    for option in _OPTIONS:
        llvm.set_option("kan4ml", option)
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name == top else "internal"
    for variable in module.global_variables:
        if not variable.is_declaration and not variable.name.startswith("llvm."):
            variable.linkage = "internal"
    for last in (False, True):
        options = llvm.create_pipeline_tuning_options(3)
        options.loop_vectorization = False
        options.slp_vectorization = False
        options.loop_unrolling = True
        builder = llvm.create_pass_builder(start_llvm(), options)
        passes = builder.getModulePassManager()
        if last:
            passes.add_instruction_namer_pass()
        passes.run(module, builder)
    result = str(module)
    _limits(shown, result.count("\n  %"))
    return result
