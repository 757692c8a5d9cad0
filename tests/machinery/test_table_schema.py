"""A table's schema: data that no longer fits is shown and refused, people overrule it, and requests are read by it."""

import numpy as np
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.columns import Column
from mlops.errors import Refused, UserError
from mlops.sources import Request, tables
from mlops.tables import Table
from sources_of_people import ROWS, people, read


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
