"""What the forms of the pages have in common: their language, lists to choose from, and where a refusal is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from sqlalchemy.orm import Session
from wtforms import Field, Form, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.meta import DefaultMeta
from wtforms.utils import unset_value
from wtforms.validators import ValidationError

from tconnect_pyramid.directory.choices import MOST_IDS, Choice, Choices
from tconnect_pyramid.directory.paging import LONGEST_SEARCH
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.errors import InvalidInput, TConnectError
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.words import Words

FOUND = 20
"""How many of what was looked for a form shows."""
LOOK = "look"
"""The name of the button by which a form is sent to look for something, and not to be stored."""


def trimmed(text: str | None) -> str:
    """What was typed without blanks around it; browsers send the line ends of a text as two characters."""
    return (text or "").strip().replace("\r\n", "\n")


def at_most(limit: int) -> Callable[[Form, Field], None]:
    """A validator: no more than `limit` characters."""

    def check(form: Form, field: Field) -> None:
        del form
        number = len(field.data or "")
        if number > limit:
            raise ValidationError(
                _("At most ${limit} characters are possible; this has ${number}.", limit=limit, number=number)
            )

    return check


def in_words(words: Words) -> dict[str, Any]:
    """The `meta` of a form that speaks the reader's language."""
    return {"locales": [words.language], "words": words}


class PageForm(Form):
    """A form of a page. Labels and messages are texts; what WTForms says itself comes in the reader's language."""

    class Meta:
        """Gives the lists of the form in the language of `words`."""

        words: Words | None = None

        def render_field(self, field: Field, render_kw: Any) -> Any:
            """The field as markup; a list with its choices in the reader's language."""
            if self.words is not None and isinstance(field, SelectField) and field.choices:
                listed = [SelectChoice.from_input(choice) for choice in field.choices]
                field.choices = [replace(choice, label=self.words.said(choice.label)) for choice in listed]
            return DefaultMeta.render_field(self, field, render_kw)

    @classmethod
    def of(cls, request: Request, stored: Mapping[str, Any] | None = None) -> Any:
        """The form as it was sent with this request, and otherwise with what is `stored`."""
        sent = request.POST if request.method == "POST" else None
        return cls(sent, data=dict(stored or {}), meta=in_words(request.tconnect_words))

    @classmethod
    def of_query(cls, request: Request) -> Any:
        """The form filled from the parameters of the address, such as where to go afterwards."""
        return cls(request.GET, meta=in_words(request.tconnect_words))

    def is_sent(self, request: Request) -> bool:
        """Whether the form was sent to be stored and everything in it can be taken."""
        if request.method != "POST" or request.POST.get(LOOK):
            return False
        if any(isinstance(field, PickerField) and field.asks for field in self):
            return False
        return bool(self.validate())


class Attempt:
    """Try what a page was asked to do; what a rule refuses is shown on that page, and is no error of the site.

        attempt = Attempt(request, form)
        if form.is_sent(request):
            with attempt:
                with context.unit() as session:
                    made = add_audience(session, context, …)
                return go(request, …)
        return show(request, …, {"form": form, "refused": attempt.refused})

    A refusal that names a field of the form stands at that field; `refused` is the sentence of any other.
    `asked_as` gives the form's names of what the rule calls otherwise, such as custom fields by their short name.
    """

    def __init__(
        self, request: Request, form: PageForm | None = None, asked_as: Mapping[str, str] | None = None
    ) -> None:
        self.refused: str | None = None
        self._request = request
        self._form = form
        self._asked_as = asked_as or {}

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Take what a rule refused; whatever else went wrong goes on."""
        if not isinstance(error, TConnectError):
            return False
        said = str(self._request.tconnect_words.said(error.text))
        called = error.field if isinstance(error, InvalidInput) else ""
        name = self._asked_as.get(called, called)
        if self._form is None or name not in self._form:
            self.refused = said
            return True
        said = said.removeprefix(f"{called}: ")
        field = self._form[name]
        field.errors = [*field.errors, said[:1].upper() + said[1:]]
        return True

    def told_at(self, path: str) -> HTTPSeeOther:
        """A redirect to a page of ours, which says there what was refused."""
        return go(self._request, path, self.refused or "", is_bad=True)


def with_fields(form: type[PageForm], fields: Mapping[str, Any]) -> type[PageForm]:
    """A form that asks for these fields besides its own, which are only known when the page is shown."""
    made: type[PageForm] = type(f"{form.__name__}WithFields", (form,), dict(fields))
    return made


class PickerField(Field):
    """Some of many things, or with `most=1` one of them; thousands may be there to choose from.

    `data` holds ids. In the page stand those that are chosen, each to be unticked, and a field to look for
    others: it works by sending the form, and with a script at once. `fill` has to be called before it is shown.
    """

    def __init__(self, label: str, *, kind: str, most: int = MOST_IDS, **more: Any) -> None:
        super().__init__(label, **more)
        self.kind = kind
        self.most = most
        self.search = ""
        self.searched = ""
        self.chosen: Sequence[Choice] = ()
        self.found: Sequence[Choice] = ()
        self.unknown: Sequence[str] = ()

    def process(self, formdata: Any, data: Any = unset_value, extra_filters: Any = None) -> None:
        """Read what was typed to be looked for, besides the ids."""
        super().process(formdata, data, extra_filters)
        if formdata is not None:
            self.search = _sought(formdata, f"{self.name}-search")
            self.searched = _sought(formdata, f"{self.name}-searched")

    def process_data(self, value: Any) -> None:
        """Take the ids that are stored; None stands for none."""
        self.data = [] if value is None else [value] if isinstance(value, int) else list(value)

    def process_formdata(self, valuelist: Iterable[str]) -> None:
        """Take the ids that were sent; what is none is told by `validate`."""
        sent = [value for value in dict.fromkeys(valuelist) if value]
        self.data = [id_ for value in sent if (id_ := as_id(value)) is not None]
        self.unknown = [value for value in sent if as_id(value) is None]

    def pre_validate(self, form: Form) -> None:
        """Refuse what is no id, and more than may be chosen."""
        del form
        if self.unknown:
            raise ValidationError(_("One of the choices is none of this site."))
        if len(self.data) > self.most:
            raise ValidationError(_("Choose at most ${most}.", most=self.most))

    @property
    def asks(self) -> bool:
        """Whether something new was typed to be looked for: with the enter key a form is sent as if to be stored."""
        return bool(self.search) and self.search != self.searched

    @property
    def one(self) -> int | None:
        """The only id that may be chosen here, if it is."""
        return self.data[0] if self.data else None

    def fill(self, session: Session, context: Any, source: Choices) -> None:
        """Look up the names of what is chosen, and what was looked for."""
        self.chosen = source.named(session, context, self.data[:MOST_IDS])
        if self.search:
            found = source.find(session, context, self.search, FOUND + len(self.data[:FOUND]))
            self.found = [each for each in found if each.id not in self.data][:FOUND]


def _sought(formdata: Any, name: str) -> str:
    return trimmed(next(iter(formdata.getlist(name)), ""))[:LONGEST_SEARCH]
