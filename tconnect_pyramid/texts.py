"""Sentences for people that can be said in another language later, by whoever knows which. Imports nothing of ours.

Rules say what is wrong in English and know no language but that. The text keeps the sentence it was made from
and what was put into it, so that a page translates the sentence and puts the same into it. Each sentence is
found for translation by the name of the function it is given to: `text`, `_` or `plural`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

DOMAIN = "tconnect_pyramid"
"""The name of our catalogues of translations (`locale/*/LC_MESSAGES/tconnect_pyramid.po`)."""

_PLACE = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class Text(str):
    """A text in English that remembers how it was made.

    `template` has `${name}` in the places of `values`, which may be texts again. `many` is the template
    for any number but one and `number` that number; both are None where nothing is counted.
    """

    __slots__ = ("many", "number", "template", "values")

    template: str
    values: Mapping[str, object]
    many: str | None
    number: int | None


def text(template: str, /, **values: object) -> Text:
    """A text with `values` in the places `${name}` of the template."""
    made = Text(fill(template, values))
    made.template, made.values, made.many, made.number = template, values, None, None
    return made


def plural(one: str, many: str, number: int, /, **values: object) -> Text:
    """One of two texts, for one thing or for any other number of them, which is put in the place `${number}`."""
    values = {"number": number, **values}
    made = Text(fill(one if number == 1 else many, values))
    made.template, made.values, made.many, made.number = one, values, many, number
    return made


def fill(template: str, values: Mapping[str, object], shown: Callable[[object], str] = str) -> str:
    """The template with the values in their places, each made a text by `shown`; unknown places stay."""
    return _PLACE.sub(lambda place: shown(values[place[1]]) if place[1] in values else place[0], template)
