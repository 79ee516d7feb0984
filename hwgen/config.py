"""The one YAML file of a build (docs/design.md, section 4): read, validated, resolved, written back.

Pydantic stands at this edge only: it checks keys and types against the frozen dataclasses of :mod:`pymodel.settings`,
which then check ranges and combinations themselves. Every error is one sentence that names the dotted key.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from hwgen._reuse import ALL_INPUTS, reuse_factors
from hwgen._yaml import parse_yaml
from pymodel._regular import check_regular
from pymodel.errors import ConfigError
from pymodel.ir import MAX_TABLE_BITS
from pymodel.settings import (
    ConvSettings,
    DataSettings,
    DistillSettings,
    ModelSettings,
    PruneSettings,
    QuantizeSettings,
    TrainSettings,
)
from pymodel.suggest import suggest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Config", "HardwareSettings", "ImportSettings", "check_chip", "dump_config", "load_config", "make_config"]

_MAX_BYTES = 1 << 20
#: Section and key of every path.
_PATHS: Final = (
    ("data", "path"),
    ("data", "labels"),
    ("data", "test_path"),
    ("data", "test_labels"),
    ("imported", "path"),
)
_PART = re.compile(r"[A-Za-z][A-Za-z0-9._-]{1,63}")
#: Pydantic's words for types, where YAML and plain English have others.
_PLAIN: Final = {
    "a array": "a list",
    "a string": "text",
    "a boolean": "true or false",
    "a integer": "an integer",
    "a path": "a path",
}
#: Weights of a model, each held several times over in training.
MAX_WEIGHTS: Final = 1 << 26
#: Integers of all vectors at all dense layers.
MAX_INTEGERS: Final = 1 << 27
_ENGINES: Final = ("tables", "openhls", "vitis", "bambu")


def check_chip(part: str, clock_ns: float, part_key: str = "--part", clock_key: str = "--clock-ns") -> None:
    """Check the two facts about the chip that end up in scripts of tools.

    Raises:
        ConfigError: if `part` is no plain part number, or the clock period is not 0.1 to 1000 ns; `part_key` and `clock_key`
            are how the message calls them.
    """
    if not _PART.fullmatch(part):
        raise ConfigError(f"{part_key} must be a part number such as xcvu9p-flga2104-2L-e, not {part!r}; change it")
    if not 0.1 <= clock_ns <= 1000:
        raise ConfigError(f"{clock_key} must be 0.1 to 1000 nanoseconds, not {clock_ns:g}; change it")


@dataclass(frozen=True)
class HardwareSettings:
    """How the model becomes hardware, and how much of it is checked.

    Attributes:
        backend: the hls4ml backend; only `VitisKAN`.
        part: FPGA part number, for the HLS project, `vivado.tcl` and the estimate.
        clock_ns: target clock period.
        io: of the HLS layers: `io_parallel` (arrays), or `io_stream` (streams of beats, which openhls does not read).
        strategy: of the HLS layers: `latency` or `resource` (basis unit and MAC array; the same where reuse_factor is
            above 1), or `edge_table`.
        reuse_factor: multiplications per multiplier and sample in the HLS layers: 1 (fully parallel), another divisor
            of the layer's inputs, or `all` (one input per clock); one for all layers or a list with one per layer.
        rtl: engines that make Verilog; `tables` (from the edge tables), `openhls` (from the C++), both, or none.
        levels_per_stage: adders in a row between two registers of the table RTL; the latency falls as it rises.
        synth: whether to estimate the RTL with Yosys.
        vectors: random input vectors of the equivalence checks, beside the test rows and the corners.
        rtl_vectors: at most so many vectors in RTL simulation; None simulates all.
        threads: of the C++ simulation and the checks, which do not depend on it; None takes all CPUs.

    Raises:
        ConfigError: for a value out of range or a feature that is not available.
    """

    backend: str = "VitisKAN"
    part: str = "xcvu9p-flga2104-2L-e"
    clock_ns: float = 5.0
    io: str = "io_parallel"
    strategy: str = "latency"
    reuse_factor: int | str | tuple[int | str, ...] = 1
    rtl: tuple[str, ...] = ("tables",)
    levels_per_stage: int = 1
    synth: bool = True
    vectors: int = 10_000
    rtl_vectors: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.backend != "VitisKAN":
            raise ConfigError(f"hardware.backend must be VitisKAN, not {self.backend!r}; change it")
        check_chip(self.part, self.clock_ns, "hardware.part", "hardware.clock_ns")
        if not 1 <= self.levels_per_stage <= 16:
            raise ConfigError(f"hardware.levels_per_stage must be 1 to 16, not {self.levels_per_stage}; change it")
        if self.io not in ("io_parallel", "io_stream"):
            raise ConfigError(f"hardware.io must be io_parallel or io_stream, not {self.io!r}; change it")
        if self.io == "io_stream" and "openhls" in self.rtl:
            raise ConfigError(
                "hardware.rtl engine openhls reads io_parallel projects only; use io_parallel, or [tables]"
            )
        if self.strategy not in ("latency", "resource", "edge_table"):
            raise ConfigError(
                f"hardware.strategy must be latency, resource or edge_table, not {self.strategy!r}; change it"
            )
        each = self.reuse_factor if isinstance(self.reuse_factor, tuple) else (self.reuse_factor,)
        for reuse in each:
            if isinstance(reuse, str) and reuse != ALL_INPUTS:
                raise ConfigError(f"hardware.reuse_factor must be an integer or {ALL_INPUTS}, not {reuse!r}; change it")
        for engine in self.rtl:
            if engine in _ENGINES[2:]:
                raise ConfigError(f"hardware.rtl engine {engine!r} is not available yet; use [tables, openhls] or []")
            if engine not in _ENGINES:
                raise ConfigError(f"hardware.rtl has the unknown engine {engine!r}; {suggest(engine, _ENGINES)}")
        if len(set(self.rtl)) != len(self.rtl):
            raise ConfigError(f"hardware.rtl names an engine twice in {list(self.rtl)}; name it once")
        if not 0 <= self.vectors <= 10_000_000:
            raise ConfigError(f"hardware.vectors must be 0 to 10000000, not {self.vectors}; change it")
        if self.rtl_vectors is not None and not 1 <= self.rtl_vectors <= 10_000_000:
            raise ConfigError(f"hardware.rtl_vectors must be null or 1 to 10000000, not {self.rtl_vectors}; change it")
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise ConfigError(f"hardware.threads must be null or 1 to 1024, not {self.threads}; change it")


@dataclass(frozen=True)
class ImportSettings:
    """A trained network of another library, which takes the place of the float training (docs/importing.md).

    Attributes:
        path: its `.safetensors` file.
        family: the library, as :func:`pymodel.importers.load` calls it.
        prefix: where the network lies in the file.
        facts: what the file does not tell, under the library's own names.
    """

    path: Path
    family: str
    prefix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@with_config(ConfigDict(extra="forbid", strict=True))
@dataclass(frozen=True)
class Config:
    """A whole configuration, every default filled in and every path absolute.

    Raises:
        ConfigError: if the sections do not combine.
    """

    data: DataSettings
    model: ModelSettings
    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    hardware: HardwareSettings = field(default_factory=HardwareSettings)
    imported: ImportSettings | None = None

    def __post_init__(self) -> None:
        widths = self.model.widths
        self.quantize.check_layers(self.model.n_layers)
        table = self.model.family == "table"
        for key, given in (
            ("data.threshold", self.data.threshold),
            ("quantize.layer_edges", self.quantize.layer_edges),
        ):
            if given is not None and not table:
                raise ConfigError(f"{key} belongs to model.family table, not to {self.model.family}; remove it")
        bits = max(self.quantize.activation_bits(layer) for layer in range(self.model.n_layers))
        if bits > MAX_TABLE_BITS and ("tables" in self.hardware.rtl or self.hardware.strategy == "edge_table"):
            raise ConfigError(
                f"tables hold codes of at most {MAX_TABLE_BITS} bits, but quantize asks for {bits} bits of activations; "
                "lower them, or set hardware.rtl to [] and hardware.strategy to latency"
            )
        if not self.model.conv:  # the reuse of a convolution is checked where it is built
            reuse_factors("hardware.reuse_factor", self.hardware.reuse_factor, widths[:-1])
        if self.data.task == "regression" and widths[-1] != 1:
            raise ConfigError(f"model.widths must end in 1 for a regression, not in {widths[-1]}; change it")
        if self.train.prune is not None and not table:  # with fan_in, a table model counts edges differently
            self.train.prune.targets(self.model.edges)
        if self.train.prune is not None and any(conv.groups > 1 for conv in self.model.conv):
            raise ConfigError(
                "train.prune cannot rank edges of a convolution with groups, because its windows have different inputs; "
                "remove train.prune or set the groups to 1"
            )
        self._check_nodes()
        self._check_size()

    def _check_nodes(self) -> None:
        """Check that what the model is made of can be built in the ways that are asked for."""
        model, hardware = self.model, self.hardware
        what = "multiplication" if any(model.arities) else "layernorm" if model.layernorm else None
        if what is not None and "tables" in hardware.rtl:
            raise ConfigError(
                f"hardware.rtl tables builds edge tables only, which model.{what} is not; set hardware.rtl to [openhls] or []"
            )
        each = hardware.reuse_factor if isinstance(hardware.reuse_factor, tuple) else (hardware.reuse_factor,)
        if model.grid_per_input and hardware.strategy != "edge_table" and any(reuse != 1 for reuse in each):
            raise ConfigError(
                "model.grid_per_input needs a basis table per input, which rolled kernels do not read; set "
                "hardware.reuse_factor to 1 or hardware.strategy to edge_table"
            )

    def _check_size(self) -> None:
        """Check, before any memory is asked for, that model and vectors fit into a few gigabytes."""
        model = self.model
        weights = sum(model.edges) * (model.grid + model.order + 1)
        if weights > MAX_WEIGHTS:
            raise ConfigError(
                f"model.widths {list(model.widths)} would give {weights} weights, but at most {MAX_WEIGHTS} are held in memory; "
                "lower the widths or the grid"
            )
        integers = self.hardware.vectors * sum(model.widths)
        if integers > MAX_INTEGERS:
            raise ConfigError(
                f"hardware.vectors {self.hardware.vectors} would give {integers} integers, but at most {MAX_INTEGERS} are held "
                "in memory; lower it"
            )

    def to_dict(self, folder: Path | None = None) -> dict[str, Any]:
        """Return the sections as plain JSON types, every default spelled out.

        Args:
            folder: data paths are given relative to it; None gives them absolute.
        """
        document: dict[str, Any] = _plain(dataclasses.asdict(self))
        if self.imported is None:
            del document["imported"]
        for section, key in _PATHS:
            values = document.get(section, {})
            if folder is not None and values.get(key) is not None:
                values[key] = os.path.relpath(values[key], os.path.realpath(folder))
        return document


_SECTIONS: Final[dict[str, type[DataclassInstance]]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "model.conv": ConvSettings,
    "quantize": QuantizeSettings,
    "train": TrainSettings,
    "train.prune": PruneSettings,
    "train.distill": DistillSettings,
    "hardware": HardwareSettings,
    "imported": ImportSettings,
}
_ADAPTER: Final = TypeAdapter(Config)


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read the configuration file `path` and apply `overrides`.

    Args:
        path: the YAML file; relative data paths in it start at its folder.
        overrides: `section.key=value` each, the value in YAML; relative data paths in these start at the working
            directory, where they were typed.

    Raises:
        ConfigError: if the file cannot be read or anything in it is not valid.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"the configuration file {path} does not exist; check its name") from None
    except IsADirectoryError:
        raise ConfigError(f"a configuration file was expected at {path}, which is a folder; name the file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the configuration file {path} cannot be read ({reason}); check it") from None
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"the configuration file {path} has more than {_MAX_BYTES >> 20} MiB; is it the right file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"the configuration file {path} is not UTF-8 text; save it as UTF-8") from None
    return make_config(parse_yaml(text, str(path)), path.parent, overrides)


def make_config(document: object, folder: Path, overrides: Sequence[str] = ()) -> Config:
    """Turn a parsed `document` into a configuration; see :func:`load_config`.

    Raises:
        ConfigError: if anything in it is not valid.
    """
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError(f"a configuration must be sections such as 'data:', not {_show(document)}; see the examples")
    tree: dict[str, Any] = _plain(document)
    _anchor(tree, folder)
    for override in overrides:
        _override(tree, override)
    train = tree.get("train")
    if isinstance(train, dict) and isinstance(train.get("prune"), int | float) and not isinstance(train["prune"], bool):
        train["prune"] = {"fraction": train["prune"]}
    for name in ("quantize", "train", "hardware"):
        if name in tree and tree[name] is None:  # a section whose lines are all commented out
            del tree[name]
    try:
        return _ADAPTER.validate_json(json.dumps(tree))
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors(include_url=False)[0])) from None


def dump_config(config: Config, folder: Path | None = None) -> str:
    """Return `config` as YAML with every default spelled out; :func:`load_config` reads the same configuration back.

    Args:
        config: the configuration.
        folder: where the file will stand: data paths are written relative to it; None writes them absolute.
    """
    document = config.to_dict(folder)
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Safe YAML with short lists on one line."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def _plain(document: object) -> Any:
    """Return a copy of `document` in JSON's types only: in these, pydantic is strict and yet takes lists and paths."""
    try:
        return json.loads(json.dumps(document, default=str))
    except TypeError:  # a date or the like as a key
        raise ConfigError("the configuration's keys must be plain words; see the examples") from None


