"""The settings of a site: text of an ini file in, frozen and typed values out.

One table, `SETTINGS`, names every setting with its type, default and help. From it come the reading at
start-up, the values of an administrator's options in the database, and the page docs/settings.md.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from tconnect_pyramid.errors import ConfigurationProblem, InvalidInput, NotFound
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _

PREFIX = "tconnect."

# The name and the address of a site go into columns of this length at a Totara peer (protocol 6).
LONGEST_NAME = 255
SHORTEST_KEY = 32

# What people leave in a file that they copied; a key with one of these in it is known to everybody.
PLACEHOLDERS = ("change-me", "change_me", "changeme", "insecure", "placeholder", "replace-me", "your-secret")

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of setting.

    `expected` says in words what may be written and `example` shows one. `parse` turns the text into the
    value; it raises ValueError whose text says what was found instead.
    """

    expected: str
    example: str
    parse: Callable[[str], object]


class Guard(NamedTuple):
    """A sync is held that removes more than `number` and more than `share` percent of what came from the server."""

    number: int
    share: int


def _text(text: str) -> str:
    if len(text) > LONGEST_NAME:
        raise ValueError(plural("${number} character", "${number} characters", len(text)))
    return text


def _optional_text(text: str) -> str | None:
    return text or None


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"true", "yes", "on", "1"}:
        return True
    if lowered in {"false", "no", "off", "0"}:
        return False
    raise ValueError(_quoted(text))


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        raise ValueError(_quoted(text))
    return int(text)


def _number(unit: str, least: int, most: int, example: int) -> Kind:
    def parse(text: str) -> int:
        number = _integer(text)
        if not least <= number <= most:
            raise ValueError(str(number))
        return number

    expected = _("a number of ${unit} from ${least} to ${most}", unit=unit, least=str(least), most=str(most))
    return Kind(expected, str(example), parse)


def _choice(*values: str) -> Kind:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(_quoted(text))
        return text

    return Kind(_("one of ${values}", values=", ".join(values)), values[0], parse)


