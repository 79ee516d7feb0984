"""`kan4ml predict`: rows of a CSV through the built integer model."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hwgen._output import recover
from pymodel.data import read_table
from pymodel.ir import Task, load_ir
from pymodel.reference import Reference

__all__ = ["predict_csv"]


def predict_csv(folder: Path, rows: Path) -> str:
    """Predict every row of `rows` and return CSV text.

    Args:
        folder: a build.
        rows: a CSV whose header names every feature of the model, in any order; other columns are ignored.

    Returns:
        A header and one line per row: the class, or the value in the target's units, under the target's name; then the
        output integers `y0 …` that the hardware gives.

    Raises:
        IRError: if the build is damaged.
        DataError: if the CSV is malformed or lacks a feature.
    """
    recover(folder)
    ir = load_ir(folder / "ir")
    host = ir.host
    table = read_table(rows, select=host.features)
    X = ir.input.out_type.quantize(host.prepare(table.values))
    Y = Reference(ir).run(X)[ir.output]
    predictions = ir.predict(Y)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([host.target or "prediction", *(f"y{i}" for i in range(Y.shape[1]))])
    for prediction, integers in zip(predictions, Y.tolist(), strict=True):
        value = host.classes[int(prediction)] if host.task is Task.CLASSIFICATION else repr(float(prediction[0]))
        writer.writerow([value, *integers])
    return buffer.getvalue()
