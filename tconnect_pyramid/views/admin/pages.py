"""What the administration pages have in common: their frame, lists, and asking before something is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from pyramid.httpexceptions import HTTPNotFound
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.directory.paging import Asked, Page
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.errors import NotFound
from tconnect_pyramid.options import Options
from tconnect_pyramid.texts import Text
from tconnect_pyramid.views.admin.menu import menu_for

T = TypeVar("T")

TEMPLATES = "tconnect_pyramid:templates/admin/"


def show(
    request: Request,
    template: str,
    current: str,
    values: Mapping[str, object],
    status: int = 200,
    *,
    folder: str = TEMPLATES,
) -> Response:
    """A page in the frame of *Site administration*.

    `template` is a file of `folder` without its ending, `current` the entry of the menu it belongs to; `values`
    has its `title`.
    """
    options = options_of(request)
    response = render_to_response(
        f"{folder}{template}.jinja2",
        {"menu": menu_for(request, options, current), "options": options, **values},
        request=request,
    )
    response.status_int = status
    return response


def options_of(request: Request) -> Options:
    """The administrator's options now in force."""
    context = request.tconnect
    with context.reading() as session:
        options: Options = context.options(session)
    return options


def actor(request: Request) -> str:
    """Who does what this request does, as the audit trail writes it."""
    return f"account:{request.tconnect_admin.account.key}"


def path(request: Request, name: str, query: Mapping[str, object] | None = None, **parts: object) -> str:
    """The path of the page `tconnect.admin.NAME`."""
    found: str = request.route_path(f"tconnect.admin.{name}", **parts)
    return f"{found}?{urlencode(query)}" if query else found


def id_of(request: Request, name: str = "id") -> int:
    """The id in the address of the page. Raises HTTPNotFound for what is none."""
    found = as_id(request.matchdict[name])
    if found is None:
        raise HTTPNotFound
    return found


def steps_asked(request: Request) -> int | None:
    """How far a button wants something moved in its list: one up or down; None where none was pressed."""
    return {"up": -1, "down": 1}.get(request.POST.get("to", "")) if request.method == "POST" else None


def present(found: Sequence[T]) -> T:
    """The only one that was found. Raises HTTPNotFound where there is none."""
    if not found:
        raise HTTPNotFound
    return found[0]


@contextmanager
def existing() -> Iterator[None]:
    """Answer that there is no such page where a rule says that there is no such thing.

    With an `Attempt` around it, which would take that for a refusal: `with attempt, existing():`.
    """
    try:
        yield
    except NotFound:
        raise HTTPNotFound from None


def is_https(request: Request) -> bool:
    """Whether this site lies at a secure address, as the document asks for in both roles."""
    site_url: str = request.tconnect.settings.site_url
    return urlsplit(site_url).scheme == "https"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list with the addresses of its neighbours and orders, for `templates/admin/lists.jinja2`.

    `kept` are further parameters of the address, such as a filter, which every link of the list keeps.
    """

    asked: Asked
    page: Page[Any]
    path: str
    kept: Mapping[str, str]

    @property
    def before(self) -> str:
        """The address of the page before; empty on the first."""
        return self._address(cursor=self.page.before) if self.page.before else ""

    @property
    def after(self) -> str:
        """The address of the next page; empty on the last."""
        return self._address(cursor=self.page.after) if self.page.after else ""

    @property
    def beginning(self) -> str:
        """The address of the first page."""
        return self._address()

    def sorted_by(self, name: str) -> str:
        """The address of the list in this order, or the other way round where it is in it already."""
        sort = f"-{name}" if self.page.sort == name else name
        return self._address(sort=sort)

    def order(self, name: str) -> str:
        """How the list is sorted by `name`, in words of `aria-sort`."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.page.sort, "none")

    def _address(self, **changed: str) -> str:
        asked = {"search": self.asked.search, "sort": self.asked.sort, **self.kept, **changed}
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"{self.path}?{query}" if query else self.path


def asked_of(request: Request) -> Asked:
    """Which part of a list the address asks for."""
    return Asked(
        search=request.GET.get("search", "").strip(),
        sort=request.GET.get("sort", ""),
        cursor=request.GET.get("cursor", ""),
    )


def listing(request: Request, asked: Asked, page: Page[Any], **kept: str) -> Listing:
    """A list of this page's address."""
    return Listing(asked, page, request.path, kept)


def ask(
    request: Request,
    current: str,
    *,
    title: Text,
    consequences: Sequence[str],
    button: Text,
    cancel: str,
    refused: str | None = None,
    form: Any = None,
) -> Response:
    """A page that asks before something is done, naming what comes of it; `form` has further questions.

    Its button posts to the same address.
    """
    return show(
        request,
        "ask",
        current,
        {
            "title": title,
            "consequences": consequences,
            "button": button,
            "cancel": cancel,
            "refused": refused,
            "form": form,
        },
    )