def _anchor(document: Mapping[str, Any], folder: Path) -> None:
    """Make the paths in `document` absolute, relative ones starting at `folder`."""
    for section, key in _PATHS:
        values = document.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            values[key] = _real(folder / values[key], f"{section}.{key}")


def _real(path: Path | str, key: str) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL byte, which no path can hold
        raise ConfigError(f"{key} must be a path, not {str(path)!r}; change it") from None


def _override(document: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` in `document`."""
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys) or len(keys) < 2:
        raise ConfigError(f"an override must look like train.epochs=10, not {override!r}; change it")
    value = _plain(parse_yaml(text, f"the override {override!r}"))
    if (keys[0], keys[-1]) in _PATHS and isinstance(value, str):
        value = _real(value, dotted)
    section = document
    for key in keys[:-1]:
        if not isinstance(section.get(key), dict):
            section[key] = {}
        section = section[key]
    section[keys[-1]] = value


def _sentence(error: Mapping[str, Any]) -> str:
    """Turn one of pydantic's errors into a sentence: key, what is expected, what came, the remedy."""
    location: list[int | str] = list(error["loc"])
    if location[:2] == ["hardware", "reuse_factor"]:  # pydantic names one alternative of the three
        value = _show(error["input"])
        return f"hardware.reuse_factor must be an integer, {ALL_INPUTS}, or a list of these, not {value}; change it"
    if location[:2] == ["model", "conv"] and len(location) > 4:  # likewise
        return f"{_dotted(location[:4])} must be an integer or a pair of them, not {_show(error['input'])}; change it"
    key, kind = _dotted(location), str(error["type"])
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"the configuration has the unknown key {key!r}; {suggest(str(location[-1]), _keys(location[:-1]))}"
    if kind.startswith("missing") and isinstance(location[-1], int):
        return f"{_dotted(location[:-1])} must have more than {location[-1]} values; add the others"
    if kind.startswith("missing"):
        return f"the configuration lacks the key {key!r}; add it"
    if kind == "too_long":
        context = error["ctx"]
        return f"{key} must have {context['max_length']} values, not {context['actual_length']}; remove the others"
    if kind in ("dataclass_type", "dataclass_exact_type"):
        return f"{key} must be a section of keys and values, not {_show(error['input'])}; see the examples"
    expected = str(error["msg"]).removeprefix("Input should be ").replace(" valid ", " ")
    return f"{key} must be {_PLAIN.get(expected, expected)}, not {_show(error['input'])}; change it"


def _dotted(location: Iterable[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the configuration"


def _keys(location: Sequence[int | str]) -> list[str]:
    """Return the keys that are known in the section at `location`."""
    section = _dotted(part for part in location if not isinstance(part, int))
    return [item.name for item in dataclasses.fields(_SECTIONS.get(section, Config))]


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
