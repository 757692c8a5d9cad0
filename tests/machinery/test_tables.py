"""Tables: CSV and Parquet are read as people write them, columns get the right kind, and what is wrong is named."""

import datetime

import numpy as np
import pandas
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.columns import Column
from mlops.dataset import Request
from mlops.errors import Refused, UserError
from mlops.sources import tables
from mlops.tables import Table

ROWS = 60


def people(**changed) -> pandas.DataFrame:
    """Sixty people: numbers, categories, gaps, and columns that cannot help."""
    random = np.random.default_rng(1)
    frame = pandas.DataFrame(
        {
            "id": range(100, 100 + ROWS),
            "name": [f"person {number}" for number in range(ROWS)],
            "joined": [
                str(datetime.date(2024, 1, 1) + datetime.timedelta(days=int(day))) for day in random.permutation(ROWS)
            ],
            "country": "SG",
            "age": random.integers(18, 90, ROWS).astype(float),
            "city": random.choice(["Oslo", "Lima", "Pune"], ROWS),
            "zip": random.choice(["01234", "12345"], ROWS),
            "churned": random.choice(["yes", "no"], ROWS),
        }
    )
    frame.loc[[3, 8], "age"] = None
    frame.loc[5, "city"] = None
    return frame.assign(**changed)


def read(path, **given):
    return tables.read(path, Request(str(path), **({"target": "churned"} | given)))


@pytest.fixture
def file(tmp_path):
    """Write a table as CSV, in the dialect that is given, and read it."""

    def write(frame=None, name="people.csv", **how):
        path = tmp_path / name
        if isinstance(frame, bytes):
            path.write_bytes(frame)
        else:
            (people() if frame is None else frame).to_csv(path, index=False, **how)
        return path

    return write


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


# --- The schema -------------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(file, tmp_path):
    """Data that was prepared once; gives a function that prepares a table again."""

    def again(frame=None, **given):
        return datasets.prepare(read(file(frame), **given), "", tmp_path / "data", tmp_path / "schema.toml")

    again()
    return again


CHANGES = {
    "a new category": (lambda frame: frame.replace({"city": {"Oslo": "Kyiv"}}), '"Kyiv" is not one of its categories'),
    "a missing column": (lambda frame: frame.drop(columns="city"), "the column city is missing"),
    "a new column": (lambda frame: frame.assign(height=np.linspace(150, 200, ROWS)), "the column height is new"),
    "a gap where there was none": (
        lambda frame: frame.assign(zip=[None, *frame.zip[1:]]),
        "column zip: the value is missing",
    ),
    "a value far out of range": (lambda frame: frame.assign(age=[5000.0, *frame.age[1:]]), "5000 is out of range"),
    "text among numbers": (lambda frame: frame.assign(age=frame.churned + "?"), "column age"),
    "a new class": (lambda frame: frame.assign(churned=np.resize(["yes", "no", "maybe"], ROWS)), "maybe"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_data_that_no_longer_fits_shows_the_difference_and_writes_nothing(prepared, tmp_path, what):
    before = {name: (tmp_path / name).read_bytes() for name in ("data", "schema.toml")}
    change, said = CHANGES[what]
    with pytest.raises(UserError) as refusal:
        prepared(change(people()))
    assert said in str(refusal.value), str(refusal.value)
    assert "None" not in str(refusal.value), str(refusal.value)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_value_just_beyond_what_was_seen_fits(prepared):
    prepared(people(age=[17.0, 91.0, *people().age[2:]]))


def test_people_overrule_the_schema_and_their_comments_stay(prepared, tmp_path):
    path = tmp_path / "schema.toml"
    text = path.read_text(encoding="utf-8")
    text = text.replace('name = "age"\nkind = "number"', '# decades, really\nname = "age"\nkind = "category"')
    edited = "\n".join(line for line in text.splitlines() if not line.startswith(("low", "high", "seen"))) + "\n"
    edited = edited.replace('name = "id"\nkind = "number"\nuse = false', 'name = "id"\nkind = "number"')
    path.write_text(edited, encoding="utf-8")
    used = {column.name: column for column in prepared().schema.inputs.used}
    assert used["age"].kind == "category" and len(used["age"].categories) > 5, "its categories are filled in"
    assert used["id"].low is not None, "a column that was put back gets its range"
    assert "# decades, really" in path.read_text(encoding="utf-8")
    assert schemas.read(path) == prepared().schema


def test_the_source_and_how_it_was_read_are_recorded(file, tmp_path):
    path = file()
    request = Request(str(path), target="churned", group="joined")
    datasets.prepare(tables.read(path, request), "", tmp_path / "data", tmp_path / "schema.toml", request)
    assert schemas.read_source(tmp_path / "schema.toml") == {
        "source": str(path),
        "target": "churned",
        "group": "joined",
    }


def test_a_schema_survives_being_written_and_read(prepared, tmp_path):
    known = schemas.read(tmp_path / "schema.toml")
    assert schemas.from_dict(known.as_dict(), "") == known
    assert known.differences(known) == []


# --- Requests ---------------------------------------------------------------------------------------------------------

TABLE = Table((
    Column("age", "number", low=0, high=120), Column("city", "category", ("Lima", "Oslo", "7", "true"), missing=True),
    Column("left", "number", use=False),
))  # fmt: skip


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([[30, "Oslo"]], None, [[30, 1]]),
        ([["Oslo", 30]], ["city", "age"], [[30, 1]]),
        ([{"city": "Lima", "age": 1.5}], None, [[1.5, 0]]),
        ({"age": 3}, None, [[3, np.nan]]),
        ([{"age": 3, "left": 9, "city": None}], None, [[3, np.nan]]),
        ([[30, 7], [30, 7.0], [30, True], [30, ""], [30, "NA"], [30, " Oslo "]], None,
         [[30, 2], [30, 2], [30, 3], [30, np.nan], [30, np.nan], [30, 1]]),
    ],
)  # fmt: skip
def test_rows_of_a_request_are_read_by_name_or_by_place(values, names, expected):
    assert np.array_equal(TABLE.read_json(values, "data.ndarray", names), np.float32(expected), equal_nan=True)


