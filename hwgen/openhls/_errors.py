"""The one error of the C++ road: a construct outside the documented subset."""

from __future__ import annotations

from pymodel.errors import Kan4mlError

__all__ = ["Refused"]


class Refused(Kan4mlError):  # noqa: N818 - what happened to the construct; the message is the error
    """A C++ construct that has no hardware here; refusing it is the alternative to wrong hardware.

    Attributes:
        construct: what was found, in C++ terms.
        function: the function it is in.
        remedy: what to write instead.
    """

    def __init__(self, construct: str, function: str, remedy: str) -> None:
        self.construct = construct
        self.function = function
        self.remedy = remedy
        super().__init__(f"{construct} in the C++ function {function!r} cannot become hardware; {remedy}")
