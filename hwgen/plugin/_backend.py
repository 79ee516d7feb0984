"""The backend: hls4ml's Vitis backend with KAN layers, our writer, and a batched simulation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hls4ml.backends.fpga.fpga_backend import FPGABackend
from hls4ml.backends.vitis.vitis_backend import VitisBackend
from hls4ml.model.flow import get_flow, register_flow

from hwgen.plugin._build import build_with
from hwgen.plugin._layer import BACKEND_NAME, INPUT_SHAPE, PORTABLE
from hwgen.plugin._passes import ConnectKanLayers, SetStamp
from hwgen.plugin._predict import predict
from hwgen.plugin._templates import KanConfigTemplate, KanFunctionTemplate
from pymodel.errors import ToolError

__all__ = ["VitisKANBackend"]


class VitisKANBackend(VitisBackend):  # type: ignore[misc]  # hls4ml publishes no types
    """`backend="VitisKAN"`: everything that `Vitis` builds, and KAN layers."""

    def __init__(self) -> None:
        # Not VitisBackend's constructor, which hard-codes its own name.
        FPGABackend.__init__(self, BACKEND_NAME)
        self._register_layer_attributes()
        self.register_template(KanConfigTemplate)
        self.register_template(KanFunctionTemplate)
        self.register_pass(ConnectKanLayers.name, ConnectKanLayers)
        self.register_pass(SetStamp.name, SetStamp)
        self._register_flows()

    def _register_flows(self) -> None:
        """Add our passes to the flows of Vitis; not inherited, because those would end in Vitis' own writer."""
        prefix = self.name.lower()
        # After every pass that may still change a stock layer's type, before types become C++.
        connect = register_flow(
            "connect", [f"{prefix}:{ConnectKanLayers.name}"], requires=["vivado:optimize"], backend=self.name
        )
        templates = register_flow(
            "apply_templates", self._get_layer_templates, requires=["vivado:apply_templates"], backend=self.name
        )
        requires = list(get_flow("vitis:ip").requires)
        requires.insert(requires.index("vivado:optimize") + 1, connect)
        requires.insert(requires.index("vivado:apply_templates") + 1, templates)
        self._default_flow = register_flow("ip", None, requires=requires, backend=self.name)
        self._writer_flow = register_flow(
            "write",
            [f"{prefix}:{SetStamp.name}", f"{prefix}:write_hls"],
            requires=[self._default_flow],
            backend=self.name,
        )

    def create_initial_config(
        self, input_shape: tuple[int, ...] | None = None, portable: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the configuration of a conversion; the arguments are those of hls4ml's Vitis backend.

        Args:
            input_shape: shape of the input without the batch, where `hls_config` does not give it.
            portable: write no path into the project's `hls4ml_config.yml`, so that the folder may be moved.
            **kwargs: see `hls4ml.backends.VitisBackend.create_initial_config`.
        """
        config: dict[str, Any] = super().create_initial_config(**kwargs)
        if input_shape is not None:
            config[INPUT_SHAPE] = tuple(input_shape)
        config[PORTABLE] = portable
        return config

    def compile(self, model: Any) -> str:
        """Compile the project as it lies in its folder and return the path of the library.

        It adds up in native integers (`hls/kan4ml/sums.h`); :class:`sim.csim.Csim` compiles the same files with the types
        that are synthesized.

        Raises:
            ToolError: if there is no compiler or it fails.
        """
        from sim.csim import build_csim

        return str(build_csim(Path(model.config.get_output_dir()), native_sums=True))

    def predict(self, model: Any, x: Any, n_threads: int | None = None) -> Any:
        """Predict like hls4ml: floats in, floats out, one row per sample; in threads where the model allows it.

        Args:
            model: a compiled `ModelGraph`.
            x: array (rows, …) of any strides, or one per input; float32 and float64 are used as they are, booleans,
                integers and float16 as float64.
            n_threads: threads to use; by default one per core.

        Returns:
            As hls4ml's: (rows, size) in the type of `x`, (size,) for a single row; a list of them for several outputs.

        Raises:
            DataError: if a value is NaN or infinite (ap_types would turn NaN into the maximum), or shape or type are wrong.
        """
        return predict(model, x, n_threads)

    def build(self, model: Any, engine: str = "vitis", **kwargs: Any) -> Any:
        """Make hardware of the project: hls4ml's own road through Vitis HLS, or another engine's RTL in `rtl/<engine>/`.

        Args:
            model: a written `ModelGraph`.
            engine: `vitis` (hls4ml's scripts), or for chains of KAN layers `openhls`, `bambu`, or `vitis_hls` (our script).
            **kwargs: `vitis`: the options of hls4ml's Vitis backend. The others: `cosim` (co-simulate the Verilog with
                Verilator and compare it with the reference), `vsynth` (Yosys's estimate of the resources), `vectors`
                (random vectors beside the corners), `seed`; `openhls` also `stages` (of the pipeline; 0: automatic),
                `bambu` also `device` (Bambu's own name of the FPGA).

        Returns:
            hls4ml's report: `CSynthesisReport`, `CosimReport` and `YosysEstimate` if they were asked for, all as text, and
            the engine's own entry (`OpenHls`, `Vitis`, `Bambu`) with numbers.

        Raises:
            ConfigError: for an unknown engine or option.
            MismatchError: if two stations differ; an earlier `rtl/<engine>/` is then untouched.
            ModelError: if an engine other than `vitis` meets layers that are not KAN layers.
            ToolError: if the engine's tool is not installed or fails.
        """
        if engine != "vitis":
            return build_with(model, engine, kwargs)
        if shutil.which("vitis-run") is None:
            raise ToolError(
                "Vitis HLS was not found: build() needs the program vitis-run; install Vitis and put vitis-run on PATH, "
                "or use build(engine='openhls')"
            )
        return super().build(model, **kwargs)
