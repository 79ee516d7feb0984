"""`kan4ml fit`: features worked out by hand, the model, the parts, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.fit import (
    DEFAULT_PARTS,
    PARTS,
    Features,
    FitModel,
    Part,
    Quantity,
    Verdict,
    features_of,
    find_part,
    fit,
    fit_model,
    fitted,
    load_program,
)
from hwgen.synth import yosys_family
from hwgen.tables import load_tables
from pymodel.errors import ConfigError, DataError
from pymodel.ir import KanIR, save_ir
from tests.hwgen.tables.test_npz import small
from tests.hwgen.test_cli import run


def program(
    tmp_path: Path,
    tables: dict[tuple[int, int], list[int]],
    shape: tuple[int, int],
    bits: int,
    clip: tuple[int, int] = (-8, 7),
) -> KanIR:
    """One layer with the given tables per (input, output)."""
    ends = sorted(tables)
    np.savez(
        tmp_path / "p.npz",
        layer0_shape=np.array(shape), layer0_input_bits=np.array(bits), layer0_clip=np.array(clip),
        layer0_input=np.array([i for i, _ in ends]), layer0_output=np.array([o for _, o in ends]),
        layer0_table=np.array([tables[end] for end in ends]),
    )  # fmt: skip
    return load_tables(tmp_path / "p.npz").ir


def test_features_of_three_four_bit_tables(tmp_path: Path) -> None:
    ramp = np.arange(16)
    ir = program(
        tmp_path, {(0, 0): (ramp % 4).tolist(), (1, 0): (ramp // 2 - 3).tolist(), (2, 0): ramp.tolist()}, (4, 1), 4
    )
    # spans 3, 7, 15: (3 + 7) + 15 costs a sum of 4 bits (10) and one of 5 (25), while the table of 15 waits.
    assert features_of(ir) == Features(
        inputs=3 * 4, small_tables=2 + 3 + 4, adders=4 + 5, delays=4, outputs=4, clipped=4
    )


def test_narrow_inputs_share_tables_and_wide_ones_need_several_luts(tmp_path: Path) -> None:
    ones = {(i, 0): [0, 1] for i in range(7)}
    found = features_of(program(tmp_path, ones, (7, 1), 1))
    assert (found.full_tables, found.small_tables, found.adders) == (3, 1, 3)  # six of them: 0 ... 6; the seventh alone
    wide = features_of(program(tmp_path, {(0, 0): [k % 8 for k in range(256)]}, (1, 1), 8))
    assert (wide.wide_tables, wide.wide_outputs, wide.adders, wide.clipped) == (3 * 4, 3, 0, 0)


def test_equal_tables_of_an_input_count_once_and_constant_ones_not_at_all(tmp_path: Path) -> None:
    ramp = np.arange(16)
    equal = features_of(program(tmp_path, {(0, 0): ramp.tolist(), (0, 1): (4 * ramp + 3).tolist()}, (1, 2), 4))
    assert equal.small_tables == 4
    constant = features_of(program(tmp_path, {(0, 0): [5] * 16}, (1, 1), 4))
    assert constant == Features(inputs=4)


def test_the_model_follows_the_designs_and_states_its_error() -> None:
    rng = np.random.default_rng(0)
    features = [Features(*rng.integers(50, 500, len(Features.names())).tolist()) for _ in range(30)]
    weights = np.array([0, 0.5, 1, 1, 0, 0.6, 0, 0, 1.2])
    counts = [round(float(np.dot(weights, f.values()))) for f in features]
    model = fit_model(features, {"lut": counts, "lut_paired": [2 * c for c in counts], "ff": [c + 900 for c in counts]})
    assert model.designs == 30
    lut, paired, ff = (model.quantities[name] for name in ("lut", "lut_paired", "ff"))
    assert lut.worst_error < 0.05
    assert lut.median_error < lut.worst_error < ff.worst_error  # no combination of features makes a constant
    guesses = [(paired.predict(f), 2 * c) for f, c in zip(features, counts, strict=True)]
    assert max(abs(guess / count - 1) for guess, count in guesses) < 0.15  # the prior holds it back


def test_a_wrong_model_is_told_by_its_error() -> None:
    rng = np.random.default_rng(1)
    features = [Features(*rng.integers(50, 500, len(Features.names())).tolist()) for _ in range(20)]
    counts = rng.integers(100, 10_000, 20).tolist()  # nothing to do with the features
    model = fit_model(features, {"lut": counts, "lut_paired": counts, "ff": counts})
    assert model.quantities["lut"].worst_error > 0.5


def test_the_packaged_model_states_its_error() -> None:
    model = fitted()
    assert model.designs >= 15
    for quantity in model.quantities.values():
        assert 0 < quantity.median_error < quantity.worst_error < 1
        assert min(quantity.coefficients.values()) >= 0


@pytest.mark.parametrize(
    ("lut", "ff", "verdict"),
    [(80, 10, "yes"), (95, 10, "tight"), (105, 10, "unsure"), (250, 10, "no"), (80, 300, "no"), (80, 175, "tight")],
)
def test_verdicts_hold_at_the_worst_error(tmp_path: Path, lut: int, ff: int, verdict: str) -> None:
    def constant(value: int, error: float) -> Quantity:
        weights = dict.fromkeys(Features.names(), 0.0) | {"outputs": value / 4}
        return Quantity(weights, 0.0, error)

    ir = program(tmp_path, {(0, 0): list(range(16))}, (1, 1), 4)
    model = FitModel(9, {"lut": constant(lut, 0.0), "lut_paired": constant(lut // 2, 0.1), "ff": constant(ff, 0.1)})
    answer = fit(ir, [Part("xc", 100 if lut != 80 else 101, 200, "")], model)
    assert answer.predicted == {"lut": lut, "lut_paired": lut // 2, "ff": ff}
    assert answer.fits[0].verdict is Verdict(verdict)
    assert "9 designs" in answer.error


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("xcvu9p-flga2104-2L-e", "xcvu9p"), ("XC7A35TCPG236-1", "xc7a35t"), ("xc7z020clg400-1", "xc7z020"),
        ("zu7ev", "xczu7"), ("xczu3eg-sbva484-1-e", "xczu3"), ("k26", "xck26"), ("xck26-sfvc784-2LV-c", "xck26"),
        ("vu9p", "xcvu9p"), ("xc7z007s", "xc7z007s"), ("xc7k325tffg900-2", "xc7k325t"), ("xczu28dr", None),
        ("xcvu9", None), ("lfe5u-85f", None), ("", None),
    ],
)  # fmt: skip
def test_part_names(name: str, device: str | None) -> None:
    if device is None:
        with pytest.raises(ConfigError, match=r"is not in the table of parts; (did you mean|known are)"):
            find_part(name)
    else:
        assert find_part(name).name == device


def test_the_table_of_parts() -> None:
    assert set(DEFAULT_PARTS) <= set(PARTS)
    for part in PARTS.values():
        assert part.ff == 2 * part.lut
        assert part.document.startswith("DS")
        assert yosys_family(part.name) in ("xcup", "xc7")
    assert (PARTS["xcvu9p"].lut, PARTS["xc7a35t"].lut, PARTS["xczu7"].lut) == (1_182_240, 20_800, 230_400)


def test_the_command_answers_for_tables_an_ir_and_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "net.npz", **small())
    ir = load_program(tmp_path / "net.npz")
    save_ir(ir, tmp_path / "build" / "ir")
    answers = []
    for source in ("net.npz", "build", "build/ir"):
        status, printed, errors = run(
            capsys, monkeypatch, "fit", str(tmp_path / source), "--parts", "zu7ev, xc7a35t", "--json"
        )
        assert (status, errors) == (0, "")
        answers.append(json.loads(printed))
    assert answers[0] == answers[1] == answers[2]
    assert [part["part"] for part in answers[0]["parts"]] == ["xczu7", "xc7a35t"]
    assert all(part["verdict"] == "yes" for part in answers[0]["parts"])
    status, printed, errors = run(capsys, monkeypatch, "fit", str(tmp_path / "net.npz"))
    assert (status, errors) == (0, "")
    assert "model error against Yosys on" in printed
    assert "xcvu9p" in printed
    assert "estimates" in printed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("net.npz", "--parts", "xc7a35"), "did you mean 'xc7a35t'"),
        (("net.npz", "--parts", ","), "--parts names no part"),
        (("missing.npz",), "does not exist"),
        (("empty",), "holds neither ir/ir.json nor ir.json"),
    ],
)
def test_user_errors(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    np.savez(tmp_path / "net.npz", **small())
    (tmp_path / "empty").mkdir()
    status, printed, errors = run(capsys, monkeypatch, "fit", str(tmp_path / words[0]), *words[1:])
    assert (status, printed) == (2, "")
    assert sentence in errors
    assert errors.count("\n") == 1


def test_a_folder_without_an_ir_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds neither"):
        load_program(tmp_path)
