"""Sentences for people that can be said in another language later, by whoever knows which. Imports nothing of ours.

Rules say what is wrong in English and know no language but that. The text keeps the sentence it was made from
and what was put into it, so that a page translates the sentence and puts the same into it. Each sentence is
found for translation by the name of the function it is given to: `text`, `_` or `plural`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping

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


def listed(texts: Iterable[str]) -> str:
    """Several texts as one, with semicolons between; empty for none."""
    several = [*texts]
    whole = several.pop() if several else ""
    for each in reversed(several):
        whole = text("${first}; ${rest}", first=each, rest=whole)
    return whole


def packed(value: object) -> object:
    """A text with what it was made of, in values of JSON; whatever else is a number or a string."""
    if not isinstance(value, Text):
        return value if isinstance(value, int) else str(value)
    values = {name: packed(each) for name, each in value.values.items()}
    return {"text": value.template, "many": value.many, "number": value.number, "values": values}


def unpacked(value: object) -> str:
    """What `packed` was given. Raises KeyError, TypeError, ValueError or AttributeError for what it has not made."""
    if not isinstance(value, Mapping):
        return str(value)
    values = {
        name: unpacked(each) if isinstance(each, Mapping) else each for name, each in value["values"].items()
    }
    if value["many"] is None:
        return text(value["text"], **values)
    number = values.pop("number", value["number"])
    return plural(value["text"], value["many"], int(number), **values)


def written(value: str, limit: int | None = None) -> str:
    """A text as it is stored, so that it can be said in another language later.

    Where that would be longer than `limit` characters it is stored as it is, and cut.
    """
    if isinstance(value, Text):
        kept = json.dumps(packed(value), ensure_ascii=False)
        if limit is None or len(kept) <= limit:
            return kept
    return str(value)[:limit]


def read(kept: str) -> str:
    """A text that was stored by `written`, or by a version that stored what it says."""
    if not kept.startswith('{"text":'):
        return kept
    try:
        return unpacked(json.loads(kept))
    except (ValueError, KeyError, TypeError, AttributeError):
        return kept
