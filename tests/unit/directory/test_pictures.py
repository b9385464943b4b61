from __future__ import annotations

import base64
import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from sqlalchemy import select
from support import sites

from tconnect_pyramid import people
from tconnect_pyramid.directory import pictures
from tconnect_pyramid.directory.pictures import PictureProblem
from tconnect_pyramid.models import Account, Picture

WIRE = Path(__file__).parents[2] / "data" / "wire"


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


def image(size=(100, 100), mode="RGB", colour="teal"):
    return Image.new(mode, size, colour)


def written(what, kind="PNG", **options):
    out = BytesIO()
    what.save(out, kind, **options)
    return out.getvalue()


def text(content):
    return base64.b64encode(content).decode()


def opened(content):
    with Image.open(BytesIO(content)) as found:
        found.load()
        return found


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b"", *more):
    """A PNG whose head says what it likes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_the_pictures_of_a_totara_are_taken():
    reply = json.loads((WIRE / "get_user.json").read_text())["response"]["data"]["user"]["pictures"]

    files = pictures.received(reply)

    assert {name: opened(content).size for name, content in files.items()} == {
        "f1.png": (100, 100),
        "f2.png": (35, 35),
        "f3.png": (512, 512),
    }
    for name, content in files.items():
        sent = opened(base64.b64decode(reply[name])).convert("RGBA")
        assert opened(content).convert("RGBA").tobytes() == sent.tobytes()


@pytest.mark.parametrize(
    ("name", "kind", "mode", "kept"),
    [
        ("f1.png", "PNG", "RGB", "RGB"),
        ("f1.png", "PNG", "RGBA", "RGBA"),
        ("f1.png", "PNG", "P", "RGB"),
        ("f1.png", "PNG", "LA", "RGBA"),
        ("f1.png", "PNG", "1", "RGB"),
        ("f1.jpg", "JPEG", "RGB", "RGB"),
        ("f1.jpg", "JPEG", "L", "RGB"),
        ("f1.jpg", "JPEG", "CMYK", "RGB"),
    ],
)
def test_each_file_keeps_its_format_and_gets_the_plainest_form(name, kind, mode, kept):
    sent = written(image().convert(mode), kind)

    content = pictures.received({name: text(sent)})[name]

    assert (opened(content).format, opened(content).mode) == (kind, kept)
    assert pictures.received({name: text(sent)})[name] == content


def test_only_pixels_are_kept():
    exif = Image.Exif()
    exif[0x010E] = "SECRET PLACE"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "SECRET NOTE")
    notes.add_itxt("XML:com.adobe.xmp", "SECRET XMP")
    profile = b"SECRET PROFILE" * 20
    script = b"<?php echo 'SECRET'; ?>"
    sent = {
        "f1.png": written(image(), pnginfo=notes, exif=exif, icc_profile=profile) + script,
        "f3.jpg": written(image((512, 512)), "JPEG", exif=exif, comment="SECRET", icc_profile=profile)
        + script,
    }
    for content in sent.values():
        assert b"SECRET" in content

    for name, content in pictures.received({name: text(content) for name, content in sent.items()}).items():
        assert b"SECRET" not in content
        assert b"php" not in content
        assert not opened(content).getexif()
        assert set(opened(content).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}, name


def test_of_a_moving_png_the_first_picture_is_kept():
    frames = [image(colour=colour) for colour in ("red", "blue", "green")]
    sent = written(frames[0], save_all=True, append_images=frames[1:], duration=100)
    assert opened(sent).n_frames == 3

    found = opened(pictures.received({"f1.png": text(sent)})["f1.png"])

    assert getattr(found, "n_frames", 1) == 1
    assert found.getpixel((50, 50)) == (255, 0, 0)


PNG = written(image())
JPEG = written(image(), "JPEG")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("f1.png", b"", id="nothing"),
        pytest.param("f1.png", b"<?php system($_GET['c']); ?>", id="a script"),
        pytest.param("f1.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", id="svg"),
        pytest.param("f1.png", b"\x89PNG\r\n\x1a\n<?php ?>", id="a script after a png's mark"),
        pytest.param("f1.png", written(image(), "GIF"), id="gif as png"),
        pytest.param("f1.jpg", written(image(), "GIF"), id="gif as jpg"),
        pytest.param("f1.png", written(image(), "WEBP"), id="webp"),
        pytest.param("f1.png", written(image(), "TIFF"), id="tiff"),
        pytest.param("f1.png", written(image(), "BMP"), id="bmp"),
        pytest.param("f1.png", JPEG, id="jpeg as png"),
        pytest.param("f1.jpg", PNG, id="png as jpg"),
        pytest.param("f1.png", PNG[:-30], id="png cut short"),
        pytest.param("f1.png", PNG[:60], id="png without pixels"),
        pytest.param("f1.jpg", JPEG[: len(JPEG) // 2], id="jpeg cut short"),
        pytest.param("f1.jpg", JPEG[:20], id="jpeg without pixels"),
        pytest.param("f1.png", PNG.replace(b"IDAT", b"IDAX"), id="no pixels at all"),
        pytest.param("f1.png", png(100, 100, b"\0" * 10), id="too few pixels"),
        pytest.param("f1.png", png(0, 0), id="no size"),
        pytest.param("f1.png", png(101, 101, b"\0" * 101 * 304), id="larger than its name says"),
        pytest.param("f2.png", PNG, id="larger than its name says"),
        pytest.param("f1.png", written(image((100, 35))), id="not square"),
        pytest.param("f1.png", png(10_000, 10_000), id="a hundred million pixels"),
        pytest.param("f1.png", png(100_000, 100_000), id="ten thousand million pixels"),
        pytest.param("f3.png", png(2**31 - 1, 2**31 - 1), id="as many pixels as can be said"),
        pytest.param(
            "f1.png",
            png(100, 100, b"", chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 80_000_000))),
            id="a note of 80 MB",
        ),
        pytest.param(
            "f1.png",
            png(100, 100, b"", chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 80_000_000))),
            id="a profile of 80 MB",
        ),
    ],
)
def test_what_is_no_picture_is_refused(name, content):
    with pytest.raises(PictureProblem, match=f"^{name}") as refused:
        pictures.received({name: text(content)})
    assert refused.value.field == "picture"
    assert len(str(refused.value)) < 120


def test_a_picture_that_holds_far_more_than_its_size_is_read_no_further():
    """The pixels of a hundred by a hundred, and then 200 MB of zeros: 200 kB as they are sent."""
    content = png(100, 100, b"\0" * 200_000_000)

    found = pictures.received({"f1.png": text(content)})["f1.png"]

    assert opened(found).size == (100, 100)
    assert len(found) < 1000


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"f1.png": "!!!!"}, "base64"),
        ({"f1.png": text(PNG) + "\n"}, "base64"),
        ({"f1.png": text(PNG)[:-1]}, "base64"),
        ({"f1.png": "é" * 8}, "base64"),
        ({"f1.png": "A" * 2_700_000}, "more than 2000000 bytes"),
        ({"f4.png": text(PNG)}, "no file of a picture"),
        ({"../f1.png": text(PNG)}, "no file of a picture"),
        ({"f1.png": text(PNG), "f1.jpg": text(JPEG)}, "twice"),
        ({"f1.png": text(PNG), "f2.png": "!!!!"}, "^f2.png"),
    ],
)
def test_a_picture_is_taken_whole_or_not_at_all(files, words):
    with pytest.raises(PictureProblem, match=words):
        pictures.received(files)


def test_no_picture_is_no_picture():
    assert pictures.received({}) == {}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_sent_is_a_picture_or_refused(data):
    name, sound = data.draw(st.sampled_from([("f1.png", PNG), ("f1.jpg", JPEG)]))
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = pictures.received({name: text(bytes(content[: data.draw(st.integers(1, len(content)))]))})
    except PictureProblem:
        return
    assert opened(found[name]).width <= 100


@pytest.mark.parametrize(
    ("kind", "ending"), [("PNG", "png"), ("GIF", "png"), ("WEBP", "png"), ("JPEG", "jpg")]
)
def test_a_picture_is_made_from_an_image_in_three_sizes(kind, ending):
    files = pictures.made_from(written(image((300, 200)), kind))

    assert {name: opened(content).size for name, content in files.items()} == {
        f"f1.{ending}": (100, 100),
        f"f2.{ending}": (35, 35),
        f"f3.{ending}": (512, 512),
    }
    assert files == pictures.made_from(written(image((300, 200)), kind))
    # A peer of ours takes what we make.
    assert pictures.received({name: text(content) for name, content in files.items()}).keys() == files.keys()


def test_the_middle_of_an_image_is_taken():
    wide = image((300, 100), colour="red")
    wide.paste(image((100, 100), colour="blue"), (100, 0))

    found = opened(pictures.made_from(written(wide))["f1.png"])

    assert {colour for _, colour in found.getcolors()} == {(0, 0, 255)}


def test_a_photograph_is_turned_as_its_camera_says_and_loses_where_it_was_taken():
    upright = image((200, 200), colour="red")
    upright.paste(image((200, 100), colour="blue"), (0, 100))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    exif[0x010E] = "SECRET PLACE"

    files = pictures.made_from(written(upright, "JPEG", exif=exif, quality=95))

    top = opened(files["f1.jpg"]).getpixel((50, 10))
    assert top[2] > 200
    assert top[0] < 50
    assert all(b"SECRET" not in content for content in files.values())


def test_what_is_seen_through_stays_so():
    made = pictures.made_from(written(image((64, 64), "RGBA", (10, 20, 30, 0))))

    assert opened(made["f1.png"]).getpixel((5, 5))[3] == 0


def test_a_large_photograph_is_taken_and_a_bomb_is_not():
    assert pictures.made_from(written(image((6000, 4000)), "JPEG")).keys() == {"f1.jpg", "f2.jpg", "f3.jpg"}
    for content, words in [
        (png(6000, 6000), "more than 30000000"),
        (png(100_000, 100_000), "no sound image"),
        (b"\0" * 20_000_001, "at most 20000000"),
        (b"<svg/>", "no sound image"),
        (written(image(), "BMP"), "no sound image"),
        (PNG[:-40], "no sound image"),
        (b"", "no sound image"),
    ]:
        with pytest.raises(PictureProblem, match=words):
            pictures.made_from(content)


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_is_refused_also_where_warnings_are_no_errors():
    with pytest.raises(PictureProblem, match="10000 by 10000 pixels; expected a square of at most 512"):
        pictures.received({"f3.png": text(png(10_000, 10_000))})
    with pytest.raises(PictureProblem, match="10000 by 10000 pixels, more than 30000000"):
        pictures.made_from(png(10_000, 10_000))


def test_pictures_are_kept_replaced_and_taken_away(session, context):
    ana, bo = (people.add_person(session, context, username=name).key for name in ("ana", "bo"))
    pictures.put(session, context, bo, {"f1.png": b"bo"}, 3)
    pictures.put(session, context, ana, {"f3.png": b"3", "f1.png": b"1"}, 7)

    assert pictures.files_of(session, [ana, bo, 99]) == {
        ana: {"f1.png": b"1", "f3.png": b"3"},
        bo: {"f1.png": b"bo"},
    }
    assert pictures.names_of(session, [ana, 99]) == {ana: ("f1.png", "f3.png")}
    assert session.scalar(select(Account.picture).where(Account.id == ana)) == 7

    pictures.put(session, context, ana, {"f1.jpg": b"new"}, 8)
    assert pictures.files_of(session, [ana]) == {ana: {"f1.jpg": b"new"}}
    assert context.accounts.fetch(session, [ana], ["picture"]) == {ana: {"picture": 8}}

    pictures.put(session, context, bo, {}, 9)
    pictures.remove(session, context, ana)
    assert session.scalars(select(Picture)).all() == []
    assert context.accounts.fetch(session, [ana, bo], ["picture"]) == {
        ana: {"picture": 0},
        bo: {"picture": 0},
    }
