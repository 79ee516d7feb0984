"""Named attacks on every command: exit status 2 and one sentence, no traceback, 10 seconds, 2 GB, nothing written."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hostile.conftest import SECONDS, kan4ml

pytestmark = [pytest.mark.xdist_group("hostile_build"), pytest.mark.rtl]

GOOD = "a,b,kind\n" + "".join(f"{i / 7:.3f},{(i * 3) % 11},{'xy'[i % 2]}\n" for i in range(40))
YAML = (
    "data: {source: csv, path: rows.csv, label: kind}\nmodel: {widths: [2, 3, 2]}\ntrain: {epochs: 1, qat_epochs: 1}\n"
)


def _gzip_bomb() -> bytes:
    """300 MB of zeros in 300 kB."""
    return gzip.compress(b"0" * (300 << 20), 1)


def _npz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _header(shape: tuple[int, ...], dtype: str = "<i8", version: int = 1) -> bytes:
    """The header of an npy file that promises an array of `shape`, without the array."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text


def _lying_zip(size: int) -> bytes:
    """A zip file whose directory says that its member unpacks to `size` bytes."""
    content = bytearray(_npz({"x.npy": b"abc", "y.npy": b"abc"}))
    start = 0
    while (start := content.find(b"PK\x01\x02", start)) >= 0:
        content[start + 24 : start + 28] = size.to_bytes(4, "little")
        start += 4
    return bytes(content)


HUGE = _npz({"x.npy": _header((1 << 40, 1 << 20)), "y.npy": _header((1 << 40,))})
NEGATIVE = _npz({"x.npy": _header((-1, 4)), "y.npy": _header((-1,))})
OBJECTS = _npz({"x.npy": _header((3, 2), "|O") + b"cos\nsystem\n", "y.npy": _header((3,), "|O")})

#: name: (content of rows.csv, more arguments, what the sentence says)
CSV: dict[str, tuple[str | bytes, list[str], str]] = {
    "empty file": (b"", [], "empty"),
    "header only": ("a,b,kind\n", [], "no rows"),
    "blank lines only": ("\n\n\n", [], "empty"),
    "one column": ("a\n1\n2\n", [], "one column"),
    "numbers as header": ("1,2,3\n4,5,6\n", [], "header"),
    "column without a name": ("a,,kind\n1,2,x\n", [], "no name"),
    "two columns of one name": (GOOD.replace("a,b,", "a,a,"), [], "two columns"),
    "NUL bytes": (GOOD.replace("0.000", "0\x000"), [], "rows.csv"),
    "nothing but NUL bytes": (b"\x00" * 4096, [], "rows.csv"),
    "UTF-16": (GOOD.encode("utf-16"), [], "UTF-8"),
    "latin-1": ("a,b,kind\n1,2,\xe4\n".encode("latin-1"), [], "UTF-8"),
    "a quote that does not end": (GOOD + '"', [], "rows.csv"),
    "a field of a megabyte": ("a,b,kind\n" + "1" * (1 << 20) + ",2,x\n", [], "field larger"),
    "ragged": (GOOD + "1,2\n", [], "line 42"),
    "text among numbers": (GOOD.replace("0.000,0,x", "zero,0,x"), [], "zero"),
    "an integer of 5,000 digits": (GOOD.replace("0.000", "9" * 5000), [], "finite"),
    "NaN": (GOOD.replace("0.000,0,x", "nan,0,x"), [], "nan"),
    "infinity": (GOOD.replace("0.000,0,x", "-inf,0,x"), [], "inf"),
    "1e308": (GOOD.replace("0.000,0,x", "1e308,0,x"), [], "1e+308"),
    "underscores in numbers": (GOOD.replace("0.000,0,x", "1_0,0,x"), [], "1_0"),
    "one class": (GOOD.replace(",y\n", ",x\n"), [], "single class"),
    "a class per row": ("a,kind\n" + "".join(f"{i},c{i}\n" for i in range(50)), [], "labels"),
    "constant features": ("a,b,kind\n" + "".join(f"1,2,{'xy'[i % 2]}\n" for i in range(40)), [], "constant"),
    "a constant target": ("a,b\n" + "".join(f"{i},2\n" for i in range(40)), ["--task", "regression"], "constant"),
    "an empty label": (GOOD.replace("0.000,0,x", "0.000,0,"), [], "empty"),
    "too few rows": ("a,b,kind\n1,2,x\n3,4,y\n", [], "rows"),
    "gzip that ends early": (gzip.compress(GOOD.encode())[:-20], [], "gzip"),
    "gzip of something else": (b"\x1f\x8b" + b"\x00" * 50, [], "gzip"),
    "a label that is not there": (GOOD, ["--label", "$(id)"], "no column"),
    "a task that is not there": (GOOD, ["--task", "`id`"], "--task"),
}

