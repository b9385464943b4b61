from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

WIRE = Path(__file__).parents[2] / "data" / "wire"

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("tconnect", deadline=None)
settings.load_profile("tconnect")


@pytest.fixture(scope="session")
def recording() -> Callable[[str], Any]:
    """Gives a recorded exchange with a real Totara site by the name of its file."""

    def load(name: str) -> Any:
        return json.loads((WIRE / f"{name}.json").read_bytes())

    return load
