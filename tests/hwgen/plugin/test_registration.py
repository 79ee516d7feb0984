"""The backend is there in every order of imports; hls4ml only prints what a plugin raises, so each is tried afresh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
import sys
import hls4ml
from hls4ml.backends import get_available_backends, get_backend
from hls4ml.writer import get_writer
assert get_available_backends().count("vitiskan") == 1, get_available_backends()
assert get_backend("VitisKAN").name == "VitisKAN"
assert type(get_backend("VitisKAN").writer) is type(get_writer("VitisKAN"))
from pymodel.layers import FrozenKAN
from tests.strategies import random_ir
model = FrozenKAN.from_ir(random_ir(0, widths=(2, 2)))
result = hls4ml.converters.convert_from_pytorch_model(model, backend="VitisKAN", output_dir=sys.argv[1])
assert [node.name for node in result.kan_ir.nodes] == ["x", "layers_0"]
"""

ORDERS = {
    "hls4ml first": "import hls4ml",
    "pymodel.layers first": "import pymodel.layers",
    "hwgen.plugin first": "import hwgen.plugin",
    "a private module first": "import hwgen.plugin._handlers",
    "the writer first": "import hwgen.plugin._writer",
    "torch first, then the front end": "import torch; from hls4ml.converters import convert_from_pytorch_model",
    "a layer before hls4ml": (
        "from pymodel.layers import FrozenKAN; from tests.strategies import random_ir\n"
        "FrozenKAN.from_ir(random_ir(0, widths=(2, 2)))"
    ),
    "a part of hls4ml first": "from hls4ml.utils import config_from_pytorch_model",
}


@pytest.mark.parametrize("first", ORDERS.values(), ids=ORDERS.keys())
def test_every_import_order(first: str, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n{first}\n{CHECK}"
    out = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    assert "WARNING" not in out.stdout, out.stdout


def test_registering_twice_changes_nothing() -> None:
    import hls4ml
    from hls4ml.backends.backend import register_backend
    from hls4ml.converters import get_supported_pytorch_layers
    from hls4ml.utils import config_from_pytorch_model
    from hls4ml.writer import register_writer

    import hwgen.plugin

    hwgen.plugin.register_torch_handlers()
    before = get_supported_pytorch_layers()
    hwgen.plugin.register(register_backend=register_backend, register_writer=register_writer)
    hwgen.plugin.register_torch_handlers()
    assert get_supported_pytorch_layers() == before
    assert hls4ml.utils.config_from_pytorch_model is config_from_pytorch_model
    assert "FrozenKANLinear" in before
