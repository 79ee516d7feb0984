"""`ModelGraph.predict` of this backend: any batch, in threads, through the batched entry points of the bridge."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pymodel.errors import DataError, ToolError

__all__ = ["predict"]


def _row(shape: tuple[int, ...]) -> str:
    return f"(rows, {', '.join(map(str, shape))})"


def _inputs(model: Any, x: Any) -> tuple[list[Any], int]:
    """Return one contiguous array of whole rows per input, all float32 or all float64, and the number of rows.

    Raises:
        DataError: if that is not what `x` holds.
    """
    variables = model.get_input_variables()
    given = list(x) if len(variables) > 1 and isinstance(x, list | tuple) else [x]
    if len(given) != len(variables):
        raise DataError(
            f"the model has {len(variables)} inputs, but {len(given)} were given; give a list with one array each"
        )
    arrays = [np.asarray(part) for part in given]
    for array in arrays:
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise DataError(f"numbers of at most 64 bits were expected, not {array.dtype}; convert the data to float64")
    real = np.float32 if all(array.dtype == np.float32 for array in arrays) else np.float64
    rows = []
    for array, variable in zip(arrays, variables, strict=True):
        shape = tuple(int(n) for n in variable.shape)
        size = int(variable.size())
        if array.ndim > 0 and int(np.prod(array.shape[1:])) == size:
            n_rows = array.shape[0]
        elif array.size == size:
            n_rows = 1  # a single row without the batch, as hls4ml takes it
        else:
            raise DataError(f"an array of shape {_row(shape)} was expected, not {array.shape}; reshape the data")
        rows.append(n_rows)
    if len(set(rows)) != 1:
        raise DataError(f"the inputs have {', '.join(map(str, rows))} rows; give every input the same number of rows")
    sizes = [int(variable.size()) for variable in variables]
    arrays = [
        np.ascontiguousarray(array, dtype=real).reshape(rows[0], size)
        for array, size in zip(arrays, sizes, strict=True)
    ]
    if not all(np.isfinite(array).all() for array in arrays):
        raise DataError("expected finite inputs, found NaN or infinity; clean the data before predicting")
    return arrays, rows[0]


def predict(model: Any, x: Any, n_threads: int | None = None) -> Any:
    """See :meth:`hwgen.plugin._backend.VitisKANBackend.predict`.

    Raises:
        DataError: as above.
        ToolError: if the model was not compiled.
    """
    from sim.csim import default_threads

    library = model._top_function_lib  # noqa: SLF001 - the steps of hls4ml's own prediction have no public names
    if library is None:
        raise ToolError("the model was not compiled; call its compile() before predict()")
    arrays, n_rows = _inputs(model, x)
    sizes = [int(variable.size()) for variable in model.get_output_variables()]
    real = arrays[0].dtype
    if not hasattr(library, "kan_csim_predict_float"):
        # Weights in block RAM, streams, inputs of several types: hls4ml's own entry point, row by row.
        if n_rows == 0:
            outputs = [np.empty((0, size), dtype=real) for size in sizes]
            return outputs[0] if len(outputs) == 1 else outputs
        return model._predict(arrays[0] if len(arrays) == 1 else arrays)  # noqa: SLF001
    rows = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
    y = np.empty((n_rows, sum(sizes)), dtype=real)
    function = getattr(library, f"kan_csim_predict_{'float' if real == np.float32 else 'double'}")
    function.restype = None
    function(
        ctypes.c_longlong(n_rows),
        rows.ctypes.data_as(ctypes.c_void_p),
        y.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int(n_threads or default_threads()),
    )
    parts = [np.ascontiguousarray(part) for part in np.split(y, np.cumsum(sizes)[:-1], axis=1)]
    if n_rows == 1:
        parts = [part[0] for part in parts]
    return parts[0] if len(parts) == 1 else parts
