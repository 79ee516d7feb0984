"""What ends a proof without one."""

from __future__ import annotations

__all__ = ["DifferenceError", "NotProvenError"]


class NotProvenError(Exception):
    """The checker met what it does not model, or could not show; the message says what and where."""


class DifferenceError(NotProvenError):
    """A part of the netlist differs from the program on some values of its inputs.

    Attributes:
        node: name of the layer.
        output: number of the output.
        witness: integers of some of the layer's inputs, or of earlier nodes, at which it differs: (node, element) to
            integer. They may be out of reach together, so a counterexample has to be confirmed.
    """

    def __init__(
        self, message: str, node: str = "", output: int = -1, witness: dict[tuple[str, int], int] | None = None
    ) -> None:
        super().__init__(message)
        self.node = node
        self.output = output
        self.witness = witness or {}
