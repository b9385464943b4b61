"""How property tests are run: few examples and always the same ones, or `TCONNECT_TEST_EXAMPLES` times as many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get("TCONNECT_TEST_EXAMPLES", "1"))


def examples(number: int, phases: tuple[Phase, ...] = tuple(Phase)) -> settings:
    """Settings for so many examples as usual; each may take as long as databases do."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=phases,
    )
