"""Tables and idx files as people have them, to make data of."""

import datetime
import gzip
import struct

import numpy as np
import pandas
from mlops.sources import Request, tables

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


def write_idx(path, values):
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
