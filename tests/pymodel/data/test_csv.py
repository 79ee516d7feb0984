"""CSV files: what is read, and one sentence for everything that is wrong."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymodel.data import _csv, load, read_rows, read_table
from pymodel.errors import DataError
from pymodel.settings import DataSettings


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_reads_delimiters_line_ends_and_bom(tmp_path: Path, delimiter: str, end: str, bom: str) -> None:
    rows = ['"a, b"', " b ", "label"], ["1", "-2.5e3", " x "], ["3", "4", "y"]
    text = bom + end.join(delimiter.join(row) for row in rows) + end + end
    table = read_table(write(tmp_path, text), text="label")
    assert table.columns == ("a, b", "b")
    assert table.values.tolist() == [[1.0, -2500.0], [3.0, 4.0]]
    assert table.texts == ("x", "y")


def test_gzip_is_told_by_its_content(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n1,2\n")
    for name in ("t.csv.gz", "t.csv", "noending"):
        assert read_table(write(tmp_path, packed, name)).values.tolist() == [[1.0, 2.0]]


def test_rows_for_prediction_are_selected_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "b,comment,a\n1,hello,2\n3,world,4\n")
    assert read_rows(path, ["a", "b"]).tolist() == [[2.0, 1.0], [4.0, 3.0]]
    with pytest.raises(DataError, match="no column 'aa'; did you mean 'a'"):
        read_rows(write(tmp_path, "a,comments\n1,2\n"), ["aa"])


BAD = {
    "empty": ("", r"is empty"),
    "blank": ("\n\n", r"is empty"),
    "header only": ("a,label\n", r"header line but no rows"),
    "no header": ("1,2\n3,4\n", r"first line .* holds numbers.*add a header"),
    "ragged": ("a,label\n1,x\n1\n", r"line 3: 2 values were expected as in the header, not 1"),
    "too long": ("a,label\n1,x\n1,x,3\n", r"line 3: 2 values were expected as in the header, not 3"),
    "text": ("a,label\n1,x\nfoo,x\n", r"line 3: column 'a' holds 'foo', but a number is expected"),
    "underscore": ("a,label\n1_000,x\n", r"line 2: column 'a' holds '1_000'"),
    "decimal comma": ("a;label\n1,5;x\n", r"line 2: column 'a' holds '1,5'"),
    "gap": ("a,label\n1,x\n,x\n", r"line 3: column 'a' is empty"),
    "nan": ("a,label\n1,x\n2,x\nnan,x\n", r"line 4: column 'a' holds nan, but finite numbers"),
    "inf": ("a,label\n-inf,x\n", r"line 2: column 'a' holds -inf"),
    "huge": ("a,label\n1e200,x\n", r"line 2: column 'a' holds 1e\+200"),
    "no label": ("a,label\n1, \n", r"line 2: column 'label' is empty"),
    "nan label": ("a,label\n1,NaN\n", r"line 2: column 'label' is empty"),
    "absent": ("a,Label\n1,x\n", r"no column 'label'; did you mean 'Label'\?"),
    "absent, nothing near": ("a,zzz\n1,x\n", r"no column 'label'; known are a, zzz"),
    "label only": ("label\nx\n", r"no column besides 'label'.*check the delimiter"),
    "twice": ("a,a,label\n1,2,x\n", r"two columns of .* are called 'a'; rename one"),
    "nameless": ("a,,label\n1,2,x\n", r"column 2 of .* has no name"),
    "not UTF-8": ("a,label\n1,x\n2,\xe9\n".encode("latin-1"), r"line 3: not UTF-8"),
    "open quote": ('a,label\n1,"x\n2,y\n', r"not valid CSV .*check the quotes"),
    "endless field": ("a" * 200_000 + ",label\n1,x\n", r"not valid CSV"),
    "NUL": (b"a,label\n1,x\n\0\0,x\n", r"line 3"),
    "broken gzip": (gzip.compress(b"a,label\n" + os.urandom(999))[:-200], r"truncated or corrupt gzip"),
    "no gzip": (b"\x1f\x8bhello", r"truncated or corrupt gzip"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as info:
        read_table(path, text="label")
    assert "\n" not in str(info.value)
    assert str(path) in str(info.value)


def test_missing_folder_unreadable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; check data\.path"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="which is a folder; name the file in it"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_table(write(tmp_path, "a\n") / "below.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / ("x" * 300))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no regular file"):
        read_table(tmp_path / "pipe")


@pytest.mark.parametrize("packed", [False, True])
def test_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(_csv, "MAX_CSV_BYTES", 1 << 20)
    content = b"a,b\n" + b"1,2\n" * (1 << 19)
    with pytest.raises(DataError, match="more than 1 MiB unpacked"):
        read_table(write(tmp_path, gzip.compress(content) if packed else content))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(-1e99, 1e99, allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=20),
    delimiter=st.sampled_from(",;\t"),
)
def test_numbers_survive_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]], delimiter: str
) -> None:
    text = "\n".join([delimiter.join("abc"), *(delimiter.join(map(repr, row)) for row in rows)])
    path = write(tmp_path_factory.mktemp("csv"), text)
    assert read_table(path).values.tolist() == rows


def test_thirteen_thousand_rows_take_about_a_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "\n".join(",".join(map(repr, row)) for row in rng.normal(size=(13_000, 16)).tolist())
    path = write(tmp_path, ",".join(f"c{i}" for i in range(16)) + "\n" + text)
    start = time.perf_counter()
    assert read_table(path).values.shape == (13_000, 16)
    assert time.perf_counter() - start < 5  # 0.2 s alone on one core; the machine may be busy


CLASSES = {
    "single class": ("a,label\n" + "1,x\n" * 20, r"single class 'x'"),
    "targets": ("a,label\n" + "".join(f"1,{i}.5\n" for i in range(50)), r"50 different labels in 50 rows.*regression"),
    "few rows": ("a,label\n1,x\n2,y\n", r"has 2 rows, but at least 10 are needed"),
    "constant": ("a,label\n" + "1,x\n1,y\n" * 10, r"every feature .* is constant"),
}


@pytest.mark.parametrize("case", CLASSES)
def test_data_that_do_not_fit_classification(tmp_path: Path, case: str) -> None:
    content, message = CLASSES[case]
    with pytest.raises(DataError, match=message):
        load(DataSettings("csv", write(tmp_path, content), "label"))


def test_data_that_do_not_fit_regression(tmp_path: Path) -> None:
    def settings_of(content: str) -> DataSettings:
        return DataSettings("csv", write(tmp_path, content), "y", "regression")

    with pytest.raises(DataError, match=r"line 2: column 'y' holds 'high', but a number is expected"):
        load(settings_of("a,y\n1,high\n"))
    with pytest.raises(DataError, match="the target 'y' is constant"):
        load(settings_of("a,y\n" + "".join(f"{i},3\n" for i in range(20))))
    with pytest.raises(DataError, match="no column 'y'; known are a, b"):
        load(settings_of("a,b\n1,2\n"))
    with pytest.raises(DataError, match="no column besides 'y'"):
        load(settings_of("y\n1\n"))
    data = load(settings_of("a,y,b\n" + "".join(f"{i},{3 * i},{i % 4}\n" for i in range(20))))
    assert data.features == ("a", "b")
    assert data.n_outputs == 1
    assert (data.y_train == 3 * data.x_train[:, 0]).all()


def test_integer_classes_are_ordered_as_numbers(tmp_path: Path) -> None:
    text = "a,label\n" + "".join(f"{i},{i % 12}\n" for i in range(120))
    data = load(DataSettings("csv", write(tmp_path, text), "label"))
    assert data.classes == tuple(map(str, range(12)))
    assert (data.y_train == data.x_train[:, 0] % 12).all()
