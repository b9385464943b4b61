"""Pictures for sample people, drawn from their names: the same one each time, and none that has to be kept."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

SIDE = 512
# Each is dark enough for white letters.
_COLOURS = ("#7b3f61", "#2f5d8a", "#3d6b4f", "#8a5a2b", "#5b4b8a", "#a13d3d", "#2c6e75", "#6b6b2f")


def portrait(username: str, number: int) -> bytes:
    """A PNG with the first letter of the user name, in the colours of `number`."""
    back = _COLOURS[number % len(_COLOURS)]
    front = _COLOURS[(number + 3) % len(_COLOURS)]
    image = Image.new("RGB", (SIDE, SIDE), back)
    draw = ImageDraw.Draw(image)
    draw.ellipse((SIDE // 8, SIDE // 8, SIDE - SIDE // 8, SIDE - SIDE // 8), fill=front)
    middle = (SIDE / 2, SIDE / 2)
    draw.text(middle, username[:1].upper(), "white", ImageFont.load_default(SIDE // 2), anchor="mm")
    written = BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
