"""Totara Connect for Pyramid sites: log in once, be known everywhere, and people stay in step."""
