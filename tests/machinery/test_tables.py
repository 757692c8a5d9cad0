"""Tables: CSV and Parquet are read as people write them, columns get the right kind, and what is wrong is named."""

import numpy as np
import pandas
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.errors import UserError
from sources_of_people import ROWS, people, read

# --- Dialects ---------------------------------------------------------------------------------------------------------

DIALECTS = {
    "commas": {},
    "semicolons and a decimal comma": {"sep": ";", "decimal": ","},
    "tabs": {"sep": "\t"},
    "bars": {"sep": "|"},
    "UTF-16": {"encoding": "utf-16"},
    "UTF-16 of Windows": {"encoding": "utf-16-le"},
    "a byte order mark": {"encoding": "utf-8-sig"},
    "lines of Windows": {"lineterminator": "\r\n"},
    "everything in quotes": {"quoting": 1},
    "NA for what is missing": {"na_rep": "NA"},
    "a question mark for what is missing": {"na_rep": "?"},
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_table_is_the_same_in_every_dialect(file, name):
    frame = people(weight=np.linspace(40.5, 99.25, ROWS))
    source = read(file(frame, **DIALECTS[name]))
    assert source.schema.columns == read(file(frame, "plain.csv")).schema.columns
    assert np.allclose(source.inputs["weight"], frame.weight)
    assert np.isnan(source.inputs["age"]).sum() == 2


def test_latin_1_is_told_from_utf_8_and_can_be_said(file):
    frame = people(city=np.resize(["Zürich", "Málaga", "São Paulo"], ROWS))
    for given in ({}, {"encoding": "latin-1"}):
        source = read(file(frame, encoding="latin-1"), **given)
        assert set(source.inputs["city"]) == {"Zürich", "Málaga", "São Paulo"}


def test_what_was_understood_is_said(file):
    told = "\n".join(read(file(sep=";")).notes)
    assert "delimiter ';'" in told and "utf-8" in told and "60 rows, 8 columns" in told


def test_parquet_is_read_as_csv_is(tmp_path, file):
    people().to_parquet(tmp_path / "people.parquet")
    assert [c.name for c in read(tmp_path / "people.parquet").schema.used] == [c.name for c in read(file()).schema.used]


# --- Kinds ------------------------------------------------------------------------------------------------------------


def test_columns_get_their_kind_and_those_that_cannot_help_are_left_out_with_a_reason(file):
    columns = {column.name: column for column in read(file()).schema.columns}
    assert {name: column.reason for name, column in columns.items() if not column.use} == {
        "id": "it numbers the rows",
        "name": "every text is another",
        "joined": "it holds dates (TIME= splits by them)",
        "country": "it is the same in every row",
    }
    assert columns["age"].kind == "number" and columns["age"].missing
    assert columns["city"].kind == "category" and columns["city"].categories == ("Lima", "Oslo", "Pune")
    assert columns["city"].missing and not columns["zip"].missing
    assert columns["zip"].kind == "category", "01234 is a code"


@pytest.mark.parametrize(
    ("values", "asked", "task"),
    [
        (np.resize(["a", "b"], ROWS), None, "classes"),
        (np.resize([0, 1, 2], ROWS), None, "classes"),
        (np.resize([0, 1, 2], ROWS), "number", "number"),
        (np.linspace(0, 1, ROWS), None, "number"),
        (np.arange(ROWS), None, "number"),
    ],
)
def test_the_target_is_classes_or_a_number_and_the_message_says_how_to_change_it(file, values, asked, task):
    source = read(file(people(churned=values)), task=asked)
    assert source.task == task
    assert values.dtype.kind == "U" or any("TASK=" in note for note in source.notes)


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_whole_numbers_that_are_classes_keep_their_names(tmp_path, file, name):
    frame = people(churned=np.resize([0, 1, 10], ROWS))
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else file(frame)
    assert schemas.Classes.infer(read(path).labels).classes == ("0", "1", "10")


def test_rows_without_a_target_are_left_out_and_counted(file):
    frame = people()
    frame.loc[[0, 4], "churned"] = None
    source = read(file(frame))
    assert len(source.labels) == ROWS - 2 and len(source.inputs["age"]) == ROWS - 2
    assert "2 rows have no churned and are left out, the first is row 1" in source.notes


# --- What is refused --------------------------------------------------------------------------------------------------

BAD = {
    "nothing": (b"", "is empty"),
    "a header alone": (b"a,churned\n", "holds no rows"),
    "a column twice": (b"a,a,churned\n1,2,x\n", "'a' is there 2 times"),
    "a column without a name": (b"a,,churned\n1,2,x\n", "column 2 has no name"),
    "a target that is misspelt": (people().rename(columns={"churned": "churn"}), "Did you mean TARGET=churn?"),
    "a target that is not there": (people().rename(columns={"churned": "qqq"}), "There are: id, name"),
    "numbers with a few texts": (
        people(age=["unknown", *range(18, 18 + ROWS - 1)]),
        "age holds numbers, and text in 1 rows: row 1 'unknown'",
    ),
    "100,000 columns": (
        b",".join(b"c%d" % number for number in range(100_000)) + b",churned\n",
        "more than 2,000 columns",
    ),
    "zero bytes": (b"a,churned\n\x00\x01\x02,x\n" * 50, "no text"),
    "rows of unequal length": (b"a,churned\n1,x\n1,2,3,x\n", "cannot be read as CSV"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_refused_with_the_reason(file, what):
    content, said = BAD[what]
    with pytest.raises(UserError) as refusal:
        read(file(content))
    assert said in str(refusal.value), str(refusal.value)


def test_a_target_that_was_not_named_is_asked_for(file):
    with pytest.raises(UserError, match=r"make data SOURCE=.* TARGET=COLUMN\. There are: id, name"):
        read(file(), target=None)


def test_a_file_that_is_too_large_is_refused_before_it_is_read_with_a_way_to_sample_it(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"a,churned\n1,x\n")
        file.truncate(2 * 2**30)  # a hole: 2 GB that take no disk
    with pytest.raises(UserError, match=r"at most 500 MB.*awk.*> sample.csv"):
        read(path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["yes"] * ROWS, "one class only, yes"), (["yes"] * (ROWS - 3) + ["no"] * 3, r"too few examples of no \(3\)")],
)
def test_classes_that_cannot_be_learned_stop_it(file, tmp_path, labels, said):
    source = read(file(people(churned=labels)))
    with pytest.raises(UserError, match=said):
        datasets.prepare(source, "", tmp_path / "data", tmp_path / "schema.toml")
    assert not (tmp_path / "data").exists() and not (tmp_path / "schema.toml").exists()


def test_a_column_that_is_the_target_in_disguise_is_pointed_out(file, tmp_path):
    frame = people()
    frame["code"] = np.where(frame.churned == "yes", 7, 9)
    made = datasets.prepare(read(file(frame)), "", tmp_path / "data", tmp_path / "schema.toml")
    (line,) = [line for line in made.report if line.startswith("code ")]
    assert "it alone tells the target" in line
    assert "it alone tells" not in "\n".join(line for line in made.report if not line.startswith("code "))


def test_rows_that_are_in_two_splits_are_counted(file, tmp_path):
    frame = pandas.concat([people()[["age", "city", "churned"]]] * 4)
    made = datasets.prepare(read(file(frame)), "", tmp_path / "data", tmp_path / "schema.toml")
    assert any("are in train too" in line for line in made.report)


# --- Splits -----------------------------------------------------------------------------------------------------------


def test_a_group_is_never_split(file, tmp_path):
    frame = people(family=np.repeat(np.arange(20), 3), age=np.repeat(np.arange(20) * 3.0, 3))
    source = read(file(frame), group="family")
    assert "family" not in [column.name for column in source.schema.used]
    splits = datasets.prepare(source, "", tmp_path / "data", tmp_path / "schema.toml").splits
    place = [column.name for column in source.schema.used].index("age")
    ages = [set(examples.inputs[:, place]) for examples in splits.values()]
    assert not (ages[0] & ages[1] or ages[0] & ages[2] or ages[1] & ages[2])


def test_later_rows_test_what_earlier_ones_taught(file, tmp_path):
    frame = people()
    frame["day"] = (pandas.to_datetime(frame.joined) - pandas.Timestamp("2024-01-01")).dt.days + 0.5
    source = read(file(frame), time="joined")
    splits = datasets.prepare(source, "", tmp_path / "data", tmp_path / "schema.toml").splits
    place = [column.name for column in source.schema.used].index("day")
    days = {name: examples.inputs[:, place] for name, examples in splits.items()}
    assert days["train"].max() < days["validation"].min() and days["validation"].max() < days["test"].min()
    assert len(days["test"]) == ROWS // 5
