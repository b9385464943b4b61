"""Sites on real ini files for the `tconnect` command."""

from __future__ import annotations

import pytest
from support import databases
from support.commanded import Tconnect, section


@pytest.fixture
def empty(tmp_path):
    """A site without tables."""
    ini = tmp_path / "site.ini"
    ini.write_text(section(), encoding="utf-8")
    return Tconnect(ini)


@pytest.fixture
def site(empty, tmp_path):
    databases.copy_sqlite(tmp_path / "main.sqlite")
    return empty