#: name: (the configuration, more arguments, what the sentence says)
CONFIGS: dict[str, tuple[str | bytes, list[str], str]] = {
    "an empty configuration": (b"", [], "'data'"),
    "NUL in the configuration": (b"\x00", [], "config.yaml"),
    "not UTF-8": (b"\xff\xfe", [], "UTF-8"),
    "aliases that unfold": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", [], "alias"),
    "an alias of itself": ("a: &a [*a]\n", [], "alias"),
    "merge keys": ("x: &x {a: 1}\ny: {<<: *x}\n", [], "alias"),
    "100,000 brackets": ("[" * 100_000, [], "nested"),
    "5,000 nested mappings": ("".join(" " * i + "a:\n" for i in range(900)), [], "nested"),
    "the same key twice": (YAML + "train: {epochs: 2}\n", [], "twice"),
    "a key that is a list": ("? [a]\n: 1\n", [], "plain word"),
    "a Python object": ("data: !!python/object/apply:os.system [id]\n", [], "config.yaml"),
    "binary": ("data: !!binary aGk=\n", [], "data"),
    "two documents": (YAML + "---\n" + YAML, [], "document"),
    "tabs": ("data:\n\tsource: csv\n", [], "config.yaml"),
    "two megabytes": ("# " + "x" * (2 << 20), [], "MiB"),
    "a number of 10,000 digits": (YAML + "hardware: {vectors: " + "9" * 10_000 + "}\n", [], "valid"),
    "2^200 epochs": (YAML.replace("epochs: 1,", f"epochs: {1 << 200},"), [], "train.epochs"),
    "NaN": (YAML + "hardware: {clock_ns: .nan}\n", [], "clock_ns"),
    "infinity as a range": (YAML.replace("[2, 3, 2]", "[2, 3, 2], range: [-.inf, .inf]"), [], "model.range"),
    "a date as a seed": (YAML + "quantize: {activations: 2020-01-01}\n", [], "activations"),
    "true as a width": (YAML.replace("[2, 3, 2]", "[2, true, 2]"), [], "widths"),
    "no end of widths": (YAML.replace("[2, 3, 2]", "[2, " + "3, " * 200 + "2]"), [], "widths"),
    "a model of 150 GB": (YAML.replace("[2, 3, 2]", "[2, 65536, 65536, 2]"), [], "weights"),
    "vectors of 40 GB": (YAML.replace("[2, 3, 2]", "[2, 500, 2]") + "hardware: {vectors: 10000000}\n", [], "vectors"),
    "a model name that ends a comment": (YAML.replace("[2, 3, 2]", "[2, 3, 2], name: 'a*/'"), [], "model.name"),
    "a model name with a newline": (YAML.replace("[2, 3, 2]", '[2, 3, 2], name: "a\\nb"'), [], "model.name"),
    "a model name that climbs": (YAML.replace("[2, 3, 2]", "[2, 3, 2], name: ../../x"), [], "model.name"),
    "a part with Tcl": (YAML + "hardware: {part: 'x [exec id]'}\n", [], "hardware.part"),
    "a part with a newline": (YAML + 'hardware: {part: "xcvu9p\\nexit"}\n', [], "hardware.part"),
    "NUL in a data path": (YAML.replace("rows.csv", '"a\\0b"'), [], "data"),
    "a path of 5,000 letters": (YAML.replace("rows.csv", "x" * 5000), [], "cannot be read"),
    "a device as data": (YAML.replace("rows.csv", "/dev/zero"), [], "regular file"),
    "a folder as data": (YAML.replace("rows.csv", "."), [], "folder"),
    "an override without a value": (YAML, ["--set", "train.epochs"], "="),
    "an override of nothing": (YAML, ["--set", "="], "override"),
    "an override that is YAML of its own": (YAML, ["--set", "train.epochs={a: &x [*x]}"], "alias"),
    "an override with NUL": (YAML, ["--set", "data.path='a\0'"], "override"),
}


def refused(outcome: Any, expected: str) -> None:
    """Check the promise."""
    assert outcome.status == 2, (outcome.status, outcome.out, outcome.err)
    assert "Traceback" not in outcome.err
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("kan4ml: ")
    assert all(character.isprintable() for character in lines[0]), lines
    assert expected in lines[0]
    assert outcome.seconds < SECONDS


