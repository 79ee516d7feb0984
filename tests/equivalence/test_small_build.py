"""A CSV file that the project has never seen: the whole chain, its artefacts, and what `verify` catches."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwgen.report import load_report
from pymodel.ir import load_arrays, load_ir, save_arrays
from pymodel.layers import load_frozen
from pymodel.reference import Reference
from sim.verify import load_vectors, rtl_border, torch_border
from tests.equivalence.conftest import run_cli, sentence, write_small_config

pytestmark = [pytest.mark.slow, pytest.mark.rtl, pytest.mark.xdist_group("small_build")]
Copy = Callable[[Path], Path]


def test_artefacts_and_report(small_build: Path) -> None:
    for name in (
        "config.yaml", "model/float.safetensors", "model/quantized.safetensors", "ir/ir.json", "ir/ir.npz", "vectors.npz",
        "hls/firmware/kan_top.cpp", "rtl/tables/kan_top.v", "rtl/tables/kan_axis.v", "rtl/tables/kan_tb.v",
        "rtl/tables/vivado.tcl", "rtl/tables/constraints.xdc", "rtl/tables/signals.json", "report.json", "report.html",
    ):  # fmt: skip
        assert (small_build / name).is_file(), name
    report = load_report(small_build)
    assert report["dataset"]["n_train"] + report["dataset"]["n_test"] == 240
    stations = report["accuracy"]
    assert stations["quantized"] == stations["reference"] == stations["csim"] == stations["rtl"] > 0.6
    equivalence = report["equivalence"]
    borders = [equivalence[k] for k in ("torch_vs_reference", "layers_alone", "csim_vs_reference")]
    for border in [*borders, equivalence["rtl_vs_reference"]["tables"]]:
        assert border["mismatches"] == 0
        assert border["vectors"] > 500
        assert set(border["layers"]) >= {"layers_0", "layers_1"}
    assert report["hardware"]["tables"]["ii"] == 1
    assert report["hardware"]["tables"]["latency_cycles"] > 1
    assert report["model"]["edges"] <= 24
    assert "αβγ"[0] in (small_build / "report.html").read_text(encoding="utf-8")


def test_the_report_page_is_self_contained(small_build: Path) -> None:
    page = (small_build / "report.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert not [link for link in links if not link.startswith("data:")], links


def test_verify_passes_on_the_build(small_build: Path) -> None:
    result = run_cli("verify", small_build)
    assert result.returncode == 0, result.stderr
    assert "equal" in result.stdout


def test_predict_reads_columns_by_name_in_any_order(small_build: Path, tmp_path: Path) -> None:
    rows = (small_build.parent / "rows.csv").read_text(encoding="utf-8").splitlines()
    cells = [line.split(";") for line in rows]
    shuffled = tmp_path / "shuffled.csv"
    order = [4, 2, 0, 3, 1]
    shuffled.write_text("\n".join(",".join(row[i] for i in order) for row in cells), encoding="utf-8")
    result = run_cli("predict", small_build, shuffled)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "kind,y0,y1,y2"
    predicted = [line.split(",")[0] for line in lines[1:]]
    truth = [row[4] for row in cells[1:]]
    assert len(predicted) == 240
    assert np.mean([p == t for p, t in zip(predicted, truth, strict=True)]) > 0.6
    without = tmp_path / "without.csv"
    without.write_text("wide,same,noise\n1,2,3\n")
    result = run_cli("predict", small_build, without)
    assert result.returncode == 2
    assert "narrow" in result.stderr


def _sabotage_ir(build: Path) -> str:
    arrays = load_arrays(build / "ir" / "ir.npz")
    weights = arrays["layers_0.spline.weights"].copy()
    ir = load_ir(build / "ir")
    o, i = np.argwhere(ir.layers[0].alive)[0]
    code = 8  # in the middle of the grid
    start = int(arrays["layers_0.spline.basis.start"][code])
    weights[o, i, start + 1] += 1
    arrays["layers_0.spline.weights"] = weights
    save_arrays(build / "ir" / "ir.npz", arrays)
    return "layers_0"


def _change_table(build: Path, table: str, delta: int) -> None:
    """Add `delta` to the first entry of a table of the last layer's C++."""
    path = build / "hls" / "firmware" / "kan_tables" / "kan_layers_1.h"
    text = path.read_text()
    match = re.search(rf"(\b{table}(?:\[\d+\])+ = [{{\s]*)(-?\d+)", text)
    assert match is not None
    path.write_text(text[: match.start()] + f"{match[1]}{int(match[2]) + delta}" + text[match.end() :])


