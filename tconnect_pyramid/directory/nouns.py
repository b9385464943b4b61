"""What the things of a directory are called in a sentence, by the word that the code has for them."""

from __future__ import annotations

from collections.abc import Mapping

from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

ONE: Mapping[str, Text] = {
    "audience": _("audience"),
    "group": _("group"),
    "position": _("position"),
    "position_framework": _("position framework"),
    "position_type": _("position type"),
    "organisation": _("organisation"),
    "organisation_framework": _("organisation framework"),
    "organisation_type": _("organisation type"),
    "job": _("job"),
    "course": _("course"),
}
MANY: Mapping[str, Text] = {
    "audience": _("audiences"),
    "group": _("groups"),
    "position": _("positions"),
    "position_framework": _("position frameworks"),
    "position_type": _("position types"),
    "organisation": _("organisations"),
    "organisation_framework": _("organisation frameworks"),
    "organisation_type": _("organisation types"),
}
