"""The profile of an account as people see and edit it: which fields, how they are called, whose they are.

What a field may hold is decided in `people`; lengths come from there, so that all that is too long is told
together.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy.orm import Session
from wtforms import BooleanField, Field, FileField, Form, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, ValidationError

from tconnect_pyramid import people
from tconnect_pyramid.client.editing import Keeper, keeper_of
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.directory.accounts import AccountView
from tconnect_pyramid.directory.columnmap import ColumnMap
from tconnect_pyramid.directory.countries import COUNTRIES
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.directory.hierarchy_items import list_items
from tconnect_pyramid.directory.jobs import JobView
from tconnect_pyramid.directory.profiles import FieldView
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views import custom_fields
from tconnect_pyramid.views.forms import PageForm, in_words, trimmed
from tconnect_pyramid.views.prose import to_html, to_text
from tconnect_pyramid.views.words import Words

LONGEST_DESCRIPTION = 5_000
"""Characters."""

SITE_TIMEZONE = "99"
"""The value of an account that goes by the site's time zone (protocol 6)."""

CONTINENTS = frozenset(
    {
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    }
)
LANGUAGES = {"en": "English", "de": "Deutsch"}
FOR_ADMINISTRATORS = frozenset({"idnumber"})
"""What people may not change of themselves: other systems know them by it."""


def _at_most(limit: int) -> Any:
    def check(form: Form, field: Field) -> None:
        del form
        # What is there already may be longer: a peer, or the command, has put it there.
        if field.data != field.object_data and len(field.data or "") > limit:
            raise ValidationError(
                _(
                    "At most ${limit} characters are possible; this has ${number}.",
                    limit=limit,
                    number=len(field.data),
                )
            )

    return check


def _line(label: str, name: str, *, autocomplete: str = "off", needed: str = "", kind: str = "text") -> Any:
    length = _at_most(people.LENGTHS[name])
    attributes = {"autocomplete": autocomplete, "type": kind}
    validators = [DataRequired(needed), length] if needed else [length]
    return StringField(label, validators, filters=[trimmed], render_kw=attributes)


def _choice(label: str, *choices: str) -> Any:
    return SelectField(
        label,
        choices=[SelectChoice(str(number), choice) for number, choice in enumerate(choices)],
        render_kw={"autocomplete": "off"},
    )


class ProfileForm(PageForm):
    """What people say of themselves. Field names are those of the user record (protocol 6), but for the picture's."""

    picture = FileField(
        _("New picture"),
        description=_("A PNG, JPEG, WebP or GIF; its middle square is shown."),
        render_kw={"accept": "image/png,image/jpeg,image/webp,image/gif"},
    )
    remove_picture = BooleanField(_("Remove the picture"))
    firstname = _line(
        _("First name"), "firstname", autocomplete="given-name", needed=_("Enter your first name.")
    )
    lastname = _line(
        _("Last name"), "lastname", autocomplete="family-name", needed=_("Enter your last name.")
    )
    email = _line(
        _("Email address"), "email", autocomplete="email", needed=_("Enter your email address."), kind="email"
    )
    idnumber = _line(_("ID number"), "idnumber")
    phone1 = _line(_("Phone"), "phone1", autocomplete="tel", kind="tel")
    phone2 = _line(_("Mobile phone"), "phone2", autocomplete="tel", kind="tel")
    address = _line(_("Address"), "address", autocomplete="street-address")
    city = _line(_("City or town"), "city", autocomplete="address-level2")
    country = SelectField(_("Country"), render_kw={"autocomplete": "country"})
    institution = _line(_("Institution"), "institution", autocomplete="organization")
    department = _line(_("Department"), "department")
    timezone = SelectField(_("Time zone"), render_kw={"autocomplete": "off"})
    lang = SelectField(_("Language"), render_kw={"autocomplete": "off"})
    url = _line(_("Web page"), "url", autocomplete="url", kind="url")
    description = TextAreaField(
        _("About you"),
        [_at_most(LONGEST_DESCRIPTION)],
        filters=[trimmed],
        description=_("Plain text. Others may read it."),
        render_kw={"autocomplete": "off", "rows": "6"},
    )
    imagealt = _line(_("What your picture shows"), "imagealt")
    middlename = _line(_("Middle name"), "middlename", autocomplete="additional-name")
    alternatename = _line(_("Alternate name"), "alternatename", autocomplete="nickname")
    firstnamephonetic = _line(_("First name, as it sounds"), "firstnamephonetic")
    lastnamephonetic = _line(_("Last name, as it sounds"), "lastnamephonetic")
    skype = _line(_("Skype"), "skype")
    icq = _line(_("ICQ"), "icq")
    yahoo = _line(_("Yahoo"), "yahoo")
    aim = _line(_("AIM"), "aim")
    msn = _line(_("MSN"), "msn")
    emailstop = _choice(_("Emails of this site"), _("Send me emails"), _("Send me none"))
    mailformat = _choice(_("Emails are"), _("Plain text"), _("HTML"))
    maildigest = _choice(
        _("Forum emails come"),
        _("Each by itself"),
        _("Once a day, complete"),
        _("Once a day, subjects"),
    )
    maildisplay = _choice(
        _("Your email address is seen by"), _("Nobody"), _("Everybody"), _("Members of your courses")
    )
    autosubscribe = _choice(_("Forums you post in"), _("Do not subscribe me"), _("Subscribe me"))
    trackforums = _choice(_("Posts you have not read"), _("Are not marked"), _("Are marked"))