def _write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("case", CSV)
def test_rows_for_init(case: str, tmp_path: Path) -> None:
    content, more, expected = CSV[case]
    _write(tmp_path / "rows.csv", content)
    refused(kan4ml("init", "rows.csv", *more), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("case", CONFIGS)
def test_configurations_for_build(case: str, tmp_path: Path) -> None:
    content, more, expected = CONFIGS[case]
    _write(tmp_path / "config.yaml", content)
    _write(tmp_path / "rows.csv", GOOD)
    refused(kan4ml("build", "config.yaml", "--quiet", *more), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "rows.csv"]


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "absent": lambda path: path,
    "a pipe": _fifo,
    "a link to itself": _loop,
    "a folder": _folder,
    "/dev/zero": _device,
}
COMMANDS = {
    "init": ("rows.csv", ["init", "rows.csv"]),
    "build": ("config.yaml", ["build", "config.yaml"]),
    "import": ("x.safetensors", ["import", "x.safetensors", "--family", "pykan", "--data", "rows.csv"]),
    "tables": ("x.npz", ["tables", "x.npz", "--quiet"]),
    "synth-cpp": ("x.cpp", ["synth-cpp", "x.cpp", "--top", "f", "--quiet"]),
    "fit": ("x.npz", ["fit", "x.npz"]),
    "verify": ("out", ["verify", "out"]),
    "report": ("out", ["report", "out"]),
    "prove": ("out", ["prove", "out"]),
    "sensitivity": ("config.yaml", ["sensitivity", "config.yaml"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_stands_where_a_file_is_expected(command: str, kind: str, tmp_path: Path) -> None:
    name, arguments = COMMANDS[command]
    KINDS[kind](tmp_path / name)
    refused(kan4ml(*arguments), "")
    assert not (tmp_path / "out" / "report.json").exists()


NPZ = {"a header of 8 exabytes": HUGE, "a negative shape": NEGATIVE, "pickled objects": OBJECTS, "a directory of 4 GB": _lying_zip(0xFFFFFFF0), "half a zip": HUGE[:60], "no zip": b"x" * 100}  # fmt: skip


@pytest.mark.parametrize("case", NPZ)
@pytest.mark.parametrize("command", ["init", "tables", "fit"])
def test_archives(command: str, case: str, tmp_path: Path) -> None:
    _write(tmp_path / "x.npz", NPZ[case])
    refused(kan4ml(command, "x.npz"), "x.npz")


def test_gzip_that_unpacks_to_300_megabytes(tmp_path: Path) -> None:
    _write(tmp_path / "rows.csv.gz", _gzip_bomb())
    refused(kan4ml("init", "rows.csv.gz"), "MiB unpacked")


def _json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def _set(*keys: str | int, value: Any) -> Callable[[Any], Any]:
    def change(document: Any) -> Any:
        part = document
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        return document

    return change


def _replaced(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda build: _write(build / name, content)


def _edited(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda build: _json(build / name, change)


def _piped(name: str) -> Callable[[Path], None]:
    def damage(build: Path) -> None:
        (build / name).unlink()
        os.mkfifo(build / name)

    return damage


#: Damages of a build; each is met by `verify`, and by other commands that read the file.
DAMAGES: dict[str, tuple[list[str], Callable[[Path], None]]] = {
    "report.json is a list": (["report"], _replaced("report.json", "[]")),
    "report.json is nested": (["report"], _replaced("report.json", "[" * 200_000)),
    "report.json holds NaN": (["report"], _edited("report.json", lambda document: [float("nan")])),
    "report.json is a pipe": (["report"], _piped("report.json")),
    "report.json lacks parts": (["report"], _replaced("report.json", '{"schema": 1}')),
    "ir.json is a pipe": (["predict", "prove", "fit"], _piped("ir/ir.json")),
    "ir.json is nested": (["predict", "prove", "fit"], _replaced("ir/ir.json", '{"a":' * 100_000)),
    "ir.json is of another schema": (["predict", "prove", "fit"], _edited("ir/ir.json", _set("schema", value=1 << 70))),
    "ir.json names a node *//": (["prove", "fit"], _edited("ir/ir.json", _set("nodes", 1, "name", value="a*/;b"))),
    "ir.json has no nodes": (["predict"], _edited("ir/ir.json", _set("nodes", value=[]))),
    "ir.json shifts by 2^60": (["predict"], _edited("ir/ir.json", _set("nodes", 1, "rescale", "shift", value=1 << 60))),
    "ir.json has a type of 10^9 bits": (["predict"], _edited("ir/ir.json", _set("nodes", 0, "out_type", "width", value=10**9))),
    "ir.json scales by 1e400": (["predict"], _edited("ir/ir.json", _set("host", "feature_scale", value=[10**400] * 6))),
    "ir.npz is a bomb": (["predict", "fit"], _replaced("ir/ir.npz", HUGE)),
    "ir.npz is cut": (["predict", "fit"], lambda build: _write(build / "ir/ir.npz", (build / "ir/ir.npz").read_bytes()[:-40])),
    "ir.npz is a pipe": (["predict", "fit"], _piped("ir/ir.npz")),
    "config.yaml is cut": (["verify"], _replaced("config.yaml", "data: {")),
    "config.yaml is a pipe": (["verify"], _piped("config.yaml")),
    "vectors.npz is a bomb": (["verify"], _replaced("vectors.npz", HUGE)),
    "vectors.npz is a pipe": (["verify"], _piped("vectors.npz")),
    "the weights are cut": (["verify"], lambda build: _write(build / "model/quantized.safetensors", (build / "model/quantized.safetensors").read_bytes()[:100])),
    "the weights' header has 2^60 bytes": (["verify"], _replaced("model/quantized.safetensors", (1 << 60).to_bytes(8, "little"))),
    "the weights are a pipe": (["verify"], _piped("model/quantized.safetensors")),
    "signals.json is a pipe": (["prove"], _piped("rtl/tables/signals.json")),
    "signals.json names /etc/passwd": (["prove"], _edited("rtl/tables/signals.json", _set("files", value=["/etc/passwd"]))),
    "signals.json's top is Tcl": (["prove"], _edited("rtl/tables/signals.json", _set("top", value="x; exec id"))),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_builds(case: str, damaged: Callable[[], Path], tmp_path: Path) -> None:
    commands, damage = DAMAGES[case]
    build = damaged()
    damage(build)
    (tmp_path / "rows.csv").write_text(GOOD)
    for command in commands:
        refused(kan4ml(command, build, *(["rows.csv"] if command == "predict" else [])), "")


KERNELS = {
    "binary": (b"\x7fELF" + bytes(range(256)) * 20, ["--top", "f"], ""),
    "a top with a shell in it": ("int f(int x) { return x; }", ["--top", "f; touch x"], ""),
    "a top with Tcl in it": ("int f(int x) { return x; }", ["--top", "[exec id]"], ""),
    "a definition with a shell in it": ("int f(int x) { return x; }", ["--top", "f", "-D", "A=$(id)"], "definition"),
    "a definition with a space": ("int f(int x) { return x; }", ["--top", "f", "-D", "A -include /etc/passwd"], "definition"),
    "a header that includes itself": ('#include "x.cpp"\n', ["--top", "f"], ""),
    "a part with Tcl": ("int f(int x) { return x; }", ["--top", "f", "--part", "x [exec id]"], "part"),
    "a clock of nothing": ("int f(int x) { return x; }", ["--top", "f", "--clock-ns", "nan"], "clock"),
}  # fmt: skip


@pytest.mark.parametrize("case", KERNELS)
def test_kernels(case: str, tmp_path: Path) -> None:
    content, more, expected = KERNELS[case]
    _write(tmp_path / "x.cpp", content)
    refused(kan4ml("synth-cpp", "x.cpp", "--quiet", *more), expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--parts", "x'; drop table"], "part"),
        (["--parts", ","], "--parts"),
        (["--parts", "\x1b[31m"], "part"),
        (["--nothing"], "option"),
    ],
)
def test_arguments(arguments: list[str], expected: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    refused(kan4ml("fit", "x.npz", *arguments), expected)


@pytest.mark.parametrize("clock", ["nan", "inf", "-1", "0"])
def test_clocks_of_tables(clock: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    refused(kan4ml("tables", "x.npz", "--clock-ns", clock, "--quiet"), "clock")


@pytest.mark.parametrize("change", [("\ufeff", ""), ("", "\r"), ("\ufeff", "\r")])
def test_a_byte_order_mark_and_windows_line_ends_are_no_reason_to_refuse(
    change: tuple[str, str], tmp_path: Path
) -> None:
    mark, end = change
    for name, text in (("rows.csv", GOOD), ("config.yaml", YAML)):
        _write(tmp_path / name, mark + text.replace("\n", f"{end}\n"))
    assert kan4ml("init", "rows.csv", "--out", "new.yaml", "-q").status == 0
    from hwgen.config import load_config

    assert load_config(tmp_path / "config.yaml").model.widths == (2, 3, 2)


def test_there_are_as_many_cases_as_promised() -> None:
    named = len(CSV) + len(CONFIGS) + len(COMMANDS) * len(KINDS) + 3 * len(NPZ) + len(DAMAGES) + len(KERNELS)
    assert named >= 60
