"""Which blocks of a function are before, in and after its one loop, and how often the loop runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.openhls._builder import Builder
from hwgen.openhls._errors import Refused
from hwgen.openhls._ifconvert import successors
from hwgen.openhls._llvm import Function
from hwgen.openhls._ops import evaluate

__all__ = ["MAX_TRIP", "Counter", "LoopBlocks", "counters", "find_loop", "inputs_of"]

#: Iterations of a rolled loop.
MAX_TRIP = 1 << 16


@dataclass(frozen=True)
class LoopBlocks:
    """Labels of the blocks, each group in an order in which all that leads to a block comes before it."""

    before: tuple[str, ...]
    body: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def header(self) -> str:
        """The block at which an iteration begins."""
        return self.body[0]


@dataclass(frozen=True)
class Counter:
    """A loop variable that depends on nothing but itself: `start + step * r` in iteration r."""

    start: int
    step: int


def _depth_first(function: Function) -> tuple[list[str], set[tuple[str, str]]]:
    """Return the labels in reverse postorder, and the back edges."""
    state: dict[str, int] = {}
    order: list[str] = []
    back: set[tuple[str, str]] = set()
    stack: list[tuple[str, int]] = [(next(iter(function.blocks)), 0)]
    while stack:
        label, at = stack.pop()
        following = successors(function.blocks[label])
        state.setdefault(label, 1)
        if at < len(following):
            stack.append((label, at + 1))
            target = following[at]
            if state.get(target) == 1:
                back.add((label, target))
            elif target not in state:
                stack.append((target, 0))
        else:
            state[label] = 2
            order.append(label)
    return order[::-1], back


def find_loop(function: Function, shown: str) -> LoopBlocks | None:
    """Return the parts of a function around its loop; None if there is no loop.

    Raises:
        Refused: if there are several loops, or one within another.
    """
    order, back = _depth_first(function)
    headers = {target for _, target in back}
    if not headers:
        return None
    if len(headers) > 1:
        raise Refused(
            f"{len(headers)} loops that stay loops",
            shown,
            "keep one loop in a function: unroll the inner ones, and make each layer a function of its own",
        )
    (header,) = headers
    inside, stack = {header}, [label for label, _ in back]
    before: dict[str, list[str]] = {label: [] for label in order}
    for label in order:
        for target in successors(function.blocks[label]):
            before[target].append(label)
    while stack:
        label = stack.pop()
        if label not in inside:
            inside.add(label)
            stack += before[label]
    at = order.index(header)
    body = tuple(label for label in order if label in inside)
    after = tuple(label for label in order[at:] if label not in inside)
    return LoopBlocks(tuple(order[:at]), body, after)


def counters(
    builder: Builder, go: int, following: Mapping[int, int], first: Mapping[int, int | None], shown: str
) -> tuple[int, dict[int, Counter]]:
    """Return how often the loop runs, and the loop variables that only count.

    Args:
        builder: the body, evaluated with every loop variable k an unknown input `("state ", k)`.
        go: operation that is true where another iteration follows.
        following: operation of each variable's next value.
        first: its first value, if that is a constant.
        shown: the function's name in messages.

    Raises:
        Refused: if the number of iterations depends on data or is too large, or a counter does not count evenly.
    """
    needs = {k: inputs_of(builder, number) for k, number in following.items()}
    counting = {k for k in following if first[k] is not None}
    while True:
        keep = {k for k in counting if all(name == "state " and element in counting for name, element in needs[k])}
        if keep == counting:
            break
        counting = keep
    if not all(name == "state " and element in counting for name, element in inputs_of(builder, go)):
        raise Refused("a loop whose trip count depends on data", shown, "give it a constant trip count")
    outputs = builder.program.outputs
    builder.program.outputs = {("next", k): following[k] for k in counting} | {("go", 0): go}
    values: dict[int, int] = {}
    for k in counting:
        value = first[k]
        assert value is not None
        values[k] = value
    history = {k: [value] for k, value in values.items()}
    trip = 1
    while True:
        found = evaluate(builder.program, {("state ", k): value for k, value in values.items()})
        if not found["go", 0]:
            break
        if trip >= MAX_TRIP:
            raise Refused(f"a loop of more than {MAX_TRIP} iterations", shown, f"use at most {MAX_TRIP}")
        trip += 1
        for k in counting:
            values[k] = found["next", k]
            history[k].append(values[k])
    builder.program.outputs = outputs
    result = {}
    for k, sequence in history.items():
        step = sequence[1] - sequence[0] if trip > 1 else 0
        if any(value != sequence[0] + step * r for r, value in enumerate(sequence)):
            raise Refused("a loop variable that does not count evenly", shown, "index with the iteration's number")
        result[k] = Counter(sequence[0], step)
    return trip, result


def inputs_of(builder: Builder, number: int) -> set[tuple[str, int]]:
    """Return the inputs, as (name, element), that operation `number` depends on."""
    ops, seen, stack, found = builder.program.ops, {number}, [number], set()
    while stack:
        op = ops[stack.pop()]
        if op.kind == "input":
            found.add(op.data)
        stack += [a for a in op.args if a not in seen]
        seen.update(op.args)
    return found
