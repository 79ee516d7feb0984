"""CSV tables: a header line, numeric columns, and at most one column that is kept as text (the class label)."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pymodel.data._files import read_bytes
from pymodel.errors import DataError
from pymodel.suggest import suggest

__all__ = ["MAX_CSV_BYTES", "MAX_MAGNITUDE", "Columns", "Table", "read_columns", "read_table"]

#: Largest CSV file, unpacked; a table of this size takes about half a minute to parse.
MAX_CSV_BYTES = 256 << 20
#: Larger numbers would overflow when squared for the standard deviation.
MAX_MAGNITUDE = 1e100
_DELIMITERS = ",;\t"


@dataclass(frozen=True, eq=False)
class Table:
    """A parsed CSV file.

    Attributes:
        columns: names of the numeric columns.
        values: (rows, columns) float64, all finite.
        texts: the text column, stripped, one per row; empty without one.
    """

    columns: tuple[str, ...]
    values: npt.NDArray[np.float64]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """What the columns of a CSV file are.

    Attributes:
        delimiter: what separates them.
        distinct: per column, its different values in the order of their first rows, at most `limit` + 1 of them.
        numeric: names of the columns that hold numbers only.
        rows: of the file.
    """

    delimiter: str
    distinct: dict[str, tuple[str, ...]]
    numeric: frozenset[str]
    rows: int


def read_columns(path: Path, limit: int = 1000) -> Columns:
    """Look over the CSV file `path` without knowing anything of it.

    Args:
        path: the file, as for :func:`read_table`.
        limit: different values per column beyond which they are not collected.

    Raises:
        DataError: if there are no rows, or as :func:`read_table`, except for what cells hold.
    """
    reader = _Reader(path, _decode(path, read_bytes(path, MAX_CSV_BYTES)))
    found: list[dict[str, None]] = [{} for _ in reader.header]
    numeric = [True] * len(found)
    rows = 0
    for _, row in reader.rows():
        rows += 1
        for index, cell in enumerate(row):
            if numeric[index] and not _is_number(cell):
                numeric[index] = False
            if len(found[index]) <= limit:
                found[index].setdefault(cell.strip())
    if not rows:
        raise DataError(f"{path} has a header line but no rows; add the data")
    return Columns(
        reader.delimiter,
        {name: tuple(values) for name, values in zip(reader.header, found, strict=True)},
        frozenset(name for name, plain in zip(reader.header, numeric, strict=True) if plain),
        rows,
    )


def read_table(path: Path, *, text: str | None = None, select: Sequence[str] | None = None) -> Table:
    """Read the CSV file `path` (UTF-8, gzip or not; delimiter `,` `;` or tab, told from the header).

    Args:
        path: the file.
        text: name of the column that is kept as text.
        select: names of the numeric columns, in the order wanted; others are skipped. None takes all but `text`.

    Raises:
        DataError: naming line and column, if the file is missing, empty, ragged, not UTF-8, has no header or no rows,
            repeats or lacks a column, or holds a value that is empty, not numeric or not finite.
    """
    reader = _Reader(path, _decode(path, read_bytes(path, MAX_CSV_BYTES)))
    header = reader.header
    if text is not None:
        reader.find(text)
    names = tuple(select) if select is not None else tuple(name for name in header if name != text)
    if not names:
        raise DataError(f"{path} has no column besides {text!r}; features were expected, so check the delimiter")
    indices = [reader.find(name) for name in names]
    text_index = header.index(text) if text is not None else None
    values, lines, texts = array("d"), array("q"), []
    for line, row in reader.rows():
        cells = [row[index] for index in indices]
        try:
            numbers = list(map(float, cells))
        except ValueError:
            raise DataError(_bad_cell(path, line, names, cells)) from None
        if "_" in "".join(cells):  # float() reads 1_000, no other program does
            raise DataError(_bad_cell(path, line, names, cells))
        values.extend(numbers)
        lines.append(line)
        if text_index is not None:
            label = row[text_index].strip()
            if not label or label.lower() == "nan":
                raise DataError(f"{path}, line {line}: column {text!r} is empty; fill it in or remove the row")
            texts.append(label)
    if not lines:
        raise DataError(f"{path} has a header line but no rows; add the data")
    matrix = np.frombuffer(values, dtype=np.float64).reshape(len(lines), len(names))
    wrong = np.argwhere(~(np.abs(matrix) <= MAX_MAGNITUDE))
    if wrong.size:
        row_index, column = (int(index) for index in wrong[0])
        found = matrix[row_index, column]
        raise DataError(
            f"{path}, line {lines[row_index]}: column {names[column]!r} holds {found:g}, "
            f"but finite numbers up to {MAX_MAGNITUDE:g} are expected; correct it or remove the row"
        )
    return Table(names, matrix, tuple(texts))


class _Reader:
    """Header and rows of a CSV text, with line numbers; every row has as many cells as the header."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self.delimiter = _delimiter(text)
        self._rows = csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter, strict=True)
        _, header = next(self._records(), (0, []))
        self.header = [name.strip() for name in header]
        if not self.header:
            raise DataError(f"{path} is empty; a header line with column names and rows were expected")
        if all(map(_is_number, self.header)):
            raise DataError(f"the first line of {path} holds numbers, but column names were expected; add a header")
        for index, name in enumerate(self.header):
            if not name:
                raise DataError(f"column {index + 1} of {path} has no name in the header; give it one")
            if name in self.header[:index]:
                raise DataError(f"two columns of {path} are called {name!r}; rename one")

    def find(self, name: str) -> int:
        """Return the index of the column called `name`."""
        if name not in self.header:
            raise DataError(f"{self._path} has no column {name!r}; {suggest(name, self.header)}")
        return self.header.index(name)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number, cells) of every row after the header; blank lines are skipped."""
        width = len(self.header)
        for line, row in self._records():
            if len(row) != width:
                raise DataError(
                    f"{self._path}, line {line}: {width} values were expected as in the header, not {len(row)}; "
                    "complete or remove the row"
                )
            yield line, row

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        start = self._rows.line_num
        try:
            for row in self._rows:
                line, start = start + 1, self._rows.line_num
                if row and not (len(row) == 1 and not row[0].strip()):
                    yield line, row
        except csv.Error as error:
            raise DataError(
                f"{self._path}, line {self._rows.line_num}: not valid CSV ({error}); check the quotes"
            ) from None


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the table as UTF-8 CSV") from None


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the header into most names; a quoted name may hold the others."""
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    try:
        return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    except csv.Error:  # a header of one endless field: the reader proper says so with its line
        return ","


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _bad_cell(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> str:
    name, cell = next(
        (name, cell) for name, cell in zip(names, cells, strict=True) if not _is_number(cell) or "_" in cell
    )
    what = f"holds {cell[:40]!r}" if cell.strip() else "is empty"
    return f"{path}, line {line}: column {name!r} {what}, but a number is expected; correct it or remove the row"
