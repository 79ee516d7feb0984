"""Metrics per station, where a metric has no value too."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.flow._metrics import metric_values
from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec, KanIR, Quantize, Task


@pytest.fixture
def ir() -> KanIR:
    host = HostSpec(Task.REGRESSION, ("a",), (0.0,), (1.0,), target="t")
    x = Quantize("x", (), FixedPoint(2, 2, True), 1.0, 0.0, size=1)
    coder = AffineCoder(np.array([1]), np.array([2]), 0, 4, -2.0, 1.0)
    tables = np.arange(4).reshape(1, 4, 1)
    layer = EdgeTable(
        "y", ("x",), FixedPoint(4, 4, True), 1.0, 0.0, coder=coder, tables=tables, bias=np.array([0]), shift=0
    )
    return KanIR("m", (x, layer), "y", host)


def test_r2_of_equal_targets_has_no_value(ir: KanIR) -> None:
    """One row in RTL simulation, or a test part of one row, has no variance to explain."""
    outputs = {name: np.array([[1], [3]]) for name in ("reference", "csim")} | {"rtl": np.array([[1]])}
    trained = {"rmse": {"float": 1.0}, "r2": {"float": 0.5}}
    values = metric_values(ir, np.array([1.0, 5.0]), trained, outputs, np.array([0]))
    assert values["r2"] == {"float": 0.5, "reference": 0.5, "csim": 0.5, "rtl": None}
    assert values["rmse"]["rtl"] == 0.0
    trained["r2"]["float"] = -1e300
    equal = metric_values(ir, np.array([2.0, 2.0]), trained, outputs, np.array([0]))
    assert set(equal["r2"].values()) == {None}
    assert equal["rmse"]["reference"] == 1.0
