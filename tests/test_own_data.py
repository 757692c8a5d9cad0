"""A team's own data, from `make data` to answers and a green `make test`, with no file changed but schema.toml.

The names are as people have them: blanks, quotes, no Latin letters. It needs the environments that `make setup` makes.
"""

import os
import random
import subprocess

import pytest
from conftest import as_in_a_terminal
from releases import commit, git

ENVIRONMENTS = ("TEAM_VENV", "TEAM_SERVING_VENV")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(os.environ.get(name) for name in ENVIRONMENTS),
        reason=f"NOT CHECKED: {' and '.join(ENVIRONMENTS)} name no environments made by `make setup`",
    ),
]

PICTURES = """
import random, sys
from pathlib import Path
from PIL import Image

for number in range(90):
    name = ("sunny day", "Nacht", "rain's")[number % 3]
    red, green, blue = [(250, 200, 40), (10, 10, 60), (90, 110, 160)][number % 3]
    picture = Image.new("RGB", (random.randrange(30, 60), random.randrange(30, 60)), (red - number % 9, green, blue))
    folder = Path(sys.argv[1], name)
    folder.mkdir(parents=True, exist_ok=True)
    picture.putpixel((number % 30, number // 30), (number, 0, 0))
    picture.save(folder / f"a picture {number}.{('png', 'jpg', 'webp')[number % 3]}")
"""


def tables(number_of_rows=240):
    """Rows of a table whose target follows from the others, with gaps, and its header."""
    chance = random.Random(1)
    yield ["Länge (mm)", "it's", "größe, geschätzt", "Art", "price"]
    for _ in range(number_of_rows):
        length, kind = chance.gauss(50, 9), chance.choice(["tall one", '"quoted"', "café"])
        kind_matters = 30 * (kind == "café")
        price = 3 * length + kind_matters + chance.gauss(0, 3)
        name = "so-so" if price < 150 else "Größe 2"
        yield [
            f"{length:.2f}",
            kind,
            "" if chance.random() < 0.1 else f"{chance.gauss(0, 1):.3f}",
            name,
            f"{price:.2f}",
        ]


def written(path, columns, delimiter=",", decimal=".", encoding="utf-8"):
    """Write the named columns as people's programs do, quoting each cell."""
    rows = list(tables())
    places = [rows[0].index(name) for name in columns]
    quoted = ([row[place].replace('"', '""') for place in places] for row in rows)
    text = "\n".join(delimiter.join(f'"{cell.replace(".", decimal)}"' for cell in row) for row in quoted)
    path.write_text(text + "\n", encoding=encoding)
    return path


def classes(folder):
    return "table", [f"SOURCE={written(folder / 'my data.csv', list(next(tables()))[:4])}", "TARGET=Art"]


def number(folder):
    columns = ["Länge (mm)", "it's", "größe, geschätzt", "price"]
    return "table", [f"SOURCE={written(folder / 'preise.csv', columns, ';', ',', 'latin-1')}", "TARGET=price"]


def pictures(folder):
    python = f"{os.environ['TEAM_VENV']}/bin/python"
    subprocess.run([python, "-c", PICTURES, str(folder / "my pictures")], check=True, timeout=60)
    return "images", [f"SOURCE={folder / 'my pictures'}"]


@pytest.mark.parametrize("own", [classes, number, pictures])
def test_own_data_is_served_and_only_the_schema_has_changed(own, bake, tmp_path):
    example, arguments = own(tmp_path)
    repository = bake(example=example)
    environment = as_in_a_terminal() | {
        "VENV": os.environ["TEAM_VENV"],
        "SERVING_VENV": os.environ["TEAM_SERVING_VENV"],
    }

    def make(*words):
        done = subprocess.run(
            ["make", *words], cwd=repository, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (repository / "schema.toml").unlink(missing_ok=True)
    git(repository, "init", "--quiet", "-b", "main")
    commit(repository)
    make("data", *arguments)
    assert "answered by run" in make("pipeline")
    assert git(repository, "status", "--porcelain").split() == ["??", "schema.toml"]
    make("test")
