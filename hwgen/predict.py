"""`kan4ml predict`: rows of a CSV through the built integer model."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from hwgen._output import recover
from pymodel.data import read_table
from pymodel.ir import IntArray, Task, load_ir
from pymodel.reference import Reference

__all__ = ["Predictions", "predict_rows"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of rows.

    Attributes:
        target: what is predicted, the label column's name.
        values: per row, the class, or the value in the target's units.
        outputs: (rows, outputs), the integers that the hardware gives.
    """

    target: str
    values: tuple[str | float, ...]
    outputs: IntArray

    def to_csv(self) -> str:
        """Return a header and one line per row: the value under the target's name, then the integers `y0 …`."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([self.target, *(f"y{i}" for i in range(self.outputs.shape[1]))])
        for value, integers in zip(self.values, self.outputs.tolist(), strict=True):
            writer.writerow([value if isinstance(value, str) else repr(value), *integers])
        return buffer.getvalue()

    def to_json(self) -> str:
        """Return the same as a JSON object with a list of rows."""
        rows = [
            {"value": value, "outputs": integers}
            for value, integers in zip(self.values, self.outputs.tolist(), strict=True)
        ]
        return json.dumps({"target": self.target, "rows": rows}, indent=1, allow_nan=False) + "\n"


def predict_rows(folder: Path, rows: Path) -> Predictions:
    """Predict every row of the CSV file `rows`.

    Args:
        folder: a build.
        rows: a CSV whose header names every feature of the model, in any order; other columns are ignored.

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
    values: tuple[str | float, ...]
    if host.task is Task.CLASSIFICATION:
        values = tuple(host.classes[int(prediction)] for prediction in predictions)
    else:
        values = tuple(float(prediction[0]) for prediction in predictions)
    return Predictions(host.target or "prediction", values, Y)
