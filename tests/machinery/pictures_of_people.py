"""Pictures of a digit as people have them, each made of a test digit: uint8 [28, 28], white ink on black."""

import numpy as np
from PIL import Image, ImageFilter


def enlarged(digit, size=(400, 400), scale=8):
    """Smooth white ink on black."""
    ink = Image.fromarray(digit).resize((28 * scale,) * 2, Image.Resampling.BICUBIC)
    ink = ink.filter(ImageFilter.GaussianBlur(scale / 3)).point(lambda value: max(0, min(255, int((value - 90) * 3))))
    canvas = Image.new("L", size, 0)
    canvas.paste(ink, ((size[0] - ink.width) // 2, (size[1] - ink.height) // 2))
    return canvas


def on_paper(digit, paper=255, ink=0, size=(400, 400), scale=8):
    share = np.asarray(enlarged(digit, size, scale)) / 255
    return Image.fromarray((paper + (ink - paper) * share).astype(np.uint8))


def in_light_from_one_side(digit, strength):
    """A photograph of paper: it is darker in one corner, and noisy."""
    values = np.asarray(on_paper(digit, 190, 45, (900, 700), 15)).astype(float)
    row, column = np.mgrid[-1 : 1 : values.shape[0] * 1j, -1 : 1 : values.shape[1] * 1j]
    noise = np.random.default_rng(0).normal(0, 6, values.shape)
    return (values * (1 + strength * (0.6 * column + 0.4 * row)) + noise).clip(0, 255).astype(np.uint8)


def phone_photo(digit, path):
    gray = in_light_from_one_side(digit, 0.18)
    image = Image.fromarray(np.stack([gray, (gray * 0.97).astype(np.uint8), (gray * 0.88).astype(np.uint8)], -1))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=85)


def transparent(digit, path):
    pixels = np.zeros((400, 400, 4), np.uint8)
    pixels[..., 3] = np.asarray(enlarged(digit))
    Image.fromarray(pixels).save(path)


def framed(digit, path, inset=0, width=5):
    pixels = np.array(on_paper(digit))
    inside = pixels[inset : 400 - inset, inset : 400 - inset]
    inside[:width] = inside[-width:] = inside[:, :width] = inside[:, -width:] = 0
    Image.fromarray(pixels).save(path)


def white_frame(digit, path):
    pixels = digit.copy()
    pixels[[0, -1]] = pixels[:, [0, -1]] = 255
    Image.fromarray(pixels).save(path)


def in_a_corner(digit, path):
    canvas = Image.new("L", (800, 600), 255)
    canvas.paste(on_paper(digit, size=(224, 224)), (60, 40))
    canvas.save(path)


def blue_pen(digit, path):
    share = np.asarray(enlarged(digit))[..., None] / 255
    paper, pen = np.array([250, 248, 240]), np.array([30, 50, 160])
    Image.fromarray((paper + (pen - paper) * share).astype(np.uint8)).save(path, quality=90)


# What it is called, how it is made, and what must be said of it
PICTURES = {
    "phone photo (rotated).jpg": (phone_photo, "turned upright, made gray, inverted"),
    "in a shadow.jpg": (lambda d, p: Image.fromarray(in_light_from_one_side(d, 0.4)).save(p, quality=80), "inverted"),
    "on a transparent canvas.png": (transparent, "put on white, made gray, inverted"),
    "gray and alpha.png": (lambda d, p: on_paper(d).convert("LA").save(p), "put on white, made gray, inverted"),
    "palette.gif": (lambda d, p: on_paper(d).convert("P").save(p), "inverted"),
    "two frames.gif": (
        lambda d, p: on_paper(d).save(p, save_all=True, append_images=[on_paper(d, 0, 255)]),
        "the first of 2 frames",
    ),
    "sixteen bit.png": (lambda d, p: Image.fromarray(np.asarray(enlarged(d)).astype(np.uint16) * 257).save(p), "8-bit"),
    "real values.tif": (lambda d, p: Image.fromarray(np.asarray(enlarged(d)) / np.float32(255)).save(p), "8-bit"),
    "one bit.png": (lambda d, p: on_paper(d).convert("1").save(p), "inverted"),
    "inks for print.jpg": (lambda d, p: on_paper(d).convert("RGB").convert("CMYK").save(p), "made gray, inverted"),
    "scan.tiff": (lambda d, p: on_paper(d, 245, 30, (800, 1200), 18).save(p, compression="tiff_lzw"), "inverted"),
    "grey paper.jpg": (lambda d, p: on_paper(d, 110, 20).save(p, quality=85), "inverted"),
    "blue pen.jpg": (blue_pen, "made gray, inverted"),
    "frame.png": (framed, "its frame cut off, inverted"),
    "frame inside.png": (lambda d, p: framed(d, p, inset=12), "its frame cut off, inverted"),
    "white frame, 28 by 28.png": (white_frame, "its frame cut off"),
    "black on white, 28 by 28.png": (lambda d, p: Image.fromarray(255 - d).save(p), "inverted"),
    "Screenshot at 10.31 [1] (2).png": (lambda d, p: on_paper(d).convert("RGB").save(p), "made gray, inverted"),
    "small in a corner.png": (in_a_corner, "its drawing made 20 pixels and centered"),
    "-wide $HOME it's.webp": (lambda d, p: on_paper(d, size=(900, 300)).save(p), "inverted"),
    "white on black.bmp": (lambda d, p: enlarged(d).save(p), "its drawing made 20 pixels and centered"),
    "as the training's.png": (lambda d, p: Image.fromarray(d).save(p), "taken as it is"),
}
