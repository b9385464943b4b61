"""Where each end point lives below a site's base URL (protocol 2)."""

from __future__ import annotations

SERVER_SEP = "/totara/connect/sep.php"
SSO_REQUEST = "/totara/connect/sso_request.php"
USER_EDIT = "/user/edit.php"

CLIENT_SETUP = "/auth/connect/sep_setup.php"
CLIENT_SEP = "/auth/connect/sep.php"
SSO_START = "/auth/connect/sso_start.php"
SSO_FINISH = "/auth/connect/sso_finish.php"
CLIENT_USER_EDIT = "/auth/connect/user_edit.php"
CLIENT_USER_EDIT_FINISH = "/auth/connect/user_edit_finish.php"


def join(base_url: str, path: str) -> str:
    """The address of one of the paths above on the site at `base_url`, which may hold a path prefix.

    A final slash of the base is dropped; the path is appended as it is (protocol 1).
    """
    return base_url.rstrip("/") + path
