"""Sentences, times and numbers of a page in the language of whoever reads it.

The templates of the add-on get `_`, `_n` and `_html` for sentences that stand in them, `said` for
those they are given, and `when`, `day` and `number` for values. A
host's own templates get nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from markupsafe import Markup, escape
from pyramid.config import Configurator
from pyramid.events import BeforeRender
from pyramid.request import Request

from tconnect_pyramid.texts import DOMAIN, Text, fill

OUR_TEMPLATES = "tconnect_pyramid:"
ENGLISH = Locale("en", "GB")
FIRST, LAST = -62_135_596_800, 253_402_300_799
"""The moments that have a date: those of the years 1 to 9999. A peer may send any number."""


def includeme(config: Configurator) -> None:
    """Add our catalogues, `request.tconnect_words`, and what our templates say sentences with."""
    config.add_translation_dirs("tconnect_pyramid:locale/")
    config.add_request_method(Words, "tconnect_words", reify=True)
    config.add_subscriber(_give_to_template, BeforeRender)


class Words:
    """What is said to whoever asks, in the language that the site has found for the request."""

    def __init__(self, request: Request) -> None:
        try:
            name = request.locale_name
        except ValueError:
            # Pyramid's own way to find it reads address and form, which may be no text.
            name = request.locale_name = "en"
        self._localizer = request.localizer
        self.locale = _locale(name)

    @property
    def language(self) -> str:
        """The value of `lang` of a page."""
        return str(self.locale.language)

    def say(self, template: str, /, **values: object) -> str:
        """A sentence in the reader's language; of a `Text` that a rule has made, the whole of it."""
        if not isinstance(template, Text):
            return fill(self._found(template), values, self._shown)
        if template.many is None or template.number is None:
            return fill(self._found(template.template), template.values, self._shown)
        return self.count(template.template, template.many, template.number, **template.values)

    def said(self, value: str) -> str:
        """A text of ours in the reader's language; anything else, such as what people have typed, as it is."""
        return self.say(value) if isinstance(value, Text) else str(value)

    def count(self, one: str, many: str, number: int, /, **values: object) -> str:
        """One of two sentences, for one thing or for any other number of them; `${number}` is that number."""
        found = self._localizer.pluralize(one, many, number, domain=DOMAIN)
        return fill(found, {**values, "number": self.number(number)}, self._shown)

    def html(self, template: str, /, **values: object) -> Markup:
        """A sentence with markup in it; the values are escaped unless they are markup themselves."""
        return Markup(fill(self._found(template), values, lambda value: str(escape(self._value(value)))))  # noqa: S704

    def number(self, value: float) -> str:
        """A number with the separators of the language."""
        return str(format_decimal(value, locale=self.locale))

    def when(self, seconds: int | None) -> Markup | str:
        """A moment (Unix seconds) as a `time` element in UTC; a dash for none.

        A script shows it in the reader's own time zone, which no header tells.
        """
        if seconds is None:
            return "–"
        machine = _moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Markup('<time datetime="{}">{}</time>').format(machine, self.moment(seconds))

    def moment(self, seconds: int) -> str:
        """A moment (Unix seconds) as text, in UTC."""
        moment = _moment(seconds)
        return f"{self.day(seconds)}, {format_time(moment, 'short', locale=self.locale)} UTC"

    def day(self, seconds: int | None) -> str:
        """The day of a moment (Unix seconds, UTC); a dash for none."""
        return "–" if seconds is None else str(format_date(_moment(seconds), "medium", locale=self.locale))

    def country(self, code: str, name: str) -> str:
        """What the country with a code is called; `name` where the language has no word for it."""
        return str(self.locale.territories.get(code, name))

    def _found(self, template: str) -> str:
        # An empty one would find the head of the catalogue.
        return str(self._localizer.translate(str(template), domain=DOMAIN)) if template else ""

    def _shown(self, value: object) -> str:
        return str(self._value(value))

    def _value(self, value: object) -> object:
        # Numbers are left as they are: most of them are ids. Those that count something come by `count`.
        return self.say(value) if isinstance(value, Text) else value


def _give_to_template(event: BeforeRender) -> None:
    request: Request | None = event.get("request")
    if request is None or not str(event.get("renderer_name", "")).startswith(OUR_TEMPLATES):
        return
    words: Words = request.tconnect_words
    given: Mapping[str, object] = {
        "_": words.say,
        "said": words.said,
        "_n": words.count,
        "_html": words.html,
        "when": words.when,
        "day": words.day,
        "number": words.number,
        "language": words.language,
    }
    event.update(given)


def _locale(name: str) -> Locale:
    try:
        found = Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return ENGLISH
    return ENGLISH if found.language == "en" and found.territory is None else found


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, FIRST), LAST), UTC)
