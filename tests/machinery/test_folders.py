"""Pictures in a folder for each class: any size, mode and format becomes one; what cannot be read is named."""

import shutil

import numpy as np
import pytest
from mlops import dataset as datasets
from mlops import schema as schemas
from mlops.errors import UserError
from mlops.images import Images
from mlops.sources import Request, folders
from PIL import Image

SIDE = 24


def picture(shade, size=(SIDE, SIDE), seed=0):
    noise = np.random.default_rng(seed).integers(0, 30, (*size[::-1], 3))
    return Image.fromarray((np.array(shade) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def pictures(tmp_path):
    """Twenty red and twenty blue pictures."""
    for name, shade in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            picture(shade, seed=number).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


def test_each_folder_is_a_class_and_the_pictures_own_size_is_kept(pictures):
    source = folders.read(pictures)
    assert source.inputs.shape == (40, SIDE, SIDE, 3) and source.inputs.dtype == np.uint8
    assert np.unique(source.labels, return_counts=True)[1].tolist() == [20, 20]
    assert source.inputs[source.labels == "red"][..., 0].mean() > 200
    assert "40 pictures as 24 by 24 pixels, color" in source.notes[0]


MODES = {
    "RGB": lambda image: image, "RGBA": lambda image: image.convert("RGBA"), "P": lambda image: image.convert("P"),
    "CMYK": lambda image: image.convert("CMYK"),
}  # fmt: skip
FORMATS = ((".png", ("RGB", "RGBA", "P")), (".jpg", ("RGB", "CMYK")), (".webp", ("RGB", "RGBA")), (".bmp", ("RGB",)))


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in FORMATS for mode in modes])
def test_every_mode_and_format_shows_the_same(tmp_path, suffix, mode):
    MODES[mode](picture((200, 20, 20))).save(tmp_path / f"x{suffix}")
    loaded = folders.load(tmp_path / f"x{suffix}", Images(SIDE, SIDE, 3)).astype(float)
    assert np.abs(loaded.mean((0, 1)) - np.asarray(picture((200, 20, 20))).mean((0, 1))).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_pictures_without_color_stay_gray(pictures, mode):
    for path in pictures.rglob("*.png"):
        gray = Image.open(path).convert("L")
        deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
        (deep if mode == "I;16" else gray.convert(mode)).save(path)
    source = folders.read(pictures)
    assert source.inputs.shape == (40, SIDE, SIDE, 1)
    assert source.inputs.max() > 20


def test_what_is_transparent_is_white(tmp_path):
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert folders.load(tmp_path / "x.png", Images(SIDE, SIDE, 1)).min() == 255


def test_a_turned_picture_is_set_upright(tmp_path):
    """Orientation 6 of EXIF: the camera was turned by a quarter."""
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (0, 0, 20, 20))  # its left half is white; turned clockwise, that is the upper half
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    loaded = folders.load(tmp_path / "x.jpg", Images(40, 20, 1))
    assert loaded[:15].mean() > 240 and loaded[25:].mean() < 15


def test_sizes_that_differ_become_one_which_keeps_the_sides_ratio(pictures):
    picture((200, 20, 20), (100, 50)).save(pictures / "red/wide.png")
    source = folders.read(pictures)
    assert source.inputs.shape[1:] == (folders.USUAL, folders.USUAL, 3)
    loaded = folders.load(pictures / "red/wide.png", Images(64, 64, 3))
    assert loaded[32].mean(0)[0] > 190, "the picture is in the middle, not stretched"


def test_train_and_test_folders_are_kept_apart(pictures):
    for name in ("red", "blue"):
        for part, numbers in (("train", range(14)), ("test", range(14, 20))):
            (pictures / part / name).mkdir(parents=True)
            for number in numbers:
                shutil.move(pictures / name / f"{number}.png", pictures / part / name)
        (pictures / name).rmdir()
    source = folders.read(pictures)
    assert len(source.inputs) == 28 and len(source.test_inputs) == 12
    assert folders.is_one(pictures)


def test_one_broken_picture_is_named_and_nothing_is_written(pictures, tmp_path):
    path = pictures / "red/3.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"red/3\.png cannot be read as a picture"):
        folders.read(pictures)


def test_a_folder_without_pictures_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="one folder for each class"):
        folders.read(tmp_path)


def test_the_schema_decides_the_size_of_later_pictures(team, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = Request(str(pictures))
    team.prepare(request, tmp_path / "data")
    text = schemas.FILE.read_text(encoding="utf-8")
    schemas.FILE.write_text(text.replace("= 24", "= 16"), encoding="utf-8")
    made = team.prepare(request, tmp_path / "data")
    assert made.splits["train"].inputs.shape[1:] == (16, 16, 3) == datasets.load(tmp_path / "data").schema.inputs.shape


def test_a_new_class_is_shown_and_nothing_is_overwritten(team, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    team.prepare(Request(str(pictures)), tmp_path / "data")
    before = (tmp_path / "data").read_bytes(), schemas.FILE.read_bytes()
    shutil.copytree(pictures / "red", pictures / "green")
    with pytest.raises(UserError, match=r"outputs\.classes: \['blue', 'green', 'red'\], not \['blue', 'red'\]"):
        team.prepare(Request(str(pictures)), tmp_path / "data")
    assert ((tmp_path / "data").read_bytes(), schemas.FILE.read_bytes()) == before
