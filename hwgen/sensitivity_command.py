"""`kan4ml sensitivity SOURCE`: the float network of a build or of a configuration, quantized one branch at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwgen._output import recover
from hwgen.config import Config, load_config
from hwgen.flow import load_imported
from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.layers import KAN, load_float
from pymodel.sensitivity import Rows, Sensitivity, SweepSettings, plot, sweep
from pymodel.train import check_widths, train_float

__all__ = ["parse_bits", "print_sensitivity", "run_sensitivity"]

_FILES = ("sensitivity.json", "sensitivity.svg", "sensitivity.png")


def run_sensitivity(
    source: Path,
    target: Path,
    settings: SweepSettings,
    *,
    overrides: Sequence[str] = (),
    part: str | None = None,
    calibration: int = 1024,
    console: Console | None = None,
) -> Sensitivity:
    """Sweep a network and write JSON, SVG and PNG into `target`.

    Args:
        source: a build's folder, whose float weights are taken, or a configuration, whose float phase is trained.
        target: the folder to write to; files of an earlier sweep are replaced.
        settings: of the sweep.
        overrides: `section.key=value` of the configuration.
        part: `validation` or `test`; None takes the validation rows if the data has any.
        calibration: how many training rows codes and weights are settled on.
        console: where progress goes; None is silent.

    Raises:
        ConfigError: if the source, the target or an option is not usable.
        ModelError: if the build's weights cannot be read, or a layer has no integer form.
    """
    console = console or Console(quiet=True)
    _check(target, calibration, part)
    config, folder = _config(source, overrides)
    if config.model.family == "table":
        raise ConfigError(
            "the family table has no branches, only table entries; give sensitivity a network of another family"
        )
    dataset = load(config.data, config.model.range)
    check_widths(dataset, config.model)
    rows = _rows(dataset, part, calibration)
    model = _network(config, folder, dataset, console)
    with console.status("quantizing") as status:
        result = sweep(
            model,
            rows,
            settings,
            on_point=lambda name, bits, value: status.update(f"{name} at {bits} bits: {value:.4f}"),
        )
    _write(result, config.model.name, dataset.name, target)
    return result


def print_sensitivity(console: Console, result: Sensitivity) -> None:
    """Print one row per curve, and what was fixed."""
    percent = result.measure == "accuracy"

    def show(value: float) -> str:
        return f"{100 * value:.2f}" if percent else f"{value:.4f}"

    measure = "accuracy in %" if percent else "R²"
    table = Table(title=f"{measure} of the integers by bits of one branch", title_justify="left", title_style="bold")
    table.add_column("branch")
    for bits in result.settings.bits:
        table.add_column(f"{bits}", justify="right")
    for curve in result.curves:
        table.add_row(Text(curve.name), *(show(point.value) for point in curve.points))
    console.print(table)
    console.print(
        f"{result.rows:,} {result.part} rows: float {show(result.float_value)}, all branches at {result.settings.others} bits "
        f"{show(result.reference)}; settled by {result.settings.method} on {result.calibration_rows:,} training rows, no training",
        soft_wrap=True,
        markup=False,
    )


def _check(target: Path, calibration: int, part: str | None) -> None:
    if calibration < 2:
        raise ConfigError(f"--calibration must be at least 2 rows, not {calibration}; raise it")
    if part not in (None, "validation", "test"):
        raise ConfigError(f"--rows must be validation or test, not {part!r}; change it")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"the output {target} is a file, a folder was expected; choose another --out")
    if target.is_dir() and any(entry.name not in _FILES for entry in target.iterdir()):
        raise ConfigError(f"the output folder {target} holds other files than a sweep's; choose another --out")


def _config(source: Path, overrides: Sequence[str]) -> tuple[Config, Path | None]:
    """Return the configuration, and the build's folder if it is one."""
    if not source.is_dir():
        return load_config(source, overrides), None
    recover(source)
    if not (source / "config.yaml").is_file():
        raise ConfigError(
            f"{source} is no build: it has no config.yaml; give a configuration or a folder of kan4ml build"
        )
    return load_config(source / "config.yaml", overrides), source


def _network(config: Config, folder: Path | None, dataset: Dataset, console: Console) -> KAN:
    if config.imported is not None:
        return load_imported(config.imported, config)
    if folder is not None:
        model = load_float(folder / "model" / "float.safetensors")
        if model.widths != config.model.widths:
            raise ConfigError(
                f"model.widths is {list(config.model.widths)}, but the build's network has {list(model.widths)}; leave it as it is"
            )
        return model
    return train_float(dataset, config.model, config.train, console=console)


def _rows(dataset: Dataset, part: str | None, calibration: int) -> Rows:
    if part == "validation" and not len(dataset.validation):
        raise ConfigError("the data has no validation rows; set data.validation_fraction, or use --rows test")
    if part is None:
        part = "validation" if len(dataset.validation) else "test"
    if part == "validation":
        x, y = dataset.x_train[dataset.validation], dataset.y_train[dataset.validation]
    else:
        x, y = dataset.x_test, dataset.y_test
    fit = dataset.x_train[dataset.fit[:calibration]]
    prepared = torch.from_numpy(dataset.host.prepare(fit).astype(np.float32))
    return Rows(prepared, x, y, dataset.host, part)


def _write(result: Sensitivity, model: str, data: str, target: Path) -> None:
    document = {"model": model, "data": data, **result.to_json()}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            new = target / f".{name}"
            if name.endswith(".json"):
                new.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            else:
                new = target / f".new{Path(name).suffix}"
                plot(result, new, title=f"{model} on {data}: {result.settings.method}")
            os.replace(new, target / name)  # noqa: PTH105 - atomic, over an older file
    except OSError as error:
        raise ConfigError(f"{target} cannot be written ({error.strerror}); choose another --out") from None


def parse_bits(text: str) -> tuple[int, ...]:
    """Return the numbers of `8,6,4` or of a span such as `8-2`.

    Raises:
        ConfigError: if it is neither.
    """
    try:
        first, dash, last = text.partition("-")
        if dash:
            a, b = int(first), int(last)
            return tuple(range(max(a, b), min(a, b) - 1, -1))
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--bits must look like 8-2 or 8,6,4, not {text!r}; change it") from None
