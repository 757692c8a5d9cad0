"""Read CSV in its many dialects, and Parquet: whole, or a part at a time. What was understood is said."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
from charset_normalizer import from_bytes

from ..errors import UserError
from . import Request

MOST_BYTES = 500 * 2**20  # of a file; reading takes up to five times as much memory
MOST_COLUMNS = 2000
SAMPLE = 2**16  # bytes that a dialect is told from
PARQUET = (".parquet", ".pq")
REMEDY = " Say how it is written: make data DELIMITER=';' ENCODING=latin-1 DECIMAL=,"
# What Excel writes, where it is not UTF-8
CODE_PAGES = ["cp1252", "cp1251", "cp1253", "cp932", "cp949", "gb18030", "big5"]


def read_frame(path: Path, request: Request) -> tuple[pandas.DataFrame, list[str]]:
    """Return a whole table, fields of CSV as texts, and how it was understood. UserError says what to do."""
    _check_size(path)
    if path.suffix in PARQUET:
        with _explained(path, "Parquet"):
            frame = pandas.read_parquet(path)
        frame.columns = _checked([str(name) for name in frame.columns], path)
        understood = "Parquet"
    else:
        dialect = _dialect(path, request)
        with _explained(path, f"CSV with {dialect}", REMEDY):
            frame = _named(pandas.read_csv(path, **dialect.options), path)
        _write_points(frame, dialect.decimal)
        understood = f"CSV: {dialect}, decimal mark {dialect.decimal!r}"
    return frame, [f"read as {understood}; {len(frame):,} rows, {len(frame.columns)} columns"]


def parts(path: Path, request: Request, rows: int) -> Iterator[tuple[pandas.DataFrame, str, float]]:
    """Yield a table's rows, so many at a time: fields of CSV as texts, those of Parquet as they are.

    With each part come the decimal mark, and the share of the file that is read.

    Raises:
        UserError: the file cannot be read; the message says what to do.
    """
    if path.suffix in PARQUET:
        with _explained(path, "Parquet"):
            file = pyarrow.parquet.ParquetFile(path)
            _checked([str(name) for name in file.schema_arrow.names], path)
            read = 0
            for batch in file.iter_batches(rows):
                read += len(batch)
                yield batch.to_pandas(), ".", read / file.metadata.num_rows
        return
    dialect = _dialect(path, request)
    with _explained(path, f"CSV with {dialect}", REMEDY), path.open("rb") as binary:
        for frame in pandas.read_csv(binary, chunksize=rows, **dialect.options):
            yield _named(frame, path), dialect.decimal, binary.tell() / path.stat().st_size


@dataclass(frozen=True)
class Dialect:
    """The way in which a CSV file is written."""

    delimiter: str
    encoding: str
    decimal: str

    def __str__(self) -> str:
        return f"delimiter {self.delimiter!r}, encoding {self.encoding}"

    @property
    def options(self) -> dict[str, Any]:
        """The options with which pandas reads every field as text."""
        return {
            "sep": self.delimiter,
            "encoding": self.encoding,
            "dtype": "string[pyarrow]",
            "keep_default_na": False,
            "skipinitialspace": True,
        }


def _write_points(frame: pandas.DataFrame, decimal: str) -> None:
    """Write a point for the decimal mark, in the columns that hold nothing but numbers."""
    if decimal == ".":
        return
    number = f"^\\s*[-+]?\\d*{re.escape(decimal)}?\\d+([eE][-+]?\\d+)?\\s*$"
    for name in frame.columns:
        if frame[name][frame[name] != ""].str.match(number).all():
            frame[name] = frame[name].str.replace(decimal, ".", regex=False)


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MOST_BYTES:
        lines = int(MOST_BYTES / size * 1000)
        raise UserError(
            f"{path} has {size / 2**20:,.0f} MB, and at most {MOST_BYTES // 2**20} MB are read: a table is held in "
            f"memory. Take a sample of its rows: (head -n 1 {path.name}; awk 'NR > 1 && rand() < 0.{lines:03d}' "
            f"{path.name}) > sample.csv"
        )


def _dialect(path: Path, request: Request) -> Dialect:
    """Return how a CSV file is written: as was said, else as its beginning looks."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    if not sample:
        raise UserError(f"{path} is empty. Give a file with a header and rows: make data SOURCE=FILE")
    encoding = request.encoding or _encoding(sample, path)
    try:
        text = sample.decode(encoding, errors="ignore")
    except LookupError:
        raise UserError(f"There is no encoding {encoding}. Give another, such as ENCODING=utf-8") from None
    whole_lines = text[: text.rfind("\n") + 1] or text
    delimiter = request.delimiter or _delimiter(whole_lines)
    with _explained(path, "CSV"):
        decimal = request.decimal or _decimal(whole_lines, delimiter)
        header = next(csv.reader(io.StringIO(whole_lines), delimiter=delimiter), [])
    _checked([name.strip() for name in header], path)
    return Dialect(delimiter, encoding, decimal)


def _named(frame: pandas.DataFrame, path: Path) -> pandas.DataFrame:
    """Return a table with its columns' names as texts."""
    if not isinstance(frame.index, pandas.RangeIndex):  # pandas takes fields without a name for names of the rows
        raise UserError(f"{path}: its rows have more fields than its header has names. Name every column.")
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame


@contextmanager
def _explained(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Explain every error of a table library in one sentence: it raises whatever the file makes it stumble on."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise UserError(f"{path} cannot be read as {what}: {reason}.{remedy}") from None


def _encoding(sample: bytes, path: Path) -> str:
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if sample.startswith(mark):
            return name
    if b"\x00" in sample:
        for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
            if zeros.count(0) > len(zeros) * 0.8:
                return name
        raise UserError(f"{path} is no text: it holds zero bytes. Give a CSV file, or name it .parquet")
    try:
        sample[: sample.rfind(b"\n") + 1].decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        words = dict.fromkeys(word for word in re.split(rb"[\s,;|]+", sample) if not word.isascii())
        best = from_bytes(b" ".join(words), cp_isolation=CODE_PAGES).best()
        return best.encoding if best else "latin-1"


def _delimiter(text: str) -> str:
    try:
        return csv.Sniffer().sniff(text, delimiters=",;\t|").delimiter
    except csv.Error:  # one column, or lines of unequal length
        first = text.partition("\n")[0]
        return max(",;\t|", key=first.count)


def _decimal(text: str, delimiter: str) -> str:
    """Return a comma where more fields hold numbers with one than with a point."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in csv.reader(io.StringIO(text), delimiter=delimiter) for field in row]
    with_comma, with_point = (
        sum(field.count(mark) == 1 and field.replace(mark, "", 1).lstrip("+-").isdigit() for field in fields)
        for mark in (",", ".")
    )
    return "," if with_comma > with_point else "."


def _checked(names: list[str], path: Path) -> list[str]:
    """Return the names of columns, if each is there once."""
    if len(names) > MOST_COLUMNS:
        raise UserError(
            f"{path} has more than {MOST_COLUMNS:,} columns, and no more are read. Keep those that can help."
        )
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(
            f"{path}: the column {double[0]!r} is there {names.count(double[0])} times. Rename or remove one."
        )
    if "" in names:
        number = names.index("") + 1
        if number > 1 or len(names) < 2:
            raise UserError(f"{path}: column {number} has no name in the header. Give it one.")
    return names
