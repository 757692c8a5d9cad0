"""Files of tables as people have them: CSV in whatever dialect, and Parquet. What was understood is said."""

import csv
import io
import re
from pathlib import Path

import pandas
from charset_normalizer import from_bytes

from ..dataset import Request
from ..errors import UserError

MOST_BYTES = 500 * 2**20  # of a file; reading takes up to five times as much memory
MOST_COLUMNS = 2000
SAMPLE = 2**16  # bytes that a dialect is told from
CODE_PAGES = [
    "cp1252",
    "cp1251",
    "cp1253",
    "cp932",
    "cp949",
    "gb18030",
    "big5",
]  # Excel's, where it is not UTF-8


def read_frame(path: Path, request: Request) -> tuple[pandas.DataFrame, list[str]]:
    """Read a file as a frame; return it with notes that say what was understood.

    Raises:
        UserError: it cannot be read or is too large.
    """
    _check_size(path)
    return _read_parquet(path) if path.suffix in (".parquet", ".pq") else _read_csv(path, request)


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if not size:
        raise UserError(f"{path} is empty.")
    if size > MOST_BYTES:
        lines = int(MOST_BYTES / size * 1000)
        raise UserError(
            f"{path} has {size / 2**20:,.0f} MB, and at most {MOST_BYTES // 2**20} MB are read: a table is held in "
            f"memory. Take a sample of its rows: (head -n 1 {path.name}; awk 'NR > 1 && rand() < 0.{lines:03d}' "
            f"{path.name}) > sample.csv"
        )


def _read_parquet(path: Path) -> tuple[pandas.DataFrame, list[str]]:
    import pyarrow

    try:
        frame = pandas.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    _check_header([str(name) for name in frame.columns], path)
    return frame, [f"read as Parquet: {len(frame):,} rows, {len(frame.columns)} columns"]


def _read_csv(path: Path, request: Request) -> tuple[pandas.DataFrame, list[str]]:
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    encoding = request.encoding or _encoding(sample, path)
    try:
        text = sample.decode(encoding, errors="ignore")
    except LookupError:
        raise UserError(f"There is no encoding {encoding}. Give another, such as ENCODING=utf-8") from None
    whole_lines = text[: text.rfind("\n") + 1] or text
    delimiter = request.delimiter or _delimiter(whole_lines)
    decimal = request.decimal or _decimal(whole_lines, delimiter)
    header = next(csv.reader(io.StringIO(whole_lines), delimiter=delimiter), [])
    _check_header([name.strip() for name in header], path)
    try:
        frame = pandas.read_csv(
            path,
            sep=delimiter,
            encoding=encoding,
            dtype="string[pyarrow]",
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (ValueError, pandas.errors.ParserError, UnicodeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} cannot be read as CSV with delimiter {delimiter!r}, encoding {encoding}: {reason}. "
            "Say how it is written: make data DELIMITER=';' ENCODING=latin-1 DECIMAL=,"
        ) from None
    frame.columns = [str(name).strip() for name in frame.columns]
    if decimal != ".":
        numeric = f"^\\s*[-+]?\\d*{decimal}?\\d+([eE][-+]?\\d+)?\\s*$"
        for name in frame.columns:
            if frame[name][frame[name] != ""].str.match(numeric).all():
                frame[name] = frame[name].str.replace(decimal, ".", regex=False)
    told = f"read as CSV: delimiter {delimiter!r}, encoding {encoding}, decimal mark {decimal!r}"
    return frame, [f"{told}; {len(frame):,} rows, {len(frame.columns)} columns"]


def _encoding(sample: bytes, path: Path) -> str:
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if sample.startswith(mark):
            return name
    if b"\x00" in sample:
        for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
            if zeros.count(0) > len(zeros) * 0.8:
                return name
        raise UserError(f"{path} is no text: it holds zero bytes. Is it a CSV file?")
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
    """A comma, where fields hold numbers with one and none with a point."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in csv.reader(io.StringIO(text), delimiter=delimiter) for field in row]
    with_comma, with_point = (
        sum(field.count(mark) == 1 and field.replace(mark, "", 1).lstrip("+-").isdigit() for field in fields)
        for mark in (",", ".")
    )
    return "," if with_comma > with_point else "."


def _check_header(names: list[str], path: Path) -> None:
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
            raise UserError(f"{path}: column {number} has no name in the header.")