PICTURE = ("picture", "remove_picture")
FIELDS = tuple(field.name for field in ProfileForm() if field.name not in PICTURE)

GROUPS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("", FIELDS[: FIELDS.index("imagealt")]),
    (_("More about you"), FIELDS[FIELDS.index("imagealt") : FIELDS.index("emailstop")]),
    (_("Emails and forums"), FIELDS[FIELDS.index("emailstop") :]),
)
"""The fields under their headings; those without one come first, the others are folded away."""
MAIN = GROUPS[0][1]


@dataclass(frozen=True, slots=True)
class Profile:
    """An account's profile, as it is stored and may be edited.

    `stored`: the fields that the account table can show, as text; `owned`: those of them that the
    account's server keeps; `keeper`: that server; `is_connect`: the account came from a server.
    `custom`: the site's custom fields, with what is stored in `custom_values` by short name, and
    `owns_custom` whether that is the server's. `picture`: its number, 0 for none, and None where the
    account table keeps none.
    """

    account: AccountView
    stored: Mapping[str, str]
    owned: frozenset[str]
    keeper: Keeper | None
    is_connect: bool
    custom: Sequence[FieldView]
    custom_values: Mapping[str, str]
    owns_custom: bool
    picture: int | None
    jobs: Sequence[JobView]

    @property
    def kept_by(self) -> str | None:
        """The name of the server that keeps the account; None for a local account."""
        if not self.is_connect:
            return None
        return _("the server of your account") if self.keeper is None else self.keeper.server_name


def read_profile(session: Session, context: Context, account: AccountView) -> Profile:
    """The profile of an account that is there."""
    names = shown_fields(context.accounts.columns)
    row = context.accounts.fetch(session, [account.key], names)[account.key]
    stored = {name: "" if row[name] is None else str(row[name]) for name in names}
    if "description" in stored:
        stored["description"] = to_text(stored["description"])
    keeper = keeper_of(session, context, account.key)
    options = context.options(session)
    there = people.belongings(session, context, account.key)
    # A host's table may not keep the auth method: the link tells all the same.
    is_connect = keeper is not None or account.auth == people.CONNECT
    left_alone = people.LEFT_ALONE_BY_SYNCS
    if options.client_sync_idnumber:
        left_alone = left_alone - {"idnumber"}
    owned = frozenset(stored) - left_alone if is_connect else frozenset()
    return Profile(
        account=account,
        stored=stored,
        owned=owned,
        keeper=keeper,
        is_connect=is_connect,
        custom=profiles.list_fields(session),
        custom_values=there.fields,
        owns_custom=is_connect and options.client_sync_profile_fields,
        picture=there.picture if context.accounts.columns.takes("picture") else None,
        jobs=there.jobs,
    )


def shown_fields(columns: ColumnMap) -> tuple[str, ...]:
    """The fields that an account table can give back and take: those that share a column only all together."""
    hidden = {
        name
        for where in columns.shared()
        if any(columns.read(name) is None for name in where.fields)
        for name in where.fields
    }
    return tuple(
        name
        for name in FIELDS
        if columns.takes(name) and columns.read(name) is not None and name not in hidden
    )


def profile_form(
    profile: Profile, sent: Any = None, *, words: Words, by_admin: bool, allowed: frozenset[str] | None
) -> ProfileForm:
    """The form of what may be changed, filled with what is stored, or with what was `sent`.

    `allowed`: the standard fields and `picture` that the site lets people change, None for all.

    Its lists also offer what is stored but is in no list: the command or a peer may have set it.
    """
    asked = [] if profile.owns_custom else profile.custom
    custom = {custom_fields.form_name(each): each for each in asked}
    made = {name: custom_fields.form_field(each, [trimmed]) for name, each in custom.items()}
    there = {name: _typed(profile, each) for name, each in custom.items()}
    kind: type[ProfileForm] = type("ProfileFormOfThisSite", (ProfileForm,), made)
    form = kind(sent, data={**profile.stored, **there}, meta=in_words(words))
    for name in set(FIELDS) - set(_editable(profile, by_admin=by_admin, allowed=allowed)):
        del form[name]
    is_picture_allowed = allowed is None or "picture" in allowed
    if profile.picture is None or profile.is_connect or not is_picture_allowed:
        del form["picture"], form["remove_picture"]
    elif not profile.picture:
        del form["remove_picture"]
    _fill_lists(form, {**profile.stored, **there}, words)
    return form