def _sabotage_cpp(build: Path) -> str:
    _change_table(build, "spline_rescale", -1)
    return "layers_1"


def _sabotage_rtl(build: Path) -> str:
    """Change the second highest bit of the middle entry of the first table of the last layer.

    Not the lowest one: with so few edges no input may bring the sum near a rounding step, and the function is the same.
    """
    path = build / "rtl" / "tables" / "kan_layer_2.v"
    text = path.read_text()
    match = re.search(r"(4'd8: \w+ = (\d+)'[dh])(\w+);", text)
    assert match is not None
    value = int(match[3], 16 if match[1].endswith("h") else 10) ^ (1 << (int(match[2]) - 2))
    digits = f"{value:x}" if match[1].endswith("h") else str(value)
    path.write_text(text[: match.start()] + match[1] + digits + text[match.end() - 1 :])
    return "layers_1"


@pytest.mark.parametrize(
    ("sabotage", "border"),
    [(_sabotage_ir, "torch_vs_reference"), (_sabotage_cpp, "csim_vs_reference"), (_sabotage_rtl, "rtl_vs_reference")],
)
def test_one_changed_constant_is_found_and_named(
    sabotage: Callable[[Path], str], border: str, small_build: Path, copy_build: Copy
) -> None:
    build = copy_build(small_build)
    layer = sabotage(build)
    result = run_cli("verify", build)
    assert result.returncode == 1, result.stdout + result.stderr
    assert border in result.stderr
    assert f"layer {layer}, vector " in result.stderr
    assert sentence(result.stderr).startswith("kan4ml: ")


