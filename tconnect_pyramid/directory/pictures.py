"""Pictures of accounts: checked, and drawn anew from their pixels, whoever they come from (protocol 6).

Nothing of a file that was received is kept but its pixels: no metadata, and nothing hidden behind the image.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from io import BytesIO

from PIL import Image, ImageOps
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.surroundings import Surroundings
from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.models import Picture
from tconnect_pyramid.texts import text as _

SIZES: Mapping[str, int] = {"f1": 100, "f2": 35, "f3": 512}
"""The files of a picture and how many pixels each is wide and high."""
FORMATS: Mapping[str, str] = {"png": "PNG", "jpg": "JPEG"}
NAMES = tuple(f"{name}.{ending}" for name in SIZES for ending in FORMATS)
UPLOADED = ("PNG", "JPEG", "WEBP", "GIF")

MOST_RECEIVED = 2_000_000
"""Bytes of one file from a peer: twice what the pixels of the largest one take."""
MOST_UPLOADED = 20_000_000
"""Bytes of an image that somebody gives us."""
MOST_PIXELS = 30_000_000
"""Of an image that somebody gives us: 120 MB of memory while it is made smaller."""
QUALITY = 90
MOST_SCANS = 100
"""In which a JPEG may draw itself. Programs write about ten; each takes as long as the whole image, and a few bytes."""

_SCAN = b"\xff\xda"

# What Pillow raises on bytes that are no sound image; a warning of it too, where warnings are errors.
_UNSOUND = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


class PictureProblem(InvalidInput):
    """An image cannot be taken; the text says which and why."""

    def __init__(self, message: str) -> None:
        super().__init__("picture", message)


def received(files: Mapping[str, str]) -> dict[str, bytes]:
    """The files of a picture as a peer sent them, base64 by file name, checked and drawn anew.

    A `.png` must be a PNG and a `.jpg` a JPEG; each is square, and no larger than its name says. Raises
    PictureProblem: a picture is taken whole or not at all.
    """
    stems = [name.partition(".")[0] for name in files]
    if len(set(stems)) < len(stems):
        raise PictureProblem(_("The picture has one of its sizes twice, as .png and as .jpg."))
    return {name: _redrawn(name, text) for name, text in files.items()}


def made_from(image: bytes) -> dict[str, bytes]:
    """The three files of a picture from an image (PNG, JPEG, WebP or GIF), cut to its middle square.

    A JPEG becomes JPEGs, all else PNGs. Raises PictureProblem.
    """
    if len(image) > MOST_UPLOADED:
        raise PictureProblem(
            _(
                "The image has ${length} bytes; at most ${most} are possible. Make it smaller.",
                length=len(image),
                most=MOST_UPLOADED,
            )
        )
    _check_scans(image)
    try:
        with Image.open(BytesIO(image), formats=UPLOADED) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise PictureProblem(
                    _(
                        "The image has ${width} by ${height} pixels, more than ${most}. Make it smaller.",
                        width=opened.width,
                        height=opened.height,
                        most=MOST_PIXELS,
                    )
                )
            # A large photograph is read at a fraction of its size: quicker, and in less memory.
            opened.draft("RGB", (2 * SIZES["f3"], 2 * SIZES["f3"]))
            ending = "jpg" if opened.format in {"JPEG", "MPO"} else "png"
            turned = ImageOps.exif_transpose(_pixels(opened, FORMATS[ending]))
            return {
                f"{name}.{ending}": _written(
                    ImageOps.fit(turned, (size, size), Image.Resampling.LANCZOS), FORMATS[ending]
                )
                for name, size in SIZES.items()
            }
    except _UNSOUND:
        raise PictureProblem(
            _("The file is no sound image. Give a PNG, JPEG, WebP or GIF that other programs can show.")
        ) from None


def put(session: Session, around: Surroundings, key: int, files: Mapping[str, bytes], number: int) -> None:
    """Give an account a picture instead of the one it has; `number` tells it from all earlier ones.

    A table that keeps no number gets no picture, as nobody could tell an old one from a new one.
    """
    remove(session, around, key)
    if around.accounts.columns.keeps("picture") and files:
        session.execute(
            insert(Picture),
            [{"account_key": key, "name": name, "content": content} for name, content in files.items()],
        )
        around.accounts.update(session, {key: {"picture": number}})


def remove(session: Session, around: Surroundings, key: int) -> None:
    """Take an account's picture away."""
    session.execute(delete(Picture).where(Picture.account_key == key))
    around.accounts.update(session, {key: {"picture": 0}})


