"""`tconnect demo`: something to look at."""

from __future__ import annotations

from dataclasses import asdict

import click

from tconnect_pyramid.cli.base import command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, working
from tconnect_pyramid.site import seed as samples


@click.group()
def demo() -> None:
    """Sample data for sites that nobody uses."""


@command(demo, "seed")
@click.option(
    "--people",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="How many people; 0 makes the administrator only.",
)
def seed(site: Site, people: int) -> Answer:
    """Fill a development site with people, audiences and courses; what is there already stays as it is."""
    context = site.migrated()
    with working("Adding sample people"):
        seeded = samples.seed(context, people=people)
    made = (
        f"Added {seeded.people} people, {seeded.audiences} audiences and {seeded.courses} courses."
        if seeded.people or seeded.audiences or seeded.courses
        else "Everything was there already."
    )
    who = f"Administrator: {samples.ADMIN_USER}, password {samples.SAMPLE_PASSWORD}"
    if people:
        who = f"Sample person: {samples.SAMPLE_USER}, password {samples.SAMPLE_PASSWORD}\n{who}"
    document = {
        **asdict(seeded),
        "user": samples.SAMPLE_USER if people else None,
        "administrator": samples.ADMIN_USER,
        "password": samples.SAMPLE_PASSWORD,
    }
    return Answer(document, f"{made}\n{who}")
