"""Tables change places until no exchange is cheaper: which ones head chains, wait for them, or lie in their adders.

Counted are the LUTs of the adders, and the LUT sites of all tables: two plain bits of one code of up to five bits share a
site, and so do a fused and a plain one of a code of at most four bits, if both read the code in the same cycle.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from hwgen.tables._chains import Chains, Item, Place
from hwgen.tables._grouping import ABSORBED_BITS, LUT_BITS

__all__ = ["Sites", "exchange"]

#: Tables of a layer that the search may place in all: the most rounds it takes, and the fewest.
_MAX_PLACED = 2560
_ROUNDS = range(1, 21)
#: How often all outputs are assigned in a round at most.
_MAX_ROUNDS = 12
#: Outputs that are assigned anew at a time.
_RUINED = 2
_LEAST = 1e-6
_NEVER = 1e9

#: A code, and the cycle in which it is read.
Key = tuple[tuple[int, ...], int]
#: Per output and place: the table, whether it is fused, whether it is late.
State = list[list[tuple[Item, bool, bool]]]


@dataclass
class Sites:
    """LUT sites of tables, by code and cycle. `weight`: what a site counts beside a LUT."""

    weight: float
    fused: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    plain: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    bits: dict[tuple[int, ...], int] = field(default_factory=dict)

    def count(self, item: Item, cycle: int, *, fused: bool, times: int = 1) -> Key:
        """Add a table `times` times."""
        key = item.edge.features, cycle
        self.bits[item.edge.features] = item.edge.select_width
        (self.fused if fused else self.plain)[key] += times * item.width
        return key

    def of(self, key: Key) -> float:
        """Return the sites of the tables that read a code in a cycle."""
        bits, fused, plain = self.bits[key[0]], self.fused[key], self.plain[key]
        if bits < ABSORBED_BITS - 1:
            return (fused + plain) / 2
        if bits == ABSORBED_BITS - 1:
            return max(fused, (fused + plain + 1) // 2)
        if bits == ABSORBED_BITS:
            return fused + (plain + 1) // 2
        return fused + float(plain << (bits - LUT_BITS))

    def more(self, item: Item, cycle: int, *, fused: bool) -> float:
        """Return how many sites a table would add."""
        key = self.count(item, cycle, fused=fused)
        after = self.of(key)
        self.count(item, cycle, fused=fused, times=-1)
        return after - self.of(key)

    def total(self) -> float:
        """Return the sites of all tables."""
        return sum(self.of(key) for key in self.fused.keys() | self.plain.keys())


class _Search:
    """Outputs and what they cost: a LUT counts 1, a site `sites.weight`."""

    def __init__(self, outputs: Sequence[Chains], sites: Sites) -> None:
        self.outputs = outputs
        self.sites = sites
        self.adder = 1 + sites.weight / 2  # two bits of adders share a site
        self.draw = random.Random(0)  # noqa: S311 (a search, no secret)

    def count(self, chains: Chains, times: int) -> None:
        """Add the tables of an output `times` times."""
        for place in chains.places:
            self.sites.count(place.item, place.cycle, fused=place.fused, times=times)

    def cost(self) -> float:
        """Return what all outputs cost."""
        return self.adder * sum(chains.luts() for chains in self.outputs) + self.sites.weight * self.sites.total()

    def assign(self, chains: Chains) -> None:
        """Give each table of an output the place that is best as long as no other output changes."""
        places = [place for place in chains.places if place.item.split is None]
        items = [place.item for place in places]
        second = {id(chain[1]) for chain in chains.chains if len(chain) > 1}
        options = [_options(place, kept=id(place) in second) for place in places]
        shares = {
            option: np.array([self._share(item, *option) for item in items])
            for option in sorted({option for some in options for option in some})
        }
        costs = np.stack([np.min([shares[option] for option in some], axis=0) for some in options], axis=1)
        rows, columns = linear_sum_assignment(costs)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            place, item = places[column], items[row]
            place.item = item
            _, place.fused, place.late = min(options[column], key=lambda option: (shares[option][row], option))

    def _share(self, item: Item, cycle: int, fused: bool, late: bool) -> float:
        """Return what a table adds to the cost."""
        if fused and not item.fusible:
            return _NEVER
        own = self.adder * (item.width - int(item.sum[1] == 0)) if late else 0.0
        return own + self.sites.weight * self.sites.more(item, cycle, fused=fused)

    def settle(self, numbers: Iterable[int]) -> float:
        """Assign the tables of some outputs anew, then of all of them until that changes nothing; return the cost."""
        removed = list(numbers)
        for number in removed:
            self.count(self.outputs[number], -1)
        for number in removed:
            self.assign(self.outputs[number])
            self.count(self.outputs[number], 1)
        best = self.cost()
        for _ in range(_MAX_ROUNDS):
            for chains in self.outputs:
                self.count(chains, -1)
                self.assign(chains)
                self.count(chains, 1)
            now = self.cost()
            if now >= best - _LEAST:
                return now
            best = now
        return best

    def restore(self, state: State) -> None:
        """Put tables back."""
        for chains, kept in zip(self.outputs, state, strict=True):
            self.count(chains, -1)
            for place, (item, fused, late) in zip(chains.places, kept, strict=True):
                place.item, place.fused, place.late = item, fused, late
            self.count(chains, 1)

    def state(self) -> State:
        """Return where all tables are."""
        return [[(place.item, place.fused, place.late) for place in chains.places] for chains in self.outputs]

    def run(self, rounds: int) -> None:
        """Search: some outputs are taken out and assigned anew, in random order; what is cheaper stays."""
        everything = list(range(len(self.outputs)))
        best, kept = self.cost(), self.state()
        for number in range(rounds):
            some = everything if number == 0 else sorted(everything, key=lambda _: self.draw.random())[:_RUINED]
            cost = self.settle(some)
            if cost < best - _LEAST:
                best, kept = cost, self.state()
            else:
                self.restore(kept)


def _options(place: Place, *, kept: bool) -> tuple[tuple[int, bool, bool], ...]:
    """Return the cycle, `fused` and `late` that a place may have; `kept`: only what it has."""
    now = place.cycle, place.fused, place.late
    if kept or not (place.fused or place.late):
        return (now,)
    return (place.level - 1, True, False), (place.level - 2, False, True)


def exchange(outputs: Sequence[Chains], sites: Sites) -> None:
    """Let tables change places within their outputs, as long as that is cheaper by estimate.

    Args:
        outputs: the chains of several outputs; changed.
        sites: of all other tables of the layer; those of these outputs are added.
    """
    if not outputs:
        return
    search = _Search(outputs, sites)
    for chains in outputs:
        search.count(chains, 1)
    tables = sum(len(chains.places) for chains in outputs)
    search.run(min(max(_MAX_PLACED // tables, _ROUNDS[0]), _ROUNDS[-1]))
