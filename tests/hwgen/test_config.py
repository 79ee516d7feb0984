"""The configuration file: defaults, overrides, round trip, and one sentence for everything that is wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen._yaml import parse_yaml
from hwgen.config import Config, HardwareSettings, dump_config, load_config, make_config
from pymodel.errors import ConfigError
from pymodel.settings import DataSettings, ModelSettings, PruneSettings, QuantizeSettings, TrainSettings

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

#: Section 4 of docs/design.md.
DESIGN = """\
data: {source: csv, path: beans.csv.gz, label: Class, task: classification, test_fraction: 0.2, seed: 0}
model: {family: efficient_kan, widths: [16, 8, 7], grid: 5, order: 3, range: [-2, 2]}
quantize: {method: lsq, activations: 6, base_weights: 4, spline_weights: 4, basis: 6, edge: null, first_activations: 8}
train: {epochs: 30, batch_size: 128, learning_rate: 0.002, prune: null, seed: 0}
hardware: {backend: VitisKAN, part: xcvu9p-flga2104-2L-e, clock_ns: 5, io: io_parallel, strategy: latency,
           reuse_factor: 1, rtl: [tables], synth: true, vectors: 10000}
"""


@pytest.fixture
def design(tmp_path: Path) -> Path:
    path = tmp_path / "beans.yaml"
    path.write_text(DESIGN)
    return path


def test_the_design_page_s_example(design: Path) -> None:
    config = load_config(design)
    assert config.data == DataSettings("csv", design.parent / "beans.csv.gz", "Class")
    assert config.model == ModelSettings((16, 8, 7))
    assert config.quantize == QuantizeSettings(activations=6, first_activations=8)
    assert config.train == TrainSettings(learning_rate=0.002)
    assert config.hardware == HardwareSettings()


def test_defaults_fill_in_whole_sections(tmp_path: Path) -> None:
    config = make_config({"data": {"source": "wine"}, "model": {"widths": [13, 3]}, "train": None}, tmp_path)
    assert config == Config(DataSettings("wine"), ModelSettings((13, 3)))


def test_overrides(design: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    config = load_config(
        design,
        [
            "train.learning_rate=1e-3",
            "train.prune.edges=50",
            "model.widths=[16, 4, 7]",
            "data.path=other.csv",
            "hardware.synth=false",
            "quantize.first_activations=null",
            "train.epochs = 7",
            "train.epochs=8",
        ],
    )
    assert config.train.learning_rate == 0.001
    assert config.train.prune == PruneSettings(edges=50)
    assert config.train.epochs == 8
    assert config.model.widths == (16, 4, 7)
    assert config.data.path == here / "other.csv"  # typed here, so it starts here
    assert not config.hardware.synth
    assert config.quantize.first_activations == 6
    assert load_config(design, ["train.prune=0.25"]).train.prune == PruneSettings(fraction=0.25)


def test_relative_paths_start_at_the_file(design: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(design.parent)
    assert load_config(Path(design.name)).data.path == design.parent / "beans.csv.gz"
    design.write_text(DESIGN.replace("beans.csv.gz", "../beans.csv.gz"))
    assert load_config(design).data.path == design.parent.parent / "beans.csv.gz"


OVERRIDES = {
    "train.epoch=3": r"unknown key 'train\.epoch'; did you mean 'epochs'\?",
    "train.prune={edges: 3, edge: 4}": r"unknown key 'train\.prune\.edge'; did you mean 'edges'\?",
    "train.prune=lots": r"train\.prune must be a section of keys and values, not 'lots'",
    "train.prune={edges: x}": r"train\.prune\.edges must be an integer, not 'x'",
    "train.prune={edges: 3, fraction: 0.1}": "exactly one of fraction, edges, layers and luts",
    "train.prune={edges: 3000}": "edges is 3000, but the model has 184 edges",
    "train.prune=1.5": r"train\.prune\.fraction must be a number at least 0 and below 1, not 1\.5",
    "train.epochs=many": r"train\.epochs must be an integer, not 'many'",
    "train.epochs=1.5": r"train\.epochs must be an integer, not 1\.5",
    "train.epochs=true": r"train\.epochs must be an integer, not True",
    "train.epochs=-1": r"train\.epochs must be an integer from 0 to 100000, not -1",
    "train.epochs=": r"train\.epochs must be an integer, not None",
    "train.learning_rate=.inf": r"train\.learning_rate must be a number above 0",
    "train.augment=flip": r"train\.augment must be 'shift', 'affine' or 'crop_flip', not 'flip'",
    "modle.widths=[1]": r"unknown key 'modle'; did you mean 'model'\?",
    "model.widths=3": r"model\.widths must be a list, not 3",
    "model.widths=[16, x]": r"model\.widths\[1\] must be an integer, not 'x'",
    "model.range=[1]": r"model\.range must have more than 1 values",
    "model.range=[1, 2, 3]": r"model\.range must have 2 values, not 3",
    "data.source=beans": r"data\.source must be 'digits', .*not 'beans'",
    "data.path=3": r"data\.path must be text, not 3",
    "data.task=regression": r"model\.widths must end in 1 for a regression, not in 7",
    "quantize.input=12": None,
    "quantize.method=dsq": None,
    "hardware.synth=1": r"hardware\.synth must be true or false, not 1",
    "hardware.rtl=tables": r"hardware\.rtl must be a list, not 'tables'",
    "hardware.rtl=[vitis]": "engine 'vitis' is not available yet",
    "hardware.rtl=[bambu]": "engine 'bambu' is not available yet",
    "hardware.rtl=[table]": r"unknown engine 'table'; did you mean 'tables'\?",
    "hardware.rtl=[tables, tables]": "names an engine twice",
    "hardware.io=io_stream": None,
    "hardware.io=foo": r"hardware\.io must be io_parallel",
    "hardware.strategy=resource": None,
    "hardware.strategy=fast": "must be latency, resource or edge_table",
    "hardware.strategy=edge_table": None,
    "hardware.reuse_factor=2": None,
    "hardware.reuse_factor=all": None,
    "hardware.reuse_factor=[16, all]": None,
    "hardware.reuse_factor=16": r"reuse_factor for layer 1 must divide the layer's 8 inputs, which 16 does not; set it to 8$",
    "hardware.reuse_factor=[3, 1]": r"layer 0 must divide .* 16 inputs, which 3 does not; set it to 2 or 4",
    "hardware.reuse_factor=[1]": "must be one value or one for each of the 2 layers, not 1 values",
    "hardware.reuse_factor=0": "must be a positive integer, not 0",
    "hardware.reuse_factor=most": "must be an integer or all, not 'most'",
    "hardware.reuse_factor=2.5": r"must be an integer, all, or a list of these, not 2\.5",
    "hardware.reuse_factor=[true, 1]": "must be an integer, all, or a list of these",
    "hardware.backend=Vitis": "must be VitisKAN",
    "hardware.levels_per_stage=2": None,
    "hardware.levels_per_stage=0": r"levels_per_stage must be 1 to 16, not 0",
    "hardware.clock_ns=0": "0.1 to 1000 nanoseconds",
    "hardware.part=a; exec rm": "must be a part number",
    "hardware.vectors=-1": r"hardware\.vectors must be 0 to",
    "hardware.rtl_vectors=0": r"hardware\.rtl_vectors must be null or 1 to",
    "hardware.threads=0": r"hardware\.threads must be null or 1 to",
    "train": "an override must look like",
    "train.epochs": "an override must look like",
    "data={}": "an override must look like",
    ".=3": "an override must look like",
    "train.epochs=[": r"override 'train\.epochs=\[', line 1: .*correct the YAML",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_wrong_values(design: Path, override: str) -> None:
    message = OVERRIDES[override]
    if message is None:
        load_config(design, [override])
        return
    with pytest.raises(ConfigError, match=message) as info:
        load_config(design, [override])
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        ({"family": "pykan", "widths": [13, 4, 3], "multiplication": 1}, "multiplication"),
        ({"family": "fast_kan", "widths": [13, 3], "layernorm": True}, "layernorm"),
    ],
)
def test_products_and_norms_are_no_tables(model: dict[str, Any], what: str, tmp_path: Path) -> None:
    document: dict[str, Any] = {"data": {"source": "wine"}, "model": model}
    with pytest.raises(ConfigError, match=f"builds edge tables only, which model.{what} is not; set hardware.rtl to"):
        make_config(document, tmp_path)
    for rtl in ([], ["openhls"]):
        assert make_config(document | {"hardware": {"rtl": rtl}}, tmp_path).hardware.rtl == tuple(rtl)


def test_grids_per_input_are_not_rolled(tmp_path: Path) -> None:
    model = {"family": "pykan", "widths": [13, 3], "grid_per_input": True}
    document: dict[str, Any] = {"data": {"source": "wine"}, "model": model, "hardware": {"reuse_factor": 13}}
    with pytest.raises(ConfigError, match="a basis table per input, which rolled kernels do not read"):
        make_config(document, tmp_path)
    document["hardware"]["strategy"] = "edge_table"
    make_config(document, tmp_path)


def test_wide_codes_need_no_tables(design: Path) -> None:
    wide = ["quantize.activations=12", "quantize.input=12"]
    with pytest.raises(ConfigError, match=r"tables hold codes of at most 10 bits, but quantize asks for 12 bits"):
        load_config(design, wide)
    assert load_config(design, [*wide, "hardware.rtl=[]"]).quantize.activations == 12
    with pytest.raises(ConfigError, match="tables hold codes"):
        load_config(design, [*wide, "hardware.rtl=[]", "hardware.strategy=edge_table"])


DOCUMENTS = {
    "": r"lacks the key 'data'; add it",
    "data: {source: wine}": r"lacks the key 'model'; add it",
    "data: {source: wine}\nmodel: {grid: 3}": r"lacks the key 'model\.widths'; add it",
    "data: wine\nmodel: {widths: [13, 3]}": r"data must be a section of keys and values, not 'wine'",
    "data:\nmodel:": r"data must be a section of keys and values, not None",
    "[1, 2]": r"must be sections such as 'data:', not \[1, 2\]",
    "hello": r"must be sections such as 'data:', not 'hello'",
    "a: [1,": r"c\.yaml, line 1: .*correct the YAML there",
    "a: 1\n\tb: 2": r"c\.yaml, line 2: .*correct the YAML there",
    "a: &x [1]\nb: *x": r"line 2: aliases \(\*name\) are not supported",
    "a: &x {b: *x}": r"line 1: aliases",
    "data: 1\nmodel: 2\ndata: 3": r"line 3: the key 'data' is there twice",
    "a: {b: 1, b: 2}": r"line 1: the key 'b' is there twice",
    "? [a]\n: 1": r"line 1: a key must be a plain word",
    "2020-01-01: 1": r"keys must be plain words",
    "a: !!python/object/apply:os.system [ls]": r"line 1: could not determine a constructor",
    "a: 2020-99-99": r"not valid YAML \(month must be in 1\.\.12\)",
    "--- 1\n--- 2": r"line 2: .*another document",
    "\0": r"not valid YAML",
    "[" * 50_000: r"nested too deeply",
}


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: repr(text[:30]))
def test_wrong_documents(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=DOCUMENTS[text]) as info:
        load_config(path)
    assert "\n" not in str(info.value)


def test_a_billion_laughs_stay_small(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "c.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="line 2: aliases"):
        load_config(path)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; check its name"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="which is a folder; name the file"):
        load_config(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_bytes("data: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="more than 1 MiB"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path / "below.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(Path("a\0b"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("-2E+5", -2e5), ("1.5e3", 1500.0), (".5e1", 5.0), ("1e", "1e"), ("e3", "e3"), ("12", 12)],
)
def test_numbers_as_users_write_them(text: str, value: Any) -> None:
    assert parse_yaml(text, "here") == value
    assert type(parse_yaml(text, "here")) is type(value)


def round_trip(config: Config, folder: Path) -> None:
    path = folder / "resolved.yaml"
    for text in (dump_config(config), dump_config(config, folder)):
        path.write_text(text)
        assert load_config(path) == config
        assert dump_config(load_config(path)) == dump_config(config)


def test_dump_spells_out_every_default(design: Path, tmp_path: Path) -> None:
    config = load_config(design)
    round_trip(config, tmp_path)
    document = parse_yaml(dump_config(config), "dump")
    assert isinstance(document, dict)
    for section, values in document.items():
        assert set(values) == set(vars(getattr(config, section)))
    assert document == config.to_dict()
    relative = config.to_dict(tmp_path / "out")
    assert relative["data"]["path"] == os.path.join("..", "beans.csv.gz")  # noqa: PTH118 - text, not a path


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    learning_rate=st.floats(1e-9, 10),
    low=st.floats(-1e5, 0.0),
    prune=st.none()
    | st.builds(PruneSettings, fraction=st.floats(0, 0.99))
    | st.builds(PruneSettings, edges=st.integers(1, 184))
    | st.just(PruneSettings(layers=(100, 50))),
    first=st.none() | st.integers(2, 8),
    rtl=st.sampled_from([(), ("tables",)]),
)
def test_dump_and_load_are_inverse(
    tmp_path_factory: pytest.TempPathFactory,
    learning_rate: float,
    low: float,
    prune: PruneSettings | None,
    first: int | None,
    rtl: tuple[str, ...],
) -> None:
    config = Config(
        DataSettings("csv", Path("/data/a b: c.csv"), "the 'label' # 1"),
        ModelSettings((16, 8, 7), range=(low, 1.0)),
        QuantizeSettings(first_activations=first),
        TrainSettings(learning_rate=learning_rate, prune=prune),
        replace(HardwareSettings(), rtl=rtl),
    )
    round_trip(config, tmp_path_factory.mktemp("config"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load(path: Path, tmp_path: Path) -> None:
    round_trip(load_config(path), tmp_path)
