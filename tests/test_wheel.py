"""The wheel, installed outside the checkout, builds the digits example from its own files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.rtl]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("kan4ml-*.whl"))


def test_the_wheel_holds_headers_and_examples_but_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "hwgen/_hls/kan4ml/kan_dense.h" in names
    assert "hwgen/_examples/digits.yaml" in names
    assert "hwgen/report/template.html" in names
    tops = {name.split("/")[0] for name in names}
    assert tops - {"pymodel", "hwgen", "sim"} == {next(t for t in tops if t.endswith(".dist-info"))}


def test_a_wheel_in_another_environment_builds_the_demo(wheel: Path, tmp_path: Path) -> None:
    env_dir = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env_dir)], check=True)
    site = env_dir / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    # The dependencies are those of this environment; its editable kan4ml is not, since nested .pth files are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    work = tmp_path / "elsewhere"
    (work / "hls" / "kan4ml").mkdir(parents=True)  # a folder that would hide the headers, were they looked up by name
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    run = [
        str(env_dir / "bin" / "python"), "-c", "from hwgen.cli import main; main()", "demo", "--out", "built",
        "--set", "train.epochs=4", "--set", "train.qat_epochs=2", "--set", "hardware.vectors=500",
        "--set", "hardware.synth=false", "--set", "train.prune={edges: 60}",
    ]  # fmt: skip
    result = subprocess.run(run, cwd=work, env=env, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stderr + result.stdout
    where = subprocess.run(
        [run[0], "-c", "import hwgen; print(hwgen.__file__)"],
        cwd=work,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(site) in where.stdout
    report = json.loads((work / "built" / "report.json").read_text())
    assert report["equivalence"]["csim_vs_reference"]["mismatches"] == 0
    assert report["equivalence"]["rtl_vs_reference"]["tables"]["mismatches"] == 0
