"""hls4ml learns of the KAN layers in every import order, once, without being imported by them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: A stand-in for hls4ml, which counts how complete it is when handlers are registered.
FAKE_HLS4ML = """
import importlib
STATE = "importing"
{during}
STATE = "complete"
"""
FAKE_HANDLERS = """
import hls4ml
CALLS = []
def register():
    CALLS.append(hls4ml.STATE)
def broken():
    raise ValueError("no such backend")
"""
HANDLERS = "pymodel/layers/_handlers.py"
PREAMBLE = """
import importlib.metadata, importlib.util, sys
points = [importlib.metadata.EntryPoint("hls4ml", {target!r}, "kan4ml.layer_handlers")]
importlib.metadata.entry_points = lambda group: points if group == "kan4ml.layer_handlers" else []
spec = importlib.util.spec_from_file_location("handlers", {handlers!r})
handlers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(handlers)
layer = handlers.ensure_layer_handlers  # what every KAN layer's constructor calls, without torch's start-up time
def calls():
    import fake_handlers
    return fake_handlers.CALLS
"""


@pytest.fixture
def run(tmp_path: Path):
    def run(script: str, *, during: str = "", target: str = "fake_handlers:register") -> str:
        package = tmp_path / "hls4ml"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(FAKE_HLS4ML.format(during=during))
        (package / "converters.py").write_text("")
        (tmp_path / "fake_handlers.py").write_text(FAKE_HANDLERS)
        root = Path(__file__).parents[3]
        env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
        code = PREAMBLE.format(target=target, handlers=str(root / HANDLERS)) + script
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


ORDERS = {
    "hls4ml first": "import hls4ml; layer(); layer(); assert calls() == ['complete'], calls()",
    "layer first": "layer(); assert 'hls4ml' not in sys.modules; import hls4ml; assert calls() == ['complete']; layer(); assert len(calls()) == 1",
    "a real layer first": "from pymodel.layers import EfficientKANLinear as L; L(1, 1); import hls4ml; assert calls() == ['complete']",
    "a real layer last": "import hls4ml; from pymodel.layers import EfficientKANLinear as L; L(1, 1); assert calls() == ['complete']",
    "submodule after layer": "layer(); from hls4ml import converters; assert calls() == ['complete'], calls()",
    "layer only": "layer(); assert 'hls4ml' not in sys.modules; assert 'fake_handlers' not in sys.modules",
    "package only": "import pymodel.layers; assert 'hls4ml' not in sys.modules; assert len(sys.meta_path) == len(set(map(id, sys.meta_path)))",
    "normal module afterwards": "layer(); import hls4ml; assert type(hls4ml.__loader__).__name__ == 'SourceFileLoader'; import importlib; importlib.reload(hls4ml); assert len(calls()) == 1",
}


@pytest.mark.parametrize("order", ORDERS)
def test_every_import_order(run, order: str) -> None:
    run(ORDERS[order])


def test_a_layer_constructed_while_hls4ml_is_imported(run) -> None:
    during = "import __main__; __main__.layer()"
    run("import hls4ml; layer(); assert calls() == ['complete'], calls()", during=during)


def test_a_failing_handler_is_named_and_harmless(run) -> None:
    stderr = run("import hls4ml; layer()", target="fake_handlers:broken")
    assert "the layer handler 'hls4ml' (fake_handlers:broken) failed: ValueError: no such backend" in stderr


def test_a_missing_handler_module_is_named(run) -> None:
    assert "failed: ModuleNotFoundError" in run("import hls4ml; layer()", target="absent_module:register")
