"""The README: its tables come from committed results, and its blocks run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwgen.config import make_config
from tests.equivalence.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert match is not None
    return match[1]


def test_tables_are_those_of_the_committed_results() -> None:
    result = subprocess.run([sys.executable, "docs/figures.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    config = make_config(yaml.safe_load(_block("yaml")), tmp_path)
    assert config.data.label == "Class"


def test_it_stays_short_and_shows_real_output() -> None:
    assert len(README.splitlines()) < 200
    assert "<!-- demo output -->" not in README
    assert "<!-- test output -->" not in README


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.xdist_group("small_build")
def test_the_python_block_predicts_what_the_reference_says(small_build: Path, tmp_path: Path) -> None:
    code = _block("python").replace("out/digits/model", str(small_build / "model"))
    check = """
from pathlib import Path
import numpy as np
from pymodel.ir import load_ir
from pymodel.reference import Reference
ir = load_ir(Path(BUILD) / "ir")
X = np.random.default_rng(0).integers(-128, 128, (200, ir.input.n_out))
x = np.ascontiguousarray(ir.input.out_type.to_real(X))
"""
    before, predict = code.split("y = hls_model.predict(x)")
    script = (
        f"BUILD = {str(small_build)!r}\n{check}\n{before}\ny = hls_model.predict(x)\n{predict}\nnp.save('y.npy', y)\n"
    )
    script += "np.save('expected.npy', ir.node(ir.output).out_type.to_real(Reference(ir).run(X)[ir.output]))\n"
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    got, expected = np.load(tmp_path / "y.npy"), np.load(tmp_path / "expected.npy")
    assert np.array_equal(got.reshape(expected.shape), expected)
