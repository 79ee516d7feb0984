"""One output of one layer: the circuit's bits against the sum, rounding and saturation that the IR states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.prove._domain import Domain, Element
from hwgen.prove._errors import DifferenceError, NotProvenError
from hwgen.prove._forms import Form, Term, expanded, grouped, join, readings, shifted
from hwgen.prove._functions import LIMIT, Fn, TooWideError, Vars, drop_unused, spread
from hwgen.prove._program import Layer
from hwgen.prove._sums import attained, entries_at
from pymodel.ir import IntArray, KanIR, Quantize

__all__ = ["Comparison", "Outcome"]

Array = npt.NDArray[Any]
Edge = tuple[int, Vars, IntArray]
#: Combinations of the bits behind a hidden node that is not visible (or not used) in the circuit.
_COLLAPSED = 1 << 16
#: Low bits of a sum that may be there and not be read.
_UNREAD = 4


@dataclass(frozen=True)
class Outcome:
    """How an output was proven, and the integers that it can be (None: all of its type)."""

    how: str
    reach: IntArray | None


@dataclass
class Comparison:
    """The program, and where its integers were found in the circuit so far.

    Attributes:
        ir: the program.
        domain: the cuts.
        elements: per node whose integers were proven to be on certain bits, its elements.
    """

    ir: KanIR
    domain: Domain
    elements: dict[str, list[Element]] = field(default_factory=dict)
    _codes: dict[tuple[str, int, bool], tuple[Vars, tuple[IntArray, ...]]] = field(default_factory=dict)
    _layers: dict[str, Layer] = field(default_factory=dict)

    def layer(self, name: str) -> Layer:
        """Return the layer of a node."""
        if name not in self._layers:
            node = self.ir.node(name)
            self._layers[name] = Layer(node, self.ir.in_type(node))  # type: ignore[arg-type]
        return self._layers[name]

    def _value(self, name: str, number: int, *, collapsed: bool) -> tuple[Vars, IntArray]:
        """Return an integer of a node over the bits that carry it, or (`collapsed`) over those of its inputs."""
        if name in self.elements and not collapsed:
            return self.elements[name][number].integers()
        if isinstance(self.ir.node(name), Quantize):
            raise TooWideError(f"the inputs of {name} are no sums")
        layer = self.layer(name)
        const, terms = self._terms(name, number, frozenset())
        union = tuple(sorted({var for term in terms for var in term.vars}))
        if len(union) > 60 or self.domain.variables.combinations(union) > _COLLAPSED:
            raise TooWideError(f"output {number} of {name} depends on {len(union)} bits, too many to be enumerated")
        return union, layer.saturated(self._total(const, terms, union))

    def _total(self, const: int, terms: Iterable[Term], union: Vars) -> IntArray:
        total: Array = np.full((1,) * len(union), const, dtype=np.int64)
        for term in terms:
            total = total + spread(term.values, term.vars, union)
        return np.broadcast_to(total, self.domain.variables.sizes(union))

    def _coded(self, name: str, i: int, *, collapsed: bool) -> tuple[Vars, tuple[IntArray, ...]]:
        """Return the codes of input `i` of a layer over the bits that they depend on."""
        key = (name, i, collapsed)
        if key not in self._codes:
            variables, values = self._value(self.ir.node(name).inputs[0], i, collapsed=collapsed)
            kept, codes = drop_unused(variables, self.layer(name).codes(i, values))
            self._codes[key] = kept, tuple(code for code in codes if code is not None)
        return self._codes[key]

    def _edges(self, name: str, output: int, collapsed: frozenset[int]) -> list[Edge]:
        layer = self.layer(name)
        result = []
        for i in layer.inputs(output):
            variables, codes = self._coded(name, i, collapsed=i in collapsed)
            result.append((i, variables, layer.edge(output, i, codes)))
        return result

    def _seen(self, edges: list[Edge], used: set[int]) -> list[Edge]:
        """Return edges as the circuit sees them: over the variables that it derived from their bits, if it uses these."""
        derived: dict[int, list[int]] = {}
        for var in sorted(used & self.domain.definitions.keys()):
            derived.setdefault(self.domain.touching(var)[0], []).append(var)
        result = []
        for i, variables, values in edges:
            seen = variables, values
            for number in {n for var in variables for n in self.domain.touching(var)} & derived.keys():
                onto = tuple(derived[number])
                if set(variables) <= set(self.domain.elements[number].vars):
                    table = self.domain.pushed(number, variables, values, onto)
                    seen = seen if table is None else (onto, table)
            result.append((i, *seen))
        return result

    def _terms(
        self, name: str, output: int, collapsed: frozenset[int], used: Vars = ()
    ) -> tuple[int, tuple[Term, ...]]:
        edges = self._seen(self._edges(name, output, collapsed), set(used))
        tables = [(variables, values, None) for _, variables, values in edges]
        return join(self.layer(name).constant(output), tables, self.domain)

    def check(self, name: str, output: int, bits: Sequence[Fn]) -> Outcome:
        """Prove that `bits` are an output of a layer, for every combination of its inputs that can occur.

        Raises:
            DifferenceError: if they differ.
            NotProvenError: if that cannot be decided.
        """
        variables = self.domain.variables
        for f in bits:
            if f.unknown is not None and self.domain.occurs(f.vars, f.unknown):
                raise NotProvenError("a bit may be unknown: undriven, out of range, or given as x")
        const, terms = self._terms(name, output, frozenset())
        reach = self._reach(name, const, terms)
        aligned, union = variables.aligned(bits, whole=True)
        forms = {id(f): f for f in (variables.known[var].form for var in union) if f is not None}
        if not forms:
            return Outcome(self._direct(name, output, aligned, union), reach)
        if len(forms) > 1 or len(union) > 1:
            aligned, union = variables.aligned([expanded(f, self.domain) for f in bits])
            return Outcome(self._direct(name, output, aligned, union), reach)
        (form,) = forms.values()
        return Outcome(self._by_sum(name, output, aligned, union[0], form), reach)

    def _reach(self, name: str, const: int, terms: Sequence[Term]) -> IntArray | None:
        layer = self.layer(name)
        sums = attained(const, terms, self.domain)
        if sums is not None:
            return np.unique(layer.saturated(sums))
        ends = np.array([const + sum(t.low for t in terms), const + sum(t.high for t in terms)])
        low, high = layer.saturated(ends)
        return np.arange(low, high + 1) if high - low < LIMIT else None

    def _word(self, name: str, bits: Sequence[Fn], union: Vars) -> IntArray:
        signed = self.ir.node(name).out_type.signed
        total: Array = np.zeros((1,) * len(union), dtype=np.int64)
        for j, f in enumerate(bits):
            weight = -(1 << j) if signed and j == len(bits) - 1 else 1 << j
            total = total + spread(f.values, f.vars, union).astype(np.int64) * weight
        return total

    def _direct(self, name: str, output: int, bits: Sequence[Fn], union: Vars) -> str:
        """Compare an output that is a function of few bits, at every combination of them."""
        layer = self.layer(name)
        const, terms = self._terms(name, output, frozenset(), union)
        low = const + sum(term.low for term in terms)
        high = const + sum(term.high for term in terms)
        ends = layer.saturated(np.array([low, high]))
        if ends[0] == ends[1]:
            const, terms = low, ()  # saturated whatever comes
        everything = tuple(sorted({*union, *(var for term in terms for var in term.vars)}))
        if len(everything) > 60 or self.domain.variables.combinations(everything) > LIMIT:
            collapsed = frozenset(layer.inputs(output))
            const, terms = self._terms(name, output, collapsed, union)
            everything = tuple(sorted({*union, *(var for term in terms for var in term.vars)}))
            if len(everything) > 60 or self.domain.variables.combinations(everything) > LIMIT:
                raise DifferenceError(
                    f"the circuit computes it from {len(union)} bits, the program from {len(everything)}", name, output
                )
        got = self._word(name, bits, union)
        wanted = layer.saturated(self._total(const, terms, everything))
        wrong = np.broadcast_to(spread(got, union, everything) != wanted, wanted.shape)
        mask = self.domain.mask(everything)
        if mask is not None:
            wrong = wrong & mask
        if wrong.any():
            at = np.argwhere(wrong)[0]
            values = {var: int(k) for var, k in zip(everything, at, strict=True)}
            got_here = np.broadcast_to(spread(got, union, everything), wanted.shape)[tuple(at)]
            raise DifferenceError(
                f"it is {got_here} where the program has {wanted[tuple(at)]} ({int(wrong.sum())} of {wrong.size} "
                f"combinations of {len(everything)} bits differ{self._at(values)})",
                name,
                output,
                self.witness(values),
            )
        return "enumerated"

    def _by_sum(self, name: str, output: int, bits: Sequence[Fn], value: int, form: Form) -> str:
        """Compare an output that is a function of one sum: first the sum, then the function at every value of it."""
        failure: NotProvenError | None = None
        word = self._word(name, bits, (value,))
        shift = self.domain.variables.known[value].shift
        # Bits that nothing reads may hold what the program's sum does not have: a carry input beside its lowest bit, say.
        for reading in readings(form):
            for unread in range(min(shift, _UNREAD) + 1):
                try:
                    part = shifted(reading, unread, self.domain) if unread else reading
                    match = self._match(name, output, part)
                    return self._after_sum(name, output, word, value, part, match)
                except NotProvenError as error:
                    failure = failure or error
        assert failure is not None
        raise failure

    def _width(self, value: int) -> int:
        """Return the bits of the word whose value a variable is."""
        form = self.domain.variables.known[value].form
        assert form is not None
        return form.width

    def _after_sum(self, name: str, output: int, word: IntArray, value: int, form: Form, match: tuple[int, int]) -> str:
        """Compare a function of a sum at every value of it; `form` equals the sum, or its upper bits, modulo `2^width`."""
        layer = self.layer(name)
        factor, const = match
        variable = self.domain.variables.known[value]
        shift = variable.shift - (self._width(value) - form.width)
        if form.high - form.low >> shift > 4 * variable.size + LIMIT:
            raise TooWideError(f"a sum of {form.low} ... {form.high} is too wide to be enumerated")
        values = np.arange(form.low >> shift, (form.high >> shift) + 1, dtype=np.int64)
        # The word is known at the values of the sum as it was read first; those that are not among them do not occur.
        place = (values - variable.low) & ((1 << (form.width - shift)) - 1)
        known = place < variable.size
        got = np.broadcast_to(word, (variable.size,))[np.where(known, place, 0)]
        # The sums that a step of 2^shift holds: those between its ends that are `form.const` modulo `grain`.
        grain = form.grain
        low = np.maximum(values << shift, form.low)
        low += (form.const - low) % grain
        high = np.minimum((values << shift) + (1 << shift) - 1, form.high)
        high -= (high - form.const) % grain
        wanted, also = layer.saturated(low * factor + const), layer.saturated(high * factor + const)
        wrong = ((got != wanted) | (wanted != also)) & (low <= high) & known
        if not wrong.any():
            return "sum, and what follows it at every value"
        sums = attained(form.const, form.terms, self.domain)
        if sums is not None:
            # Where the sum is not always what it could be, look at those that occur.
            there = (sums >> shift) - values[0]
            wrong_there = (got[there] != layer.saturated(sums * factor + const)) & known[there]
            if not wrong_there.any():
                return "sum, and what follows it at every value that occurs"
            at = int(sums[wrong_there][0])
        else:
            at = int(low[wrong][0])
        k = (at >> shift) - int(values[0])
        entry = entries_at(at, form.const, form.terms, self.domain) or {}
        program = int(layer.saturated(np.array(at * factor + const)))
        raise DifferenceError(
            f"it is {got[k]} where the program has {program}, at the sum {at}{self._at(entry)}",
            name,
            output,
            self.witness(entry),
        )

    def _match(self, name: str, output: int, form: Form) -> tuple[int, int]:
        """Return `factor` and `const` with `program's sum = factor * form + const`.

        Raises:
            DifferenceError: if there are none.
        """
        collapsed: frozenset[int] = frozenset()
        used = {var for term in form.terms for var in term.vars}
        while True:
            edges = self._seen(self._edges(name, output, collapsed), used)
            alone = self._unmatched(edges, form) - collapsed
            if not alone:
                break
            collapsed |= alone
            for i in sorted(alone):
                try:
                    self._coded(name, i, collapsed=True)
                except TooWideError:
                    raise DifferenceError(
                        f"the circuit's sum does not depend on input {i}, the program's does", name, output
                    ) from None
        const, terms = join(self.layer(name).constant(output), [(v, t, None) for _, v, t in edges], self.domain)
        groups = self._groups(form, terms)
        factor = self._factor(groups)
        if (form.high - form.low) * abs(factor) >= 1 << 62:  # int64 might wrap
            raise TooWideError("the sums range over too many integers for exact arithmetic")
        for union, hardware, program in groups:
            offset = program - hardware * factor
            mask = self.domain.mask(union)
            if mask is not None:
                offset = offset[mask]
            if (offset != offset.flat[0]).any():
                raise self._difference(name, output, union, hardware, program, factor)
            const += int(offset.flat[0])
        return factor, const - factor * form.const

    def _factor(self, groups: Sequence[tuple[Vars, IntArray, IntArray]]) -> int:
        """Return how many times the circuit's steps the program's are: the circuit drops zeros that all tables share."""
        for union, hardware, program in groups:
            mask = self.domain.mask(union)
            h, p = (hardware.ravel(), program.ravel()) if mask is None else (hardware[mask], program[mask])
            top, bottom = int(h.argmax()), int(h.argmin())
            run, up = int(h[top] - h[bottom]), int(p[top] - p[bottom])
            if run and up and up % run == 0:
                return up // run
        return 1

    def _unmatched(self, edges: Sequence[Edge], form: Form) -> frozenset[int]:
        """Return the inputs whose bits the circuit's sum does not depend on, though the program's does."""
        _, terms = join(0, [(v, t, None) for _, v, t in edges], self.domain)
        used = {var for term in form.terms for var in term.vars}
        lonely = {var for term in terms if used.isdisjoint(term.vars) for var in term.vars}
        return frozenset(i for i, variables, _ in edges if not lonely.isdisjoint(variables))

    def _groups(self, form: Form, terms: Sequence[Term]) -> list[tuple[Vars, IntArray, IntArray]]:
        """Return both sums in parts over disjoint bits."""
        marked = [(0, term) for term in form.terms] + [(1, term) for term in terms]
        result = []
        for items in grouped(marked, [set(term.vars) for _, term in marked]):
            union = tuple(sorted({var for _, term in items for var in term.vars}))
            if len(union) > 60 or self.domain.variables.combinations(union) > LIMIT:
                raise TooWideError(f"tables over {len(union)} bits are too wide to be enumerated")
            sides = [self._total(0, (term for mark, term in items if mark == side), union) for side in (0, 1)]
            result.append((union, sides[0], sides[1]))
        return result

    def _difference(
        self, name: str, output: int, union: Vars, hardware: IntArray, program: IntArray, factor: int
    ) -> DifferenceError:
        """Return what differs between two tables over the same bits."""
        offset = program - hardware * factor
        mask = self.domain.mask(union)
        occurring = np.argwhere(np.ones(offset.shape, dtype=bool) if mask is None else mask)
        at = offset[tuple(occurring.T)]
        values, counts = np.unique(at, return_counts=True)
        usual = values[counts.argmax()]
        wrong = occurring[at != usual]
        entry = {var: int(k) for var, k in zip(union, wrong[0], strict=True)} if len(wrong) else {}
        inputs = sorted({self.domain.elements[n].label for var in union for n in self.domain.touching(var)})
        where = ", ".join(f"{node}[{number}]" for node, number in inputs)
        return DifferenceError(
            f"the table of {where} differs from the program's in {len(wrong)} of {len(at)} entries{self._at(entry)}",
            name,
            output,
            self.witness(entry),
        )

    def witness(self, values: dict[int, int]) -> dict[tuple[str, int], int]:
        """Return integers of elements that have the given bits."""
        result = {}
        for number in sorted({n for var in values for n in self.domain.touching(var)}):
            element = self.domain.elements[number]
            integer = self.domain.matching(number, values)
            if integer is not None:
                result[element.label] = integer
        return result

    def _at(self, values: dict[int, int]) -> str:
        found = self.witness(values)
        if not found:
            return ""
        return ", at " + ", ".join(f"{node}[{number}] = {value}" for (node, number), value in sorted(found.items()))
