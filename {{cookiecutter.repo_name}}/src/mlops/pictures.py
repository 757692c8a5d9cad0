"""Pictures drawn beside a model's answers."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CAPTION, SIDE = 28, 112  # pixels, on the sheet of answers


def sheet(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> Image.Image:
    """Draw pictures [height, width, channels] side by side, each with its caption below."""
    canvas = Image.new("RGB", (SIDE * len(pictures), SIDE + CAPTION), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=16)
    for column, (pixels, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
        canvas.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (column * SIDE, 0))
        draw.text((column * SIDE + SIDE / 2, SIDE + CAPTION / 2), caption, fill="black", font=font, anchor="mm")
    return canvas
