"""The page: a script that Streamlit runs again after each change. Arguments: the URL of the server, and the bundle."""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from mlops import client, pictures
from mlops import schema as schemas
from mlops.columns import CATEGORY, Column
from mlops.errors import Refused, UserError
from mlops.schema import Images, Schema, Table
from mlops.serving.bundle_files import read_metadata

ACROSS = 3  # fields of a form side by side; on a phone one below the other
LONGEST = 280  # pixels of the canvas' longer side
PEN = 20  # pixels
DRAW, UPLOAD = "Draw", "Upload"


def show(url: str, bundle: Path) -> None:
    """Show the page for a bundle that is served at `url`."""
    metadata = read_metadata(bundle)
    if metadata is None:
        st.error("The bundle is gone or damaged. Make it again with: make package")
        return
    schema = schemas.from_dict(metadata["schema"], str(bundle))
    st.set_page_config(page_title=metadata["name"])
    st.title(plain(metadata["name"]))
    means = {name: found["mean"] for name, found in metadata["training_inputs"]["statistics"].items()}
    try:
        question = picture(schema) if isinstance(schema.inputs, Images) else row(schema.inputs, means)
        if question:
            answer(client.ask(url, [question], schema)[0], question, schema)
    except (UserError, Refused) as error:
        st.error(plain(str(error)))


def picture(schema: Schema) -> client.Question | None:
    """Let a person draw a picture or upload one; return it once there is one."""
    assert isinstance(schema.inputs, Images)
    content: bytes | None
    if st.radio("A picture", [DRAW, UPLOAD], horizontal=True, label_visibility="collapsed") == DRAW:
        name, content = "drawing.png", drawing(schema.inputs)
    else:
        chosen = st.file_uploader("A picture in a file", [suffix[1:] for suffix in pictures.SUFFIXES])
        name, content = (Path(chosen.name).name, chosen.getvalue()) if chosen else ("", None)
    if not content:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return client.picture(path, schema)
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from None


def drawing(images: Images) -> bytes | None:
    """Show a canvas with the background of the training drawings, else white; return the drawing as PNG, or None."""
    from streamlit_drawable_canvas import st_canvas

    dark = images.background is not None and images.background < (images.low + images.high) / 2
    scale = LONGEST / max(images.height, images.width)
    drawn = st_canvas(
        stroke_width=PEN, stroke_color="white" if dark else "black", background_color="black" if dark else "white",
        height=round(images.height * scale), width=round(images.width * scale), return_image_data=True, key="canvas",
    )  # fmt: skip
    return drawn.image_bytes if drawn.json_data and drawn.json_data.get("objects") else None


def row(table: Table, means: dict[str, float]) -> client.Question | None:
    """Show a form with a field for each column; return its row once it is sent."""
    values: dict[str, Any] = {}
    with st.form("row"):
        for first in range(0, len(table.used), ACROSS):
            for box, column in zip(st.columns(ACROSS), table.used[first : first + ACROSS], strict=False):
                with box:
                    values[column.name] = field(column, means.get(column.name, 0.0))
        sent = st.form_submit_button("Ask the model")
    return client.Question("form", table.encode({name: [value] for name, value in values.items()})[0]) if sent else None


def field(column: Column, mean: float) -> float | str | None:
    """Show a column's field, at first empty where a value may be missing, else at the training's mean."""
    if column.kind == CATEGORY:
        start = None if column.missing else 0
        return st.selectbox(plain(column.name), column.categories, start, placeholder="missing", key=column.name)
    low, high = column.low, column.high
    step, rule = 1.0, None
    if low is not None and high is not None:
        step, rule = float(f"{(high - low) / 100:.1g}") or 1.0, f"{low:g} to {high:g}"
    return st.number_input(
        plain(column.name), low, high, None if column.missing else float(f"{mean:.4g}"),
        step=step, format="%g", placeholder="missing", help=rule, key=column.name,
    )  # fmt: skip


def answer(found: client.Answer, question: client.Question, schema: Schema) -> None:
    """Show the answer, how sure it is, and of a picture what the model was given."""
    st.header(f"Answer: {plain(found.answer)}")
    sure = "" if found.probability is None else f"probability {found.probability:.1%}, "
    st.caption(plain(f"{sure}run {found.run}"))
    if isinstance(schema.inputs, Images):
        st.image(question.inputs.squeeze(), f"What the model was given: {plain(question.done)}", width=LONGEST // 2)


def plain(text: str) -> str:
    """Return text that Streamlit shows as it is, though it reads Markdown."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


show(sys.argv[1], Path(sys.argv[2]))
