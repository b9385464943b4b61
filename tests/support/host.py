"""A security policy as a host may have one."""

from __future__ import annotations

from pyramid.security import Allowed, Denied


class HostPolicy:
    """A host that believes a cookie."""

    def identity(self, request):
        return request.cookies.get("host_user")

    def authenticated_userid(self, request):
        return self.identity(request)

    def permits(self, request, context, permission):
        return Allowed("host") if self.identity(request) else Denied("host")

    def remember(self, request, userid, **kw):
        return [("Set-Cookie", f"host_user={userid}; Path=/")]

    def forget(self, request, **kw):
        return [("Set-Cookie", "host_user=; Max-Age=0; Path=/")]

    def of_its_own(self):
        return "asked"
