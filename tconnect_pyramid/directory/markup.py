"""HTML that people or peers wrote, made harmless for whoever is shown it."""

from __future__ import annotations

import html
import re

import nh3

MOST_TAGS = 3000
"""In one text. What reads HTML takes time by the square of how deep it is: 500 kB of nothing but tags, a minute."""

# Made once: to make one takes several times as long as to clean a short text.
_clean = nh3.Cleaner().clean
_TAG = re.compile(r"<[^<>]*>?")


def clean_html(text: str) -> str:
    """The text without anything that could run or disturb the page it is shown on.

    Of a text with more than `MOST_TAGS` tags only the words are left.
    """
    if text.count("<") > MOST_TAGS:
        return html.escape(html.unescape(_TAG.sub(" ", text)), quote=False)
    return _clean(text) if text else text
