"""The catalogues have every sentence that a page can say, and German has each of them."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tconnect_pyramid"
LOCALES = PACKAGE / "locale"
KEYWORDS = {"_": None, "_html": None, "plural": (1, 2), "_n": (1, 2)}
METHODS = [("templates/**.jinja2", "jinja2"), ("**.py", "python")]
PLACE = re.compile(r"\$\{[a-z0-9_]+\}|</?[a-z]+>")
LANGUAGES = sorted(folder.name for folder in LOCALES.iterdir() if folder.is_dir())


def catalogue(path):
    with path.open("rb") as file:
        return read_po(file)


def sentences():
    """What is said somewhere: the sentence, or both of what is counted."""
    return {
        message if isinstance(message, str) else tuple(message)
        for _file, _line, message, _comments, _context in extract_from_dir(
            str(PACKAGE), METHODS, {}, KEYWORDS, strip_comment_tags=True
        )
    }


def parts(value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def test_the_template_has_what_is_said_and_nothing_else():
    kept = {
        message.id if isinstance(message.id, str) else tuple(message.id)
        for message in catalogue(LOCALES / "tconnect_pyramid.pot")
    }

    assert sentences() == kept - {""}, "run `make translations`"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_sentence(language):
    wanted = sentences()
    kept = catalogue(LOCALES / language / "LC_MESSAGES" / "tconnect_pyramid.po")
    said = {
        message.id if isinstance(message.id, str) else tuple(message.id): message
        for message in kept
        if message.id and not message.fuzzy and all(parts(message.string))
    }

    missing = wanted - said.keys()
    assert not missing, f"{len(missing)} sentences are missing, such as {sorted(map(str, missing))[:3]}"
    for sentence, message in said.items():
        for original, translated in zip(parts(sentence), parts(message.string), strict=True):
            assert sorted(PLACE.findall(original)) == sorted(PLACE.findall(translated)), original


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_site_reads_is_made_from_that(language):
    folder = LOCALES / language / "LC_MESSAGES"
    made = BytesIO()
    write_mo(made, catalogue(folder / "tconnect_pyramid.po"))

    assert (folder / "tconnect_pyramid.mo").read_bytes() == made.getvalue(), "run `make translations`"
