"""The writer: hls4ml's Vitis project plus the KAN headers, the integer tables and the batched entry points."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from hls4ml.writer.vitis_writer import VitisWriter

import hwgen
from hwgen.plugin._bridge import (
    BATCH_HEADER,
    CHECKS_HEADER,
    REALS_HEADER,
    batch_entry_points,
    has_batch_entry_points,
    table_checks,
)
from hwgen.plugin._layer import IMAGES, INPUT_SHAPE, PORTABLE, WRITING
from hwgen.plugin._passes import kan_layers
from hwgen.plugin._tables import TABLE_DIR, table_header, table_header_path
from hwgen.plugin._taps import TAPS_HEADER
from pymodel.errors import ToolError

__all__ = ["VitisKANWriter", "library_headers"]

_CSIM_HEADERS = Path(__file__).resolve().parent / "cpp"
_OWN_FOLDERS = ("kan4ml", "kan_csim", TABLE_DIR)


def library_headers() -> Path:
    """Return the folder of the kan4ml C++ headers: inside `hwgen` in a wheel, beside it in a checkout.

    Found relative to hwgen's own file: a namespace package called `hls` could be any folder of the working directory.

    Raises:
        ToolError: if the installation lacks them.
    """
    package = Path(str(hwgen.__file__)).resolve().parent
    for folder in (package / "_hls" / "kan4ml", package.parent / "hls" / "kan4ml"):
        if (folder / "kan4ml.h").is_file():
            return folder
    raise ToolError("the C++ headers of kan4ml are missing from the installation; install kan4ml again")


class VitisKANWriter(VitisWriter):  # type: ignore[misc]  # hls4ml publishes no types
    """Writes a project that hls4ml's Tcl scripts and Vitis build like any other."""

    def write_hls(self, model: Any) -> None:
        """Write the project."""
        setattr(model, WRITING, True)
        try:
            super().write_hls(model)
        finally:
            delattr(model, WRITING)

    def write_project_dir(self, model: Any) -> None:
        """Make the folders, without what an earlier model left in ours."""
        super().write_project_dir(model)
        firmware = _firmware(model)
        for name in _OWN_FOLDERS:
            shutil.rmtree(firmware / name, ignore_errors=True)

    def write_weights(self, model: Any) -> None:
        """Write hls4ml's weights, and one header of integer tables per KAN layer."""
        super().write_weights(model)
        firmware = _firmware(model)
        for layer in kan_layers(model):
            path = firmware / table_header_path(layer.node)
            path.parent.mkdir(exist_ok=True)
            path.write_text(table_header(layer.node, layer.reuse, layer.streams), encoding="ascii")

    def write_nnet_utils(self, model: Any) -> None:
        """Copy hls4ml's headers, the kan4ml library and the simulation's headers."""
        super().write_nnet_utils(model)
        firmware = _firmware(model)
        target = firmware / "kan4ml"
        target.mkdir(exist_ok=True)
        for header in sorted(library_headers().glob("*.h")):
            shutil.copyfile(header, target / header.name)
        for name in (TAPS_HEADER, BATCH_HEADER, CHECKS_HEADER, REALS_HEADER):
            (firmware / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(_CSIM_HEADERS / Path(name).name, firmware / name)

    def write_project_cpp(self, model: Any) -> None:
        """Write the top function, and below it the check of its tables, which synthesis does not see."""
        super().write_project_cpp(model)
        path = _firmware(model) / f"{model.config.get_project_name()}.cpp"
        with path.open("a", encoding="utf-8") as file:
            file.write(table_checks(model))

    def write_bridge(self, model: Any) -> None:
        """Write hls4ml's bridge and add the batched entry points."""
        super().write_bridge(model)
        if has_batch_entry_points(model):
            path = Path(model.config.get_output_dir()) / f"{model.config.get_project_name()}_bridge.cpp"
            with path.open("a", encoding="utf-8") as file:
                file.write(batch_entry_points(model))

    def write_build_script(self, model: Any) -> None:
        """Write hls4ml's scripts; the batched entry points need threads."""
        super().write_build_script(model)
        path = Path(model.config.get_output_dir()) / "build_lib.sh"
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'^CFLAGS="', 'CFLAGS="-pthread ', text, flags=re.MULTILINE), encoding="utf-8")

    def write_yml(self, model: Any) -> None:
        """Write the configuration without the torch model: its pickled text is slow, large and not portable."""
        config = {
            k: v for k, v in model.config.config.items() if k not in ("PytorchModel", INPUT_SHAPE, PORTABLE, IMAGES)
        }
        if model.config.get_config_value(PORTABLE):
            config["OutputDir"] = "."
        path = Path(model.config.get_output_dir()) / "hls4ml_config.yml"
        path.write_text(yaml.dump(_plain(config)), encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return `value` with lists for tuples, which hls4ml's own loader of the file refuses."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _firmware(model: Any) -> Path:
    return Path(model.config.get_output_dir()) / "firmware"
