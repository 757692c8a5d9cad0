"""Pictures and tables as people have them are asked about; whatever is wrong with a file is one sentence."""

import io
import os
import zlib

import numpy as np
import pandas
import pytest
from mlops import batch, client, drawings, pictures
from mlops import dataset as datasets
from mlops.columns import Column
from mlops.errors import Refused, UserError
from mlops.images import Images
from mlops.schema import Classes, Schema
from mlops.tables import Table
from pictures_of_people import PICTURES, enlarged, on_paper
from PIL import Image, PngImagePlugin

DAMAGED = int(os.environ.get("DAMAGED_FILES", "12"))  # of each format; by hand, hundreds


@pytest.fixture(scope="module")
def digits(data_file):
    return datasets.load(data_file, data_file.parents[2] / "schema.toml")


def alike(one, other):
    """The correlation of two pictures."""
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


# --- Pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path):
    """Asks about a picture in a file; gives its pixels, and what was done to it."""

    def ask(image, schema):
        image.save(tmp_path / "asked.png")
        return pictures.ask(tmp_path / "asked.png", schema)

    return ask


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_as_a_person_sees_it(digits, tmp_path, name):
    make, said = PICTURES[name]
    for digit in digits.splits["test"].inputs[:2]:
        make(digit[..., 0], tmp_path / name)
        pixels, done = pictures.ask(tmp_path / name, digits.schema.inputs)
        assert said in done
        assert alike(pixels, digit) > 0.7, done


def test_the_digits_are_known_as_drawings_and_stay_as_they_are(digits, asked):
    schema = digits.schema.inputs
    assert (schema.background, schema.drawing) == (0, 20)
    for digit in digits.splits["test"].inputs[:200]:
        assert np.array_equal(asked(Image.fromarray(digit[..., 0]), schema)[0], digit)


def test_where_the_training_is_black_on_white_the_asked_becomes_that(digits, asked):
    schema = drawings.infer(255 - digits.splits["train"].inputs)
    assert (schema.background, schema.drawing) == (255, 20)
    digit = digits.splits["test"].inputs[0]
    for image in (on_paper(digit[..., 0]), enlarged(digit[..., 0])):
        assert alike(asked(image, schema)[0], 255 - digit) > 0.7


def test_photographs_are_no_drawings(asked):
    random = np.random.default_rng(1)
    shades = random.integers(0, 255, (100, 1, 1, 1)) + random.normal(0, 60, (100, 24, 24, 1))
    gray = shades.clip(0, 255).astype(np.uint8)
    for inputs in (gray, gray.repeat(3, axis=3), np.zeros((100, 24, 24, 3), np.uint8)):
        assert drawings.infer(inputs).background is None
    assert asked(Image.fromarray(gray[0, ..., 0]), Images(24, 24)) == (pytest.approx(gray[0]), "taken as it is")


def test_an_empty_picture_is_said_to_be_one(digits, asked):
    assert "nothing stands out" in asked(Image.new("L", (300, 200), 200), digits.schema.inputs)[1]


# --- Files that are damaged, or meant to hurt -------------------------------------------------------------------------


def whole_files():
    """A file of each format, in several modes."""
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 12:16] = 255
    image = on_paper(digit, size=(60, 60), scale=2)
    ways = {
        "PNG": ("L", "RGBA", "P", "1"),
        "JPEG": ("L", "CMYK"),
        "GIF": ("P",),
        "BMP": ("RGB", "1"),
        "WEBP": ("RGBA",),
    }
    found = {}
    for kind, modes in ways.items():
        for mode in modes:
            image.convert(mode).save(buffer := io.BytesIO(), kind)
            found[f"{mode}.{kind.lower()}"] = buffer.getvalue()
    for compression in ("raw", "tiff_lzw", "jpeg", "packbits"):
        image.save(buffer := io.BytesIO(), "TIFF", compression=compression)
        found[f"{compression}.tiff"] = buffer.getvalue()
    frame = pandas.DataFrame({"age": np.arange(50.0), "city": ["Oslo", "Lima"] * 25})
    frame.to_parquet(buffer := io.BytesIO())
    text = frame.to_csv(index=False).encode()
    return found | {"table.parquet": buffer.getvalue(), "table.csv": text, "wide.csv": text.decode().encode("utf-16")}


PEOPLE = Schema(
    Table((Column("age", "number", low=0, high=99, missing=True), Column("city", "category", ("Oslo", "Lima")))),
    Classes(("no", "yes")),
)


