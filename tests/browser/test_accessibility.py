"""Every page of both sites, as one comes to them by links: axe-core finds nothing, and they are small and their own."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.databases import maker, missing
from support.listening import two_listening
from support.webapp import PASSWORD, add_person, connect

from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.directory.audiences import list_audiences
from tconnect_pyramid.directory.courses import list_courses
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.directory.hierarchy_frameworks import list_frameworks
from tconnect_pyramid.site.seed import seed

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
MOST_BYTES = 100_000
MOST_REQUESTS = 5
MOST_PAGES = 120
LOOK = """
async () => (await axe.run()).violations.map(
  (found) => `${found.id}: ${found.help} (${found.nodes.map((node) => node.target.join(" ")).join("; ")})`
)
"""
NARROW = {"width": 320, "height": 700}
WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def axe():
    if not AXE.exists():
        missing("axe-core (run `make axe`, which takes npm)")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Two connected sites with something of everything on both."""
    with (
        maker("sqlite", tmp_path_factory.mktemp("sites")) as make,
        two_listening(make, "Test server", "Test client") as pair,
    ):
        seed(pair.server)
        with pair.server.reading() as session:
            wishes = {
                "audiences": tuple(audience.id for audience in list_audiences(session)),
                "courses": tuple(course.id for course in list_courses(session)),
                "position_frameworks": tuple(each.id for each in list_frameworks(session, POSITIONS)),
                "organisation_frameworks": tuple(each.id for each in list_frameworks(session, ORGANISATIONS)),
            }
        connect(pair, **wishes)
        for kind in KINDS:
            run_sync(pair.client, kind, 1, origin="command")
        for context in (pair.server, pair.client):
            add_person(context, "root", admin=True, firstname="Rosa", lastname="Root")
        yield pair


def shape(path: str) -> str:
    """What kind of page a path shows: of many people one will do."""
    return re.sub(r"\d+", "N", path)


class Visit:
    """A browser that looks at pages: what each asked for, how much came, and what it complained of."""

    def __init__(self, chromium, axe, *, viewport, scheme) -> None:
        self.context = chromium.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.axe = axe
        self.narrow = viewport is NARROW
        self.problems = []
        self.page.on("console", lambda message: self.problems.append(f"{self.page.url}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"{self.page.url}: {error}"))
        self.answers = []
        # Playwright marks what it is given, which a list's own method does not allow.
        self.page.on("response", lambda answer: self.answers.append(answer))  # noqa: PLW0108

    def log_in(self, url) -> None:
        self.page.goto(f"{url}/login?nosso=1")
        self.page.get_by_label("Username").fill("root")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("main").get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{url}/")

    def look(self, url, path) -> list[str]:
        """Judge one page; gives the paths of this site that it links to."""
        self.answers.clear()
        answer = self.page.goto(f"{url}{path}")
        self.judge(path, answer, [*self.answers], urlsplit(url).netloc)
        return [
            urlsplit(link).path
            for link in self.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
            if urlsplit(link).netloc == urlsplit(url).netloc
        ]

    def judge(self, path, answer, answers, own) -> None:
        if answer.status != 200:
            self.problems.append(f"{path}: {answer.status}")
        foreign = [each.url for each in answers if urlsplit(each.url).netloc != own]
        if foreign:
            self.problems.append(f"{path}: asks {foreign}")
        size = sum(int(each.headers.get("content-length", 0)) for each in answers)
        if len(answers) > MOST_REQUESTS or size > MOST_BYTES:
            self.problems.append(f"{path}: {len(answers)} requests, {size} bytes")
        self.page.evaluate(self.axe)
        self.problems += [f"{path}: {found}" for found in self.page.evaluate(LOOK)]
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        if self.narrow and wide > NARROW["width"]:
            self.problems.append(f"{path}: {wide} pixels wide")


def everything(visit, url) -> set[str]:
    """Look at one page of each kind that can be reached from the home page; gives the kinds."""
    seen = set()
    waiting = deque(["/"])
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.popleft()
        if shape(path) in seen or "static" in path or path.endswith("logout"):
            continue
        seen.add(shape(path))
        waiting.extend(visit.look(url, path))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("viewport", "scheme"), [(NARROW, "light"), (WIDE, "dark")], ids=["narrow", "dark"])
@pytest.mark.parametrize("which", ["server_url", "client_url"])
def test_nothing_keeps_anybody_from_using_a_page(chromium, axe, sites, which, viewport, scheme):
    url = getattr(sites, which)
    visit = Visit(chromium, axe, viewport=viewport, scheme=scheme)
    strangers = everything(visit, url)
    visit.log_in(url)

    seen = everything(visit, url)
    visit.look(url, "/admin/prove")

    visit.context.close()
    assert not visit.problems, "\n".join(visit.problems)
    assert {"/", "/login"} <= strangers
    assert {"/", "/profile", "/admin/", "/admin/features", "/admin/audiences/N/members"} <= seen
