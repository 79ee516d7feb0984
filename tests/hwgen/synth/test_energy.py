"""Toggle counts on netlists whose glitches can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.synth import MappedNetlist, measure_activity
from hwgen.synth._energy import _cycle
from hwgen.synth._mapped import pack_bits, unpack_bits
from pymodel.errors import DataError
from sim.signals import PortShape, SignalMap
from tests.hwgen.synth.test_mapped import CLK, DATA, cell, netlist

SIGNALS = SignalMap(
    engine="tables", top="t", axis_top=None, latency=1, input=PortShape(1, 1, signed=False),
    output=PortShape(1, 1, signed=False), output_node="y", nodes=(), collapsed=(), files=("t.v",),
)  # fmt: skip
ALTERNATING = np.arange(6400)[:, None] % 2


def hazard(n_inverters: int) -> MappedNetlist:
    """A register q, then q ^ (q through inverters): the output glitches for as long as the inverters take."""
    register = cell("FDRE", {"Q": [100]}, C=[CLK], CE=["1"], D=[DATA[0]], R=["0"])
    chain = [cell("INV", {"O": [101 + i]}, I=[100 + i]) for i in range(n_inverters)]
    xor = cell("LUT2", {"O": [200]}, {"INIT": "0110"}, I0=[100], I1=[100 + n_inverters])
    return netlist(register, *chain, xor, data=1, out=[200])


@pytest.mark.parametrize("n_inverters", [1, 2, 3])
def test_a_hazard_costs_two_toggles_of_the_output(n_inverters: int) -> None:
    found = measure_activity(hazard(n_inverters), SIGNALS, ALTERNATING)
    assert found.inferences == 6400
    assert found.toggles == 1 + n_inverters + 2
    # q feeds two pins, every inverter one, the output none; a net's driver counts, too.
    assert found.logic == 3 + 2 * n_inverters + 2
    assert found.glitch_fraction == pytest.approx(2 / found.logic)
    assert (found.inputs, found.clock) == (1, 2)
    assert found.energy == found.logic + 2


def test_without_a_delay_there_is_no_glitch() -> None:
    found = measure_activity(hazard(0), SIGNALS, ALTERNATING)
    assert (found.toggles, found.glitch_fraction) == (1, 0)


def test_data_that_stand_still_cost_the_clock_only() -> None:
    found = measure_activity(hazard(2), SIGNALS, np.ones((640, 1), dtype=np.int64))
    assert (found.logic, found.toggles, found.glitch_fraction, found.energy) == (0, 0, 0, 2)


def test_carry_chains_and_multiplexers_take_no_time() -> None:
    """q on S and DI of a carry bit, its O through a MUXF with q: both change in the step of q itself."""
    register = cell("FDRE", {"Q": [100]}, C=[CLK], CE=["1"], D=[DATA[0]], R=["0"])
    carry = cell("CARRY4", {"O": [101], "CO": [102]}, CI=["0"], CYINIT=["0"], S=[100], DI=[100])
    wide = cell("MUXF7", {"O": [200]}, I0=[101], I1=["0"], S=[100])
    found = measure_activity(netlist(register, carry, wide, data=1, out=[200]), SIGNALS, ALTERNATING)
    assert found.toggles == 2  # q and O; CO = S ? 0 : DI stays 0, and so does the multiplexer
    assert found.glitch_fraction == 0


def test_time_ends_where_zero_delay_ends() -> None:
    """Random LUTs, carries and multiplexers: after the last step the netlist is as if it had settled at once."""
    rng = np.random.default_rng(0)
    cells = [cell("FDRE", {"Q": [100 + i]}, C=[CLK], CE=["1"], D=[DATA[i]], R=["0"]) for i in range(12)]
    nets = list(range(100, 112))
    for k in range(60):
        pick = [int(n) for n in rng.choice(nets, 8)]
        if k % 6 == 5:
            cells.append(cell("CARRY4", {"O": [300 + 8 * k + i for i in range(4)], "CO": [304 + 8 * k + i for i in range(4)]}, CI=[pick[0]], CYINIT=["0"], S=pick[:4], DI=pick[4:]))  # fmt: skip
            nets += range(300 + 8 * k, 308 + 8 * k)
        elif k % 6 == 4:
            cells.append(cell("MUXF7", {"O": [300 + 8 * k]}, I0=[pick[0]], I1=[pick[1]], S=[pick[2]]))
            nets.append(300 + 8 * k)
        else:
            init = f"{int(rng.integers(0, 1 << 62)):064b}"
            cells.append(cell("LUT6", {"O": [300 + 8 * k]}, {"INIT": init}, **{f"I{i}": [pick[i]] for i in range(6)}))
            nets.append(300 + 8 * k)
    under_test = netlist(*cells, data=12, out=list(nets[12:]))
    assert len(under_test.order.steps) > 5
    timed, settled = (under_test.simulator(64, seed=1) for _ in range(2))
    toggles = np.zeros(under_test.circuit.n_nets, dtype=np.int64)
    for simulator in (timed, settled):
        simulator.drive("in_data", np.zeros((12, 1), dtype=np.uint64))
        simulator.settle()
    for _ in range(20):
        data = pack_bits(rng.integers(0, 2, (12, 64)).astype(np.uint8))
        _cycle(under_test, timed, data, toggles)
        changed, words = settled.edge()
        settled.state[changed] = words
        settled.drive("in_data", data)
        settled.settle()
        assert (unpack_bits(timed.read("out_data")) == unpack_bits(settled.read("out_data"))).all()
    assert toggles.sum() > 0


@pytest.mark.parametrize("bad", [ALTERNATING[:63], ALTERNATING[:, 0], ALTERNATING + 1])
def test_too_little_or_foreign_data_are_refused(bad: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    with pytest.raises(DataError, match="activity needs at least 64 rows of 1 integers from 0 to 1"):
        measure_activity(hazard(1), SIGNALS, bad)