@pytest.mark.parametrize("name", whole_files())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path, name, capfd):
    content, path = whole_files()[name], tmp_path / name
    schema = PEOPLE if name.startswith(("table", "wide")) else Schema(Images(28, 28, 1, 0, 255, 0, 20), Classes(("0",)))
    random = np.random.default_rng(zlib.crc32(name.encode()))
    refused = 0
    for number in range(DAMAGED):
        broken = bytearray(content)
        if number % 3 == 0:
            del broken[random.integers(1, len(broken)) :]
        elif number % 3 == 1:
            for at in random.integers(0, len(broken), random.integers(1, 20)):
                broken[at] = random.integers(256)
        else:
            at = random.integers(len(broken))
            broken[at:at] = random.bytes(random.integers(1, 200))
        path.write_bytes(broken)
        try:
            client.from_file(path, schema)
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 600
    assert refused, "no file was damaged enough to tell"


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (12_000, 12_000)).save(tmp_path / "large.png")
    with pytest.raises(UserError, match=r"it has 12000 x 12000 pixels, and at most 100,000,000 are read"):
        pictures.load(tmp_path / "large.png", Images(28, 28))


def test_a_comment_that_unpacks_to_megabytes_is_one_sentence(tmp_path):
    about = PngImagePlugin.PngInfo()
    about.add_text("comment", "x" * 3_000_000, zip=True)
    Image.new("L", (28, 28)).save(tmp_path / "x.png", pnginfo=about)
    with pytest.raises(UserError, match="cannot be read as a picture: Decompressed data too large"):
        pictures.load(tmp_path / "x.png", Images(28, 28))


# --- Rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.csv", "semicolons (1).csv", "rows.parquet"])
def test_rows_are_known_by_their_columns_in_any_order_and_the_label_is_none_of_them(tmp_path, name):
    frame = pandas.DataFrame({"label": ["yes", "no"], "city": ["Lima", "Oslo"], "id": ["a", "b"], "age": [37.5, None]})
    if name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_csv(
            tmp_path / name, index=False, **({"sep": ";", "decimal": ","} if ";" in name or "(" in name else {})
        )
    first, second = client.from_file(tmp_path / name, PEOPLE)
    assert (first.inputs.tolist(), first.label, second.label) == ([37.5, 1.0], "yes", "no")
    assert np.isnan(second.inputs[0])


WRONG = {
    '{"age": 1, "city": "Oslo", "town": "x"}': 'ROWS: there is no column "town"; there are: age, city',
    '{"age": "old", "city": "Oslo"}': 'row 1, column age: "old" is not a number',
    '[{"city": "Oslo"}, {"age": 3}]': "row 2, column city: the value is missing",
    '{"city"': "ROWS is not JSON",
    "[1, 2]": "ROWS is an object with values by column",
}


@pytest.mark.parametrize("text", WRONG)
def test_typed_rows_that_are_wrong_name_the_row_and_the_column(text):
    with pytest.raises(UserError) as refusal:
        client.typed(text, PEOPLE)
    assert WRONG[text] in str(refusal.value)


def test_pixels_of_another_scale_are_refused(digits):
    schema, sent = digits.schema.inputs, digits.splits["test"].inputs[:3].reshape(3, -1)
    for values in ((sent / 255).tolist(), (sent > 128).astype(int).tolist()):
        with pytest.raises(Refused, match="none of these is above 1: they are of another scale"):
            schema.read_json(values, "data.ndarray")
    assert schema.read_json((sent * 0).tolist(), "data.ndarray").shape == (3, 28, 28, 1), "a black picture is one"
    assert Images(28, 28, high=1).read_json((sent / 255).tolist(), "data.ndarray").max() == 1


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_asked_is_kept_with_the_reason(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('id,city,age\n"a\n1",Oslo,1\nb,Kyiv,2\nc,Lima,\nd,Lima,500\n', encoding="utf-8")
    header, parts = batch._table(path, PEOPLE)
    ((rows, share),) = parts
    assert header == ["id", "city", "age"] and share == 1
    assert [row.cells for row in rows] == [
        ["a\n1", "Oslo", "1"],
        ["b", "Kyiv", "2"],
        ["c", "Lima", ""],
        ["d", "Lima", "500"],
    ]
    assert [row.inputs is not None for row in rows] == [True, False, True, False]
    assert rows[1].error == 'column city: "Kyiv" is not one of its categories: Oslo, Lima'