def changes_of(profile: Profile, form: ProfileForm, columns: ColumnMap) -> dict[str, str]:
    """What a valid form changes, as `people.edit_person` takes it."""
    changes = {
        name: form[name].data
        for name in profile.stored
        if name in form and form[name].data != profile.stored[name]
    }
    for where in columns.shared():
        if changes.keys() & set(where.fields):
            changes.update((name, form[name].data) for name in where.fields if name in form)
    if "description" in changes:
        changes["description"] = to_html(changes["description"])
    return changes


def custom_changes_of(profile: Profile, form: ProfileForm) -> dict[str, str]:
    """The custom values that a valid form changes, by short name."""
    return {
        each.shortname: custom_fields.stored(each, form[name].data)
        for each in profile.custom
        if (name := custom_fields.form_name(each)) in form and form[name].data != _typed(profile, each)
    }


def custom_labelled(profile: Profile, words: Words) -> list[tuple[str, str]]:
    """The custom fields in which the account has something, with labels and values in words."""
    return [
        (each.name, custom_fields.shown(each, profile.custom_values[each.shortname], words))
        for each in profile.custom
        if each.shortname in profile.custom_values
    ]


def shown_jobs(session: Session, jobs: Sequence[JobView], words: Words) -> list[tuple[str, str, str]]:
    """Job assignments in words: what, where, and since and until when."""
    places: dict[str, dict[int, str]] = {}
    for hierarchy in (POSITIONS, ORGANISATIONS):
        ids = [getattr(job, hierarchy.word) for job in jobs]
        items = list_items(session, hierarchy, ids=[id_ for id_ in ids if id_ is not None])
        places[hierarchy.word] = {item.id: item.fullname or item.idnumber for item in items}
    return [
        (
            job.fullname or job.shortname or job.idnumber,
            ", ".join(names[id_] for word, names in places.items() if (id_ := getattr(job, word)) in names),
            _span(job, words),
        )
        for job in jobs
    ]


def labelled(profile: Profile, words: Words) -> list[tuple[str, str, str]]:
    """Names, labels, and values as lists call them; what few people have is left out where it is empty."""
    form = ProfileForm(data=profile.stored)
    _fill_lists(form, profile.stored, words)
    return [
        (name, form[name].label.text, _shown(form[name], profile.stored[name]))
        for name in profile.stored
        if profile.stored[name] or name in MAIN
    ]


def _editable(profile: Profile, *, by_admin: bool, allowed: frozenset[str] | None) -> list[str]:
    return [
        name
        for name in profile.stored
        if name not in profile.owned
        and (by_admin or name not in FOR_ADMINISTRATORS)
        and (allowed is None or name in allowed)
    ]


def _span(job: JobView, words: Words) -> str:
    start, end = words.day(job.startdate), words.day(job.enddate)
    if job.startdate is not None and job.enddate is not None:
        return _("from ${start} until ${end}", start=start, end=end)
    if job.startdate is not None:
        return _("from ${start}", start=start)
    return "" if job.enddate is None else _("until ${end}", end=end)


def _typed(profile: Profile, field: FieldView) -> str:
    return custom_fields.typed(field, profile.custom_values.get(field.shortname, ""))


def _shown(field: Field, value: str) -> str:
    choices = getattr(field, "iter_choices", None)
    if choices is None:
        return value
    return next((choice.label for choice in choices() if choice.value == value), value)


def _fill_lists(form: ProfileForm, stored: Mapping[str, str], words: Words) -> None:
    for name, choices in (("country", _countries(words)), ("timezone", _timezones()), ("lang", _languages())):
        if name in form:
            form[name].choices = choices
    for field in form:
        if isinstance(field, SelectField):
            listed = [*field.choices]
            value = stored.get(field.name, "")
            if value not in {choice.value for choice in listed}:
                field.choices = [*listed, SelectChoice(value)]


def _countries(words: Words) -> list[SelectChoice]:
    named = sorted(
        ((words.country(code, name), code) for code, name in COUNTRIES),
        key=lambda country: unicodedata.normalize("NFKD", country[0]).casefold(),
    )
    return [SelectChoice("", _("Not chosen")), *(SelectChoice(code, name) for name, code in named)]


def _languages() -> list[SelectChoice]:
    return [SelectChoice(code, name) for code, name in LANGUAGES.items()]


@cache
def _zones() -> tuple[str, ...]:
    # Looked for once: it reads hundreds of files.
    return tuple(sorted(zone for zone in available_timezones() if zone.split("/")[0] in CONTINENTS))


def _timezones() -> list[SelectChoice]:
    return [
        SelectChoice(SITE_TIMEZONE, _("As this site")),
        SelectChoice("UTC"),
        *(SelectChoice(zone, zone.replace("_", " "), optgroup=zone.split("/")[0]) for zone in _zones()),
    ]
