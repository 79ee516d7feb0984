"""XLS's code generator for rolled kernels: procs with ready and valid, and combinational functions.

XLS aborts the process on input that it does not like, so it runs in one of its own: as a program,
`python -m hwgen.openhls._rolled_codegen FOLDER`, this module reads `FOLDER/job.json` and writes `FOLDER/module.v`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from hwgen.openhls._xls import suggested_stages
from pymodel.errors import ToolError
from sim.process import python_path, run_tool, tool_environment

__all__ = ["generate_verilog"]

_TIMEOUT = 900.0


def generate_verilog(kind: str, name: str, package: str, stages: int) -> str:
    """Return the Verilog module `name`.

    A proc has the ports `clk`, `rst`, and `CHANNEL_data`, `CHANNEL_valid`, `CHANNEL_ready` of each channel; a function
    is combinational, with `in_data` and `out`.

    Args:
        kind: `proc` or `function`.
        name: of the package's top and of the module.
        package: XLS IR.
        stages: pipeline stages of a proc; the state's feedback lies within one of them; 0: by the depth of the logic.

    Raises:
        ToolError: if XLS fails.
    """
    with tempfile.TemporaryDirectory(prefix="kan4ml-xls-") as folder:
        place = Path(folder)
        (place / "package.ir").write_text(package, encoding="utf-8")
        (place / "job.json").write_text(json.dumps({"kind": kind, "name": name, "stages": stages}), encoding="utf-8")
        run_tool(
            [sys.executable, "-m", "hwgen.openhls._rolled_codegen", folder],
            what="XLS",
            cwd=place,
            env=tool_environment(PYTHONPATH=python_path()),
            timeout=_TIMEOUT,
            remedy="make the layer smaller or give it more stages",
        )
        output = place / "module.v"
        if not output.is_file():
            raise ToolError(f"XLS wrote no Verilog for {name}; make the layer smaller or give it more stages")
        return output.read_text(encoding="utf-8")


def _verilog(kind: str, name: str, package: str, stages: int) -> str:
    from xls import c_api

    optimised = str(c_api.optimize_ir(package, name))
    parsed = c_api.Package.parse_ir(optimised)
    if kind == "function":
        result = parsed.schedule_and_codegen(
            generator="combinational",
            with_delay_model=True,
            delay_model="unit",
            use_system_verilog=False,
            module_name=name,
            output_port_name="out",
        )
    else:
        result = parsed.schedule_and_codegen(
            generator="pipeline",
            with_delay_model=True,
            delay_model="unit",
            pipeline_stages=stages or suggested_stages(optimised),
            worst_case_throughput=1,
            flop_inputs=False,
            flop_outputs=False,
            reset="rst",
            reset_active_low=False,
            reset_asynchronous=False,
            reset_data_path=False,
            use_system_verilog=False,
            module_name=name,
            streaming_channel_data_suffix="_data",
            streaming_channel_valid_suffix="_valid",
            streaming_channel_ready_suffix="_ready",
        )
    return str(result.get_verilog_text())


def main() -> None:
    """Do one job."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    package = (folder / "package.ir").read_text(encoding="utf-8")
    (folder / "module.v").write_text(_verilog(job["kind"], job["name"], package, job["stages"]), encoding="utf-8")


if __name__ == "__main__":
    main()