def files_of(session: Session, keys: Iterable[int]) -> dict[int, dict[str, bytes]]:
    """The files of accounts' pictures by name; who has none is left out."""
    found: dict[int, dict[str, bytes]] = defaultdict(dict)
    for some in in_batches(keys):
        for key, name, content in session.execute(
            select(Picture.account_key, Picture.name, Picture.content)
            .where(Picture.account_key.in_(some))
            .order_by(Picture.account_key, Picture.name)
        ):
            found[key][name] = content
    return dict(found)


def names_of(session: Session, keys: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """The names of the files of accounts' pictures, in order; who has none is left out."""
    found: dict[int, list[str]] = defaultdict(list)
    for some in in_batches(keys):
        for key, name in session.execute(
            select(Picture.account_key, Picture.name)
            .where(Picture.account_key.in_(some))
            .order_by(Picture.account_key, Picture.name)
        ):
            found[key].append(name)
    return {key: tuple(names) for key, names in found.items()}


def _redrawn(name: str, text: str) -> bytes:
    if name not in NAMES:
        raise PictureProblem(
            _(
                "${name} is no file of a picture; these are ${names}.",
                name=repr(name[:40]),
                names=", ".join(NAMES),
            )
        )
    stem, ending = name.split(".")
    # Four letters of base64 stand for three bytes.
    if len(text) > MOST_RECEIVED // 3 * 4:
        raise PictureProblem(_("${name} has more than ${most} bytes.", name=name, most=MOST_RECEIVED))
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PictureProblem(_("${name} is not written in base64.", name=name)) from None
    _check_scans(content)
    size = SIZES[stem]
    try:
        with Image.open(BytesIO(content), formats=(FORMATS[ending],)) as opened:
            if opened.width != opened.height or opened.width > size:
                raise PictureProblem(
                    _(
                        "${name} has ${width} by ${height} pixels; expected a square of at most ${size}.",
                        name=name,
                        width=opened.width,
                        height=opened.height,
                        size=size,
                    )
                )
            return _written(_pixels(opened, FORMATS[ending]), FORMATS[ending])
    except _UNSOUND:
        raise PictureProblem(
            _("${name} is no sound ${format} image.", name=name, format=FORMATS[ending])
        ) from None


def _check_scans(image: bytes) -> None:
    # In the data of a JPEG these two bytes stand for nothing else.
    if image.startswith(b"\xff\xd8") and image.count(_SCAN) > MOST_SCANS:
        raise PictureProblem(
            _(
                "The image draws itself more than ${most} times. Save it as an ordinary JPEG.",
                most=MOST_SCANS,
            )
        )


def _pixels(opened: Image.Image, written_as: str) -> Image.Image:
    """All pixels of an image's first frame, in a form that the format takes."""
    opened.load()
    seen_through = written_as == "PNG" and opened.has_transparency_data
    return opened.convert("RGBA" if seen_through else "RGB")


def _written(image: Image.Image, written_as: str) -> bytes:
    """A file of nothing but the pixels: a new image has none of the notes of the one that was read."""
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    out = BytesIO()
    bare.save(out, written_as, quality=QUALITY) if written_as == "JPEG" else bare.save(out, written_as)
    return out.getvalue()
