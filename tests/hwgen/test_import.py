"""`kan4ml import`: a network that another library trained becomes a build like any other, or one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from hwgen import cli
from hwgen.config import load_config
from hwgen.report import load_report
from pymodel.data import load as load_data
from pymodel.importers import load
from pymodel.settings import DataSettings
from tests.pymodel.importers import peers

LABELS = np.array(["no", "yes"])


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["kan4ml", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
        raise SystemExit(0)
    captured = capsys.readouterr()
    code = exit_info.value.code
    return (code if isinstance(code, int) else 0 if code is None else 1), captured.out, captured.err


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A folder with a trained efficient-kan network under a prefix, and its data, in units that no grid covers."""
    folder = tmp_path_factory.mktemp("peer")
    torch.manual_seed(0)
    model = peers.chain(lambda n, m: peers.KANLinear(n, m, grid_range=(-1.0, 1.0)), [3, 4, 2])
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.5, 1.5, (300, 3))
    y = (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] > 0.2).astype(int)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    inputs, targets = torch.tensor(x).float(), torch.tensor(y)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    save_file({f"net.kan.{k}": v for k, v in model.state_dict().items()}, folder / "net.safetensors")
    lines = ["a,b,c,kind", *(f"{a!r},{b!r},{c!r},{LABELS[k]}" for (a, b, c), k in zip(x.tolist(), y, strict=True))]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return folder, model.eval()


COMMON = ("--family", "efficient_kan", "--prefix", "net.kan", "--label", "kind", "--quiet")


@pytest.mark.rtl
def test_a_build_from_a_checkpoint(
    peer: tuple[Path, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = peer
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    settings = ["base_activation=silu", "grid_range=[-1, 1]", "quantize.activations=5", "hardware.synth=false"]
    flags = [
        word for text in [*settings, "hardware.vectors=200", "hardware.rtl_vectors=300"] for word in ("--set", text)
    ]
    files = (str(folder / "net.safetensors"), "--data", str(folder / "rows.csv"), "--out", str(out))
    status, _, err = run(capsys, monkeypatch, "import", *files, *COMMON, *flags)
    assert status == 0, err
    report = load_report(out)
    accuracy = report["accuracy"]
    assert accuracy["quantized"] == accuracy["reference"] == accuracy["csim"] == accuracy["rtl"]
    assert accuracy["float"] > 0.85
    assert accuracy["quantized"] > accuracy["float"] - 0.1
    equivalence = report["equivalence"]
    for border in ("torch_vs_reference", "layers_alone", "csim_vs_reference"):
        assert equivalence[border]["mismatches"] == 0
    assert equivalence["rtl_vs_reference"]["tables"]["mismatches"] == 0
    # The inputs are what the network was trained on, and none of them is cut off by the grid's range.
    config = load_config(out / "config.yaml")
    assert -2.52 <= config.model.range[0] <= -2.4
    assert report["history"] == []
    # The build holds the network itself, and its configuration says how to read it.
    kept = out / "model" / "float.safetensors"
    assert load_file(kept).keys() == model.state_dict().keys()
    section = yaml.safe_load((out / "config.yaml").read_text())["imported"]
    facts = {"base_activation": "silu", "grid_range": [-1, 1]}
    assert section == {"path": "model/float.safetensors", "family": "efficient_kan", "prefix": "", "facts": facts}
    assert config.imported is not None
    again = load(kept, family=section["family"], **section["facts"])
    x = torch.randn(20, 3)
    torch.testing.assert_close(again(x), model(x), rtol=1e-5, atol=1e-5)


def test_unscaled_data_are_what_the_network_takes_and_gives(tmp_path: Path) -> None:
    """Neither features nor a regression's target are mapped: the network's outputs are the target."""
    lines = ["a,b,y", *(f"{i / 7},{100 - i},{3 * i + 50}" for i in range(30))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    settings = DataSettings("csv", path=tmp_path / "rows.csv", label="y", task="regression", scale="none")
    host = load_data(settings, (-1.0, 1.0)).host
    assert (host.feature_offset, host.feature_scale) == ((0.0, 0.0), (1.0, 1.0))
    assert (host.target_offset, host.target_scale) == (0.0, 1.0)


REFUSED = {
    "no fact": ((), "supply the fact base_activation"),
    "wrong fact": (("--set", "base_activation=mish"), "no activation that the layers have"),
    "unknown fact": (("--set", "base_activation=silu", "--set", "base=silu"), "has no fact 'base'"),
    "a fact twice": (
        ("--set", "base_activation=silu", "--set", "base_activation=gelu"),
        "names the fact base_activation twice",
    ),
    "no value": (("--set", "base_activation"), "must look like"),
    "unknown key": (("--set", "base_activation=silu", "--set", "quantize.bits=3"), "quantize.bits"),
    "wrong label": (("--set", "base_activation=silu", "--label", "kinds"), "no column 'kinds'"),
    "wrong prefix": (("--set", "base_activation=silu", "--prefix", "kan"), "nothing under the prefix 'kan'"),
    "wrong family": (("--family", "fast_kan"), "check the family"),
    "other widths": (("--set", "base_activation=silu", "--set", "model.widths=[3, 5, 2]"), "has [3, 4, 2]; correct it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(
    case: str,
    peer: tuple[Path, nn.Module],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, _ = peer
    flags, message = REFUSED[case]
    files = (str(folder / "net.safetensors"), "--data", str(folder / "rows.csv"), "--out", str(tmp_path / "out"))
    status, _, err = run(capsys, monkeypatch, "import", *files, *COMMON, *flags)
    assert status == 2, err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