def _server_id(text: str) -> int | None:
    return None if text in {"", "none"} else _integer(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _guard(text: str) -> Guard:
    found = re.fullmatch(r"(\d{1,9})\s+(\d{1,3})", text, re.ASCII)
    if found is None or int(found[2]) > 100:  # noqa: PLR2004 - percent
        raise ValueError(_quoted(text))
    return Guard(int(found[1]), int(found[2]))


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    networks = []
    for word in text.split():
        try:
            networks.append(ip_network(word))
        except ValueError as error:
            raise ValueError(str(error)) from None
    return tuple(networks)


def _site_url(text: str) -> str:
    # First of all, because the other refusals show the address, and this one may have a password in it.
    if re.match(r"[^/]*//[^/]*@", text):
        raise ValueError(_("an address with a user name in it"))
    # urlsplit drops tabs and line ends and lets other odd characters through.
    if not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise ValueError(_("${found}, which has characters that no address has", found=_quoted(text)))
    if len(text) > LONGEST_NAME:
        raise ValueError(_("${length} characters, more than ${limit}", length=len(text), limit=LONGEST_NAME))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(_("${found} (${error})", found=_quoted(text), error=str(error))) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(_quoted(text))
    if "?" in text or "#" in text:
        raise ValueError(_("${found}, which has a query or a fragment", found=_quoted(text)))
    if not _HOST.fullmatch(parts.hostname):
        raise ValueError(
            _("the host ${host}, which a Totara site would not accept", host=_quoted(parts.hostname))
        )
    netloc = parts.hostname if port is None else f"{parts.hostname}:{port}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"


def _secret_keys(text: str) -> tuple[str, ...]:
    keys = tuple(text.split())
    if not keys:
        raise ValueError("nothing")
    short = [f"key {place} has {len(key)}" for place, key in enumerate(keys, 1) if len(key) < SHORTEST_KEY]
    if short:
        raise ValueError(f"too few characters: {', '.join(short)}")
    return keys


TEXT = Kind(_("text of at most ${limit} characters", limit=LONGEST_NAME), "Example learning", _text)
FILE = Kind(_("the path of a file, or nothing"), "/etc/ssl/certs/our-own-ca.pem", _optional_text)
BOOLEAN = Kind(_("true or false"), "true", _boolean)
WORDS = Kind(_("names with spaces between them"), "admin support", _words)
SERVER_ID = Kind(_("the id of a server, or none"), "1", _server_id)
GUARD = Kind(_("a number and a percentage, as in 20 5"), "20 5", _guard)
NETWORKS = Kind(_("networks with spaces between them"), "10.0.0.0/8 fd00::/8", _networks)
SITE_URL = Kind(
    _("an http or https address with an ASCII host name and without user name, query and fragment"),
    "https://learn.example.org",
    _site_url,
)
SECRET_KEYS = Kind(
    _(
        "keys of at least ${number} characters with spaces between them, newest first",
        number=SHORTEST_KEY,
    ),
    "${TCONNECT_SECRET_KEY}",
    _secret_keys,
)


def found_instead(error: ValueError) -> str:
    """What was found, as the error of a `Kind.parse` says it: a `Text` where it is a sentence of ours."""
    found = error.args[0] if error.args else ""
    return found if isinstance(found, str) else str(error)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: `name` is written in the ini with `tconnect.` before it.

    An `option` may be changed by an administrator while the site runs, unless the ini gives it a value.
    """

    name: str
    type: Kind
    default: object
    help: str
    option: bool = False
    required: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "site_url",
        SITE_URL,
        None,
        _(
            "The address of this site as its peers and its visitors write it, with the path the site lies under. "
            "Peers know the site by it: it cannot simply be changed once a peer is connected."
        ),
        required=True,
    ),
    Setting(
        "site_name",
        TEXT,
        None,
        _("The name of this site, shown to people and sent to peers. Without it, the host of the address."),
    ),
    Setting(
        "secret_keys",
        SECRET_KEYS,
        None,
        _(
            "Keys that secrets in the database are encrypted with and cookies are signed with. To change them, put a "
            "new one first and leave the old one behind it. "
            'Make one with: python3 -c "import secrets; print(secrets.token_hex(32))"'
        ),
        required=True,
    ),
    Setting(
        "development",
        BOOLEAN,
        False,
        _("Permits keys that are placeholders. Never true on a site that real people use."),
    ),
    Setting(
        "request_timeout",
        _number(_("seconds"), 60, 3600, 600),
        600,
        _("How long somebody may take between pressing the sign-in button and coming back signed in."),
    ),
    Setting(
        "network.private",
        NETWORKS,
        (),
        _(
            "Private networks in which peers may lie. All other addresses that are not public are refused, so that "
            "nobody can make this site call its own surroundings."
        ),
    ),
    Setting(
        "network.allow_http",
        BOOLEAN,
        False,
        _("Permits peers without https. Secrets and people then cross the network in the clear."),
    ),
    Setting(
        "network.ca_file",
        FILE,
        None,
        _("Certificate authorities (PEM) by which peers are recognised, besides the system's."),
    ),
    Setting(
        "client.type",
        _choice("lms", "social"),
        "lms",
        _(
            "What this site says it is when it is a client. With lms, collections become audiences; with social, "
            "groups."
        ),
    ),
    Setting(
        "server.enabled",
        BOOLEAN,
        False,
        _("This site is a server: other sites may sign people in through it."),
        option=True,
    ),
    Setting(
        "server.sync_passwords",
        BOOLEAN,
        False,
        _("Send the hashes of passwords to client sites."),
        option=True,
    ),
    Setting(
        "client.enabled",
        BOOLEAN,
        False,
        _("This site is a client: people may sign in to it through the servers it is connected to."),
        option=True,
    ),
    Setting(
        "client.auto_sign_in",
        SERVER_ID,
        None,
        _(
            "The id of the server that people are sent to at once when they come to the login page; "
            "`tconnect client server list` shows it. `/login?nosso=1` shows that page all the same."
        ),
        option=True,
    ),
    Setting(
        "client.migrate_accounts",
        BOOLEAN,
        False,
        _(
            "A person without an account here takes over the local account that matches by "
            "`client.account_mapping`. That field must be one that nobody can choose freely on the server, or "
            "somebody could take over another person's account."
        ),
        option=True,
    ),
    Setting(
        "client.account_mapping",
        _choice("username", "email", "idnumber", "uniqueid"),
        "username",
        _(
            "The field by which a local account is recognised when accounts are migrated; `uniqueid` is the "
            "`tc_…` username of an account that came from the same server before."
        ),
        option=True,
    ),
    Setting(
        "client.removed_person",
        _choice("keep", "suspend", "delete"),
        "suspend",
        _(
            "What becomes of the account of a person whom the server no longer lists, for example because they "
            "left the audience that the client is restricted to. Who is deleted on the server is always deleted."
        ),
        option=True,
    ),
    Setting(
        "client.protected_accounts",
        WORDS,
        (),
        _(
            "Usernames of local accounts that no sync and no sign-in of a peer may take over, change, suspend or delete."
        ),
        option=True,
    ),
    Setting(
        "client.sync_profile_fields",
        BOOLEAN,
        True,
        _("Keep custom profile fields as the server sends them. With false, nothing of them is touched."),
        option=True,
    ),
    Setting(
        "client.sync_jobs",
        BOOLEAN,
        True,
        _("Keep job assignments as the server sends them. With false, nothing of them is touched."),
        option=True,
    ),
    Setting(
        "client.sync_positions",
        BOOLEAN,
        True,
        _("Keep positions as the server sends them. With false, nothing of them is touched."),
        option=True,
    ),
    Setting(
        "client.sync_organisations",
        BOOLEAN,
        True,
        _("Keep organisations as the server sends them. With false, nothing of them is touched."),
        option=True,
    ),
    Setting(
        "client.sync_idnumber",
        BOOLEAN,
        False,
        _("Copy people's ID numbers too. Without it an ID number is this site's own."),
        option=True,
    ),
    Setting(
        "client.plugin_services",
        BOOLEAN,
        False,
        _("Let servers call the services that plugins of this site offer."),
        option=True,
    ),
    Setting(
        "client.undo_days",
        _number(_("days"), 0, 3650, 30),
        30,
        _(
            "For so many days it is kept, encrypted, what a synchronisation of people replaced, so that it can be undone. "
            "0 keeps nothing."
        ),
        option=True,
    ),
    Setting(
        "guard.people",
        GUARD,
        Guard(20, 5),
        _(
            "A synchronisation that would suspend or delete more people than this number, and more than this percentage "
            "of those who came from the server, is held until an administrator approves it."
        ),
        option=True,
    ),
    Setting(
        "guard.members",
        GUARD,
        Guard(200, 25),
        _(
            "A synchronisation that would end more memberships than this number, and more than this percentage of those "
            "in the audiences, courses or groups that came from the server, is held until an administrator approves it."
        ),
        option=True,
    ),
    Setting(
        "guard.items",
        GUARD,
        Guard(20, 10),
        _(
            "A synchronisation that would delete more positions, or organisations, than this number, and more than this "
            "percentage of those that came from the server, is held until an administrator approves it."
        ),
        option=True,
    ),
    Setting(
        "auth.manual",
        BOOLEAN,
        True,
        _("People may log in with a password that is kept here."),
        option=True,
    ),
    Setting(
        "auth.order",
        WORDS,
        ("manual", "connect"),
        _("The order in which the login page offers the ways to log in."),
        option=True,
    ),
    Setting(
        "auth.enabled",
        WORDS,
        (),
        _("Ways to log in of the site's own that are enabled, though they are not at first."),
        option=True,
    ),
    Setting(
        "auth.disabled",
        WORDS,
        (),
        _("Ways to log in of the site's own that are disabled."),
        option=True,
    ),
    Setting(
        "auth.uninstalled",
        WORDS,
        (),
        _("Ways to log in that are not installed: `tconnect auth uninstall` and `install` keep this."),
        option=True,
    ),
    Setting(
        "session.timeout",
        _number(_("seconds"), 60, 31_536_000, 7200),
        7200,
        _("A sign-in ends after this time without any request."),
        option=True,
    ),
)

# The options an administrator may change, by name without the prefix.
OPTIONS: Mapping[str, Setting] = MappingProxyType(
    {setting.name: setting for setting in SETTINGS if setting.option}
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the ini says, typed. Times are in seconds.

    `site_url` has no slash at its end. `secret_keys` has the newest first. `fixed` holds the options that
    the ini gives a value, by name without the prefix (`server.enabled`).
    """

    site_url: str
    site_name: str
    secret_keys: tuple[str, ...] = field(repr=False)
    development: bool
    request_timeout: int
    private_networks: tuple[IPv4Network | IPv6Network, ...]
    allow_http: bool
    ca_file: str | None
    client_type: Literal["lms", "social"]
    fixed: Mapping[str, object]


def expand(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Put the values of environment variables in the places of `${NAME}`.

    Raises ConfigurationProblem that names every variable which is not set.
    """
    missing = sorted({name for name in _REFERENCE.findall(text) if name not in environment})
    if missing:
        raise ConfigurationProblem(
            [f"the environment variable {name} is not set; set it" for name in missing]
        )
    return _REFERENCE.sub(lambda match: environment[match[1]], text)


def read_settings(raw: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the `tconnect.*` settings of an app section; keys of others are passed over.

    Raises ConfigurationProblem with all problems at once; none of them shows the value of a secret.
    """
    known = {PREFIX + setting.name: setting for setting in SETTINGS}
    ours = {key: text for key, text in raw.items() if key.startswith(PREFIX)}
    problems = [
        f"{key}: there is no such setting{_did_you_mean(key, known)}; mend the name or remove the line"
        for key in sorted(ours.keys() - known.keys())
    ]
    values: dict[str, Any] = {}
    for key, setting in known.items():
        if key not in ours:
            values[setting.name] = setting.default
            if setting.required:
                problems.append(
                    f"{key}: is missing; expected {setting.type.expected}, for example {setting.type.example}"
                )
            continue
        try:
            values[setting.name] = setting.type.parse(expand(_as_text(ours[key]), environment).strip())
        except ConfigurationProblem as problem:
            problems += [f"{key}: {each}" for each in problem.problems]
        except ValueError as error:
            problems.append(f"{key}: {_refusal(setting, error)}")
    problems += _placeholders(values)
    if problems:
        raise ConfigurationProblem(problems)
    return Settings(
        site_url=values["site_url"],
        site_name=values["site_name"] or urlsplit(values["site_url"]).hostname or "",
        secret_keys=values["secret_keys"],
        development=values["development"],
        request_timeout=values["request_timeout"],
        private_networks=values["network.private"],
        allow_http=values["network.allow_http"],
        ca_file=values["network.ca_file"],
        client_type=values["client.type"],
        fixed=MappingProxyType({name: values[name] for name in OPTIONS if PREFIX + name in ours}),
    )


def parse_option(name: str, text: str) -> object:
    """Turn what an administrator wrote into the typed value of the option `name` (without the prefix).

    Raises NotFound for a name that is no option, InvalidInput for text that the option cannot take.
    """
    setting = OPTIONS.get(name)
    if setting is None:
        if any(name == each.name for each in SETTINGS):
            raise NotFound(_("${name} is set in the ini file only, as tconnect.${name}", name=name))
        raise NotFound(_("there is no option ${name}${guess}", name=name, guess=_did_you_mean(name, OPTIONS)))
    try:
        return setting.type.parse(text.strip())
    except ValueError as error:
        raise InvalidInput(
            name, _("${name}: ${problem}", name=name, problem=_refusal(setting, error))
        ) from None


def format_option(value: object) -> str:
    """Write the value of an option as `parse_option` reads it."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case tuple():
            return " ".join(str(each) for each in value)
        case _:
            return str(value)


def settings_page() -> str:
    """Write docs/settings.md: every setting and option with what it takes, its default and its meaning."""
    in_ini = [setting for setting in SETTINGS if not setting.option]
    return "\n".join(
        [
            "# Settings",
            "",
            "<!-- Made by `make docs` from tconnect_pyramid/settings.py: change it there. -->",
            "",
            "Written in the app section of the ini file. `${NAME}` in a value stands for the environment variable",
            "NAME. All mistakes are",
            "reported together when the site starts.",
            "",
            "## In the ini file only",
            "",
            *_table(in_ini, PREFIX),
            "",
            "## Options",
            "",
            "An administrator changes these while the site runs, with `tconnect settings set NAME VALUE`. One that the ini file gives a value (with `tconnect.` before its name) is fixed to it.",
            "",
            *_table(OPTIONS.values(), ""),
            "",
        ]
    )


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a Python {type(value).__name__}, where settings are text as in an ini file")  # noqa: TRY004 - reported like every wrong value
    return value


def _refusal(setting: Setting, error: ValueError) -> Text:
    kind = setting.type
    return _(
        "expected ${expected}, found ${found}; write for example ${example}",
        expected=kind.expected,
        found=found_instead(error),
        example=kind.example,
    )


def _placeholders(values: Mapping[str, Any]) -> list[str]:
    if values.get("development"):
        return []
    return [
        f"{PREFIX}secret_keys: key {place} is a placeholder that everybody knows; make one with "
        f"secrets.token_hex(32), or say {PREFIX}development = true if this is no real site"
        for place, key in enumerate(values.get("secret_keys") or (), 1)
        if any(word in key.lower() for word in PLACEHOLDERS)
    ]


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return _(" (did you mean ${name}?)", name=near[0]) if near else ""


def _quoted(text: str) -> str:
    shown = text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - enough to recognise it
    return repr(shown) if text else _("nothing")


def _table(settings: Iterable[Setting], prefix: str) -> list[str]:
    rows = ["| Name | Takes | Default | Meaning |", "| --- | --- | --- | --- |"]
    for setting in settings:
        if setting.required:
            default = "*required*"
        elif setting.default in (None, ()):
            default = "none"
        else:
            default = f"`{format_option(setting.default)}`"
        rows.append(f"| `{prefix}{setting.name}` | {setting.type.expected} | {default} | {setting.help} |")
    return rows
