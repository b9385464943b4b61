"""Random histories of two connected sites: after each sync the client is as an oracle says that it must be."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st
from support import in_step
from support.properties import examples
from support.stories import ACTIONS, Beginning
from support.webapp import two_sites

EXAMPLES = {"sqlite": 30, "postgresql": 8}

# What matters most before anybody has come to the client.
FIRST = ("add_account", "add_account", "choose_what_comes", "migrate", "removed_person", "restrict")
# Many rules hang on these, so that they happen more often.
OFTEN = (
    *("add_person", "choose_none", "delete_or_undelete", "edit_job", "join_or_leave", "number_job"),
    *("move_item", "move_item", "move_job", "restrict", "suspend_here", "value_here", "value_there"),
)
LATER = (*sorted(ACTIONS), *OFTEN)
SYNC = ("sync",)
PLACES = (*[FIRST] * 6, *[*[LATER] * 24, SYNC] * 3)

# Four bytes a step, all of them at once: of lists, Hypothesis makes short ones, and many that are alike.
histories = st.binary(min_size=4 * len(PLACES), max_size=4 * len(PLACES))


def steps_of(history: bytes) -> list[tuple]:
    steps = []
    for place, names in enumerate(PLACES):
        which, *numbers = history[4 * place : 4 * place + 4]
        steps.append((names[which % len(names)], *numbers))
    return steps


def tell(beginning: Beginning, steps: list[tuple]) -> None:
    story = beginning.anew()
    for name, *numbers in steps:
        if name == "sync":
            in_step.sync(story, approves=numbers[0] % 2 == 0)
        else:
            story.happens(name, *numbers)


def fails(beginning: Beginning, steps: list[tuple]) -> bool:
    try:
        tell(beginning, steps)
    except Exception:  # noqa: BLE001 - whatever it is, it is no pass
        return True
    return False


def shortened(steps: list[tuple], still_fails) -> list[tuple]:
    """Leave out what can be left out, in ever smaller pieces."""
    size = len(steps) // 2
    while size:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if still_fails(fewer):
                steps = fewer
            else:
                start += size
        size //= 2
    return steps


@pytest.mark.slow
def test_after_any_history_a_sync_makes_the_client_as_the_rules_say(make_database):
    told = []
    with two_sites(make_database(), make_database()) as sites:
        beginning = Beginning(sites)

        @examples(EXAMPLES[sites.client.database.engine.dialect.name], (Phase.generate,))
        @given(histories)
        def any_history(history):
            told.append(steps_of(history))
            tell(beginning, told[-1])

        try:
            any_history()
        except Exception as error:
            steps = shortened(told[-1], partial(fails, beginning))
            error.add_note("The shortest history that fails:\n" + "\n".join(map(str, steps)))
            raise