@pytest.mark.parametrize("table", ["bias", "spline_weights", "edge_input"])
def test_a_constant_that_its_type_cannot_hold_is_found_although_the_kernel_would_wrap_it(
    table: str, small_build: Path, copy_build: Copy
) -> None:
    build = copy_build(small_build)
    _change_table(build, table, 64)
    result = run_cli("verify", build)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"layers_1: {table}[0]" in result.stderr


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _edit_json(build: Path, edit: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    path = build / "ir" / "ir.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated ir.json": lambda b: _truncate(b / "ir" / "ir.json"),
    "truncated ir.npz": lambda b: _truncate(b / "ir" / "ir.npz"),
    "truncated weights": lambda b: _truncate(b / "model" / "quantized.safetensors"),
    "truncated vectors": lambda b: _truncate(b / "vectors.npz"),
    "fewer vectors": lambda b: save_arrays(
        b / "vectors.npz", {k: v[:50] for k, v in load_arrays(b / "vectors.npz").items()}
    ),
    "missing ir.npz": lambda b: (b / "ir" / "ir.npz").unlink(),
    "missing weights": lambda b: (b / "model" / "quantized.safetensors").unlink(),
    "layer named as a path": lambda b: _edit_json(b, lambda d: d["nodes"][1].update(name="../../x")),
    "layer named with quotes": lambda b: _edit_json(b, lambda d: d["nodes"][1].update(name='a"; $finish; //')),
    "unknown key": lambda b: _edit_json(b, lambda d: d["nodes"][1].update(extra=1)),
    "unknown schema": lambda b: _edit_json(b, lambda d: d.update(schema=99)),
    "code out of range": lambda b: _edit_json(b, lambda d: d["nodes"][1]["spline"]["coder"].update(n_codes=3)),
    "shift out of range": lambda b: _edit_json(b, lambda d: d["nodes"][1]["rescale"].update(shift=900)),
    "infinite step": lambda b: _edit_json(b, lambda d: d["nodes"][1]["spline"]["coder"].update(step=1e999)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_builds_are_refused_in_one_sentence(damage: str, small_build: Path, copy_build: Copy) -> None:
    build = copy_build(small_build)
    DAMAGES[damage](build)
    result = run_cli("verify", build)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert sentence(result.stderr).startswith("kan4ml: ")


def test_cpp_that_writes_where_it_must_not_is_a_mismatch_and_no_crash(small_build: Path, copy_build: Copy) -> None:
    build = copy_build(small_build)
    path = build / "hls" / "firmware" / "kan_top.cpp"
    text = path.read_text()
    signature = text.index("{", text.index("kan_top("))
    path.write_text(f"{text[: signature + 1]} *(volatile int *)8 = 1;{text[signature + 1 :]}")
    result = run_cli("verify", build)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "csim_vs_reference" in result.stderr
    assert "the C++ simulation crashed" in result.stderr


@pytest.mark.parametrize(
    "part", ["rtl", "rtl/tables", "hls", "hls/firmware", "config.yaml", "report.json", "ir", "model"]
)
def test_what_is_missing_is_never_passed_over(part: str, small_build: Path, copy_build: Copy) -> None:
    build = copy_build(small_build)
    path = build / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = run_cli("verify", build)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert sentence(result.stderr).startswith("kan4ml: ")


def test_rtl_without_its_axi_wrapper_is_not_equal(small_build: Path, copy_build: Copy) -> None:
    build = copy_build(small_build)
    path = build / "rtl" / "tables" / "signals.json"
    signals = json.loads(path.read_text())
    signals["axis_top"] = None
    path.write_text(json.dumps(signals))
    ir = load_ir(build / "ir")
    stored = load_vectors(build / "vectors.npz", ir)
    border, _ = rtl_border(path.parent, stored.X, stored.rtl_rows[:50], Reference(ir).run(stored.X), 0)
    assert not border.equal
    assert "AXI4-Stream" in border.failure


@pytest.mark.parametrize(
    ("key", "edit"),
    [
        ("host.classes", lambda d: d["host"]["classes"].reverse()),
        ("host.feature_offset", lambda d: d["host"]["feature_offset"].reverse()),
        ("x.value_lsb", lambda d: d["nodes"][0].update(value_lsb=1.0)),
        ("layers_1.value_lsb", lambda d: d["nodes"][2].update(value_lsb=d["nodes"][2]["value_lsb"] * 2)),
    ],
)
def test_numbers_around_the_integers_are_compared_too(
    key: str,
    edit: Callable[[dict], None],
    small_build: Path,
    copy_build: Copy,  # type: ignore[type-arg]
) -> None:
    build = copy_build(small_build)
    _edit_json(build, edit)
    ir = load_ir(build / "ir")
    X = load_vectors(build / "vectors.npz", ir).X
    border = torch_border(ir, load_frozen(build / "model" / "quantized.safetensors"), X, Reference(ir).run(X))
    assert not border.equal
    assert f"{key} is not that of the quantized model" in border.failure


def _files(build: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(build)): path.read_bytes()
        for part in ("ir", "rtl", "hls/firmware", "model", "vectors.npz", "config.yaml")
        for path in ([build / part] if (build / part).is_file() else sorted((build / part).rglob("*")))
        if path.is_file()
    }


def test_the_same_configuration_gives_the_same_bytes_anywhere(small_build: Path, tmp_path: Path) -> None:
    folder = tmp_path / "another" / "place"
    folder.mkdir(parents=True)
    result = run_cli("build", write_small_config(folder), "--out", folder / "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = _files(small_build), _files(folder / "out")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
