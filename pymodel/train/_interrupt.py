"""Ctrl-C during training: the first ends it early with the best model so far, the second aborts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

__all__ = ["Interrupt"]


class Interrupt:
    """Context that turns the first SIGINT into :attr:`requested`; after it, SIGINT raises KeyboardInterrupt again.

    Outside the main thread, where Python allows no signal handlers, it does nothing.

    Args:
        on_request: called once, from the handler, for instance to tell the user.
    """

    def __init__(self, on_request: Callable[[], None] | None = None) -> None:
        self._requested = False
        self._on_request = on_request
        self._previous: Callable[[int, FrameType | None], object] | int | None = None
        self._installed = False

    @property
    def requested(self) -> bool:
        """Whether training is to end."""
        return self._requested

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            # None: the handler was not installed from Python; the default is all that can be restored.
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._previous is None else self._previous)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
        if self._on_request is not None:
            self._on_request()