@pytest.mark.parametrize(
    ("values", "names", "said"),
    [
        ([], None, "must be a list of rows"),
        ("x", None, "must be a list of rows"),
        ([[30]], None, "row 1 has 1 values, not 2"),
        ([[30, "Oslo"], 7], None, "row 2 has 7"),
        ([[30, "Oslo"], [30, "Rome"]], None, 'row 2, column city: "Rome" is not one of its categories: Lima, Oslo'),
        ([[130, "Oslo"]], None, "row 1, column age: 130 is out of range; its values are from 0 to 120"),
        ([["30", "Oslo"]], None, 'row 1, column age: "30" is not a number'),
        ([[True, "Oslo"]], None, "row 1, column age: true is not a number"),
        ([[1e999, "Oslo"]], None, "out of range"),
        ([[10**400, "Oslo"]], None, "out of range"),
        ([[None, "Oslo"]], None, "row 1, column age: the value is missing"),
        ([{"city": "Oslo"}], None, "column age: the value is missing"),
        ([{"age": 3, "town": "Oslo"}], None, 'there is no column "town"; there are: age, city, left'),
        ([[30, "Oslo"]], ["age", "age"], "a column is there twice"),
        ([[30, ["Oslo"]]], None, 'column city'),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_refused_by_row_column_and_rule(values, names, said):
    with pytest.raises(Refused) as refusal:
        TABLE.read_json(values, "data.ndarray", names)
    assert said in str(refusal.value), str(refusal.value)


def test_training_and_serving_give_a_value_the_same_code(prepared, tmp_path):
    made = prepared()
    schema, examples = made.schema.inputs, made.splits["test"].inputs
    sent = [schema.as_request(example) for example in examples]
    assert np.array_equal(schema.read_json(sent, ""), examples, equal_nan=True)


def test_drift_is_told_by_column_and_by_category(prepared):
    made = prepared()
    names = list(made.schema.inputs.statistics)
    assert {"age", "age missing", "city=Oslo", "city missing", "zip=01234"} <= set(names)
    found = made.schema.inputs.describe(made.splits["train"].inputs)
    assert found.shape == (len(made.splits["train"]), len(names)) and np.isfinite(found).all()
