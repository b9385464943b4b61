"""*Totara Connect client › Settings*, and what migrating local accounts would do before it is switched on."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response
from wtforms import BooleanField, Field, Form, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import ValidationError

from tconnect_pyramid.client import migration, servers
from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.options import Options
from tconnect_pyramid.settings import format_option, parse_option
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, is_https, options_of, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, trimmed
from tconnect_pyramid.views.notices import go

ENTRY = "client.settings"
"""The entry of the menu."""
OPTIONS = {
    "auto_sign_in": "client.auto_sign_in",
    "migrate_accounts": "client.migrate_accounts",
    "account_mapping": "client.account_mapping",
    "removed_person": "client.removed_person",
    "sync_profile_fields": "client.sync_profile_fields",
    "sync_jobs": "client.sync_jobs",
    "sync_positions": "client.sync_positions",
    "sync_organisations": "client.sync_organisations",
    "sync_idnumber": "client.sync_idnumber",
    "plugin_services": "client.plugin_services",
    "protected_accounts": "client.protected_accounts",
    "guard_people": "guard.people",
    "guard_members": "guard.members",
    "guard_items": "guard.items",
}
"""The options of the form, by the name of their field."""
MIGRATE = "client.migrate_accounts"
MAPPING = "client.account_mapping"
MOST_SHOWN = 100
"""Matches of each sort that the page of migration lists."""

MAPPINGS = {
    "username": _("Username"),
    "email": _("Email address"),
    "idnumber": _("ID number"),
    "uniqueid": _("Totara Connect unique ID"),
}
ABUSE = _(
    "You should make sure the selected account mapping cannot be abused by Totara Connect server users to hijack "
    "existing client accounts. For example when mapping via username, users should not be allowed to sign up for new "
    "accounts on the Totara Connect server."
)
DELETED_TOO = _(
    "Please note that any synchronised users who are deleted from the server will also be deleted from the local site."
)
NONE = "none"


def includeme(config: Configurator) -> None:
    """Add the page, and the one that asks before accounts are migrated."""
    add_page(config, ENTRY, "/client/settings", settings, recent=True)
    add_page(config, "client.migration", "/client/settings/migration/{mapping}", migrate, recent=True)


def _guard(form: Form, field: Field) -> None:
    try:
        parse_option(OPTIONS[field.name], field.data or "")
    except InvalidInput:
        raise ValidationError(_("Enter a number and a percentage, as in 20 5.")) from None
    del form


def _guard_field(label: Text, description: Text) -> Any:
    return StringField(label, [_guard], filters=[trimmed], description=description)


class SettingsForm(PageForm):
    """What holds for all servers of this client."""

    auto_sign_in = SelectField(
        _("Automatic single sign-on via server"),
        description=_(
            "This setting allows you to automatically log on to a Totara Connect client site connected to a specific "
            "Totara Connect server. Choose a Totara Connect server to automatically sign-on from. Note that you need "
            "to connect to a server first to select it from the list."
        ),
    )
    migrate_accounts = BooleanField(
        _("Migrate local accounts"),
        description=_(
            "When enabled, local accounts are migrated to Totara Connect accounts. Totara Connect accounts can log in "
            "only via single sign-on."
        ),
    )
    account_mapping = SelectField(
        _("Account mapping"),
        choices=[SelectChoice(value, label) for value, label in MAPPINGS.items()],
        description=_(
            "Choose the field you want to use to map user accounts by during migration. You should make sure this "
            "field is locked and cannot be modified by ordinary users or customised during user self registration, "
            "both on the server and clients."
        ),
    )
    removed_person = SelectField(
        _("Action to take when a user is removed from the restricted audience"),
        choices=[
            SelectChoice("keep", _("Keep internal user")),
            SelectChoice("suspend", _("Suspend internal user")),
            SelectChoice("delete", _("Full delete internal user")),
        ],
        description=_(
            "If your Totara Connect users are restricted to an audience on the server, this setting determines what "
            "happens with local accounts when the user is removed from that audience on the server."
        ),
    )
    sync_profile_fields = BooleanField(
        _("Synchronise custom profile fields"),
        description=_("Without it, nothing of them is touched."),
    )
    sync_jobs = BooleanField(
        _("Synchronise job assignments"), description=_("Without it, nothing of them is touched.")
    )
    sync_positions = BooleanField(
        _("Synchronise positions"), description=_("Without it, nothing of them is touched.")
    )
    sync_organisations = BooleanField(
        _("Synchronise organisations"), description=_("Without it, nothing of them is touched.")
    )
    sync_idnumber = BooleanField(
        _("Synchronise ID numbers"),
        description=_("Without it, an ID number is this site's own."),
    )
    plugin_services = BooleanField(
        _("Plugin services"),
        description=_("Let servers call the services that plugins of this site offer."),
    )
    protected_accounts = TextAreaField(
        _("Protected accounts"),
        filters=[trimmed],
        description=_(
            "Usernames of local accounts, with blanks or line ends between them, that no synchronisation and no "
            "sign-in from a server may take over, change, suspend or delete."
        ),
        render_kw={"rows": "3"},
    )
    guard_people = _guard_field(
        _("Hold a synchronisation that removes people"),
        _(
            "A number and a percentage, as in 20 5. It is held until an administrator approves it when it would "
            "suspend or delete more people than the number, and more than the percentage of those who came from the "
            "server."
        ),
    )
    guard_members = _guard_field(
        _("Hold a synchronisation that ends memberships"),
        _("The same for members of audiences, courses and groups, as in 200 25."),
    )
    guard_items = _guard_field(
        _("Hold a synchronisation that deletes positions or organisations"),
        _("The same for positions and for organisations, as in 20 10."),
    )


def settings(request: Request) -> Response:
    """Show and store the settings; accounts are not migrated before the administrator has seen which."""
    context = request.tconnect
    stored = options_of(request)
    fixed = {field for field, name in OPTIONS.items() if name in context.settings.fixed}
    form = _form(request, stored, fixed)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        values = {OPTIONS[field.name]: _value(field) for field in form}
        asks = _asks_first(stored, form)
        if asks:
            for name in (MIGRATE, MAPPING):
                values.pop(name, None)
        with attempt:
            with context.unit() as session:
                context.change_options(session, values, actor=actor(request))
            if asks:
                return go(request, path(request, "client.migration", mapping=form.account_mapping.data))
            return go(request, path(request, ENTRY), _("The settings are saved."))
    return show(
        request,
        "client_settings",
        ENTRY,
        {
            "title": _("Totara Connect client settings"),
            "form": form,
            "refused": attempt.refused,
            "is_https": is_https(request),
            "fixed": fixed,
            "notes": {"migrate_accounts": ABUSE, "removed_person": DELETED_TOO},
        },
    )


def migrate(request: Request) -> Response:
    """Show which accounts would be taken over, and switch migration on with this mapping."""
    context = request.tconnect
    mapping = request.matchdict["mapping"]
    if mapping not in MAPPINGS:
        raise HTTPNotFound
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                values = {MIGRATE: True, MAPPING: mapping}
                context.change_options(session, values, actor=actor(request))
            return go(
                request,
                path(request, ENTRY),
                _("Local accounts are migrated from now on, by: ${mapping}.", mapping=MAPPINGS[mapping]),
            )
    found = migration.preview(context, mapping)
    taken = {match.accounts[0].key for each in found for match in each.taken}
    return show(
        request,
        "client_migration",
        ENTRY,
        {
            "title": _("Migrate local accounts by: ${mapping}?", mapping=MAPPINGS[mapping]),
            "summary": plural(
                "${number} local account would be taken over by the next synchronisation.",
                "${number} local accounts would be taken over by the next synchronisation.",
                len(taken),
            ),
            "found": found,
            "groups": [
                (each, [(title, matches[:MOST_SHOWN], len(matches)) for title, matches in _groups(each)])
                for each in found
            ],
            "warning": ABUSE,
            "refused": attempt.refused,
            "back": path(request, ENTRY),
        },
    )


def _groups(found: migration.Preview) -> list[tuple[Text, tuple[migration.Match, ...]]]:
    groups = (
        (_("Taken over"), found.taken),
        (_("Not taken over, as the match is ambiguous"), found.ambiguous),
        (_("Not taken over, as they are administrators"), found.administrators),
        (_("Not taken over, as they are protected"), found.protected),
    )
    return [(title, matches) for title, matches in groups if matches]


def _form(request: Request, stored: Options, fixed: set[str]) -> SettingsForm:
    values = {name: _shown(stored, option) for name, option in OPTIONS.items()}
    form: SettingsForm = SettingsForm.of(request, values)
    form.auto_sign_in.choices = _servers(request, stored)
    for field in form:
        if field.name in fixed:
            # Browsers do not send what is disabled, and what others send is not taken: it is stored as it is.
            field.process_data(values[field.name])
            field.render_kw = {**(field.render_kw or {}), "disabled": True}
    return form


def _shown(stored: Options, option: str) -> object:
    value = getattr(stored, option.replace(".", "_"))
    return value if isinstance(value, bool) else format_option(value)


def _servers(request: Request, stored: Options) -> list[SelectChoice]:
    with request.tconnect.reading() as session:
        active = {str(each.id): each.name for each in servers.list_servers(session, active_only=True)}
    chosen = stored.client_auto_sign_in
    if chosen is not None and str(chosen) not in active:
        active[str(chosen)] = _("A server that is not connected (id ${id})", id=str(chosen))
    return [SelectChoice(NONE, _("None")), *(SelectChoice(id_, name) for id_, name in active.items())]


def _value(field: Field) -> object:
    if field.name == "protected_accounts":
        return tuple(field.data.split())
    return field.data


def _asks_first(stored: Options, form: SettingsForm) -> bool:
    """Whether accounts would be taken over that are not taken over by the settings as they are."""
    if not form.migrate_accounts.data:
        return False
    is_new_mapping = form.account_mapping.data != stored.client_account_mapping
    return is_new_mapping or not stored.client_migrate_accounts
