"""Telling hls4ml about the KAN layers, once, in every import order (docs/design.md, section 3).

hls4ml's torch handlers can only be registered when hls4ml is completely imported, and importing it costs seconds. So
the first KAN layer that is constructed loads the entry-point group :data:`GROUP` if hls4ml is there already, and
otherwise arranges for it to be loaded right after hls4ml's own import. `import pymodel.layers` alone does nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
import threading
import warnings
from collections.abc import Sequence
from types import ModuleType

__all__ = ["GROUP", "ensure_layer_handlers"]

#: Entry points of this group are callables without arguments that register layer handlers.
GROUP = "kan4ml.layer_handlers"
_HOST = "hls4ml"

_lock = threading.RLock()
_loaded = False


def ensure_layer_handlers() -> None:
    """Load the handlers now if hls4ml is imported, or else as soon as it is. Called by every KAN layer's constructor.

    A handler that fails is reported as a `RuntimeWarning` that names its entry point; it never breaks the layer.
    """
    if _loaded:
        return
    module = sys.modules.get(_HOST)
    if module is None:
        _install_hook()
    elif not getattr(module.__spec__, "_initializing", False):
        _load()
    # else: hls4ml is being imported by somebody who constructs a layer meanwhile; a later construction loads them.


def _load() -> None:
    global _loaded
    with _lock:
        if _loaded:
            return
        _loaded = True
        _remove_hook()
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()()
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is reported with its name
            warnings.warn(
                f"the layer handler {point.name!r} ({point.value}) failed: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


class _AfterImport(importlib.abc.Loader):
    """The loader of hls4ml, and :func:`_load` after it."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module must look as if it had been imported without us: resources and reloads use its own loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _load()


class _Hook(importlib.abc.MetaPathFinder):
    """Finds hls4ml by the other finders, and wraps its loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _HOST:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _AfterImport(spec.loader)
                return spec
        return None


_hook = _Hook()


def _install_hook() -> None:
    with _lock:
        if _hook not in sys.meta_path:
            sys.meta_path.insert(0, _hook)


def _remove_hook() -> None:
    if _hook in sys.meta_path:
        sys.meta_path.remove(_hook)
