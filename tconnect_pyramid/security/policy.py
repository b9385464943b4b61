"""The security policies: ours alone, or around the policy of a host.

A host's policy goes on to decide who somebody is. Ours adds one thing: a sign-in that was ended,
here or at a peer, is no sign-in any more, whatever the host's own cookie says.
"""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Everyone
from pyramid.interfaces import IAuthenticationPolicy, ISecurityPolicy
from pyramid.request import Request
from pyramid.security import Allowed, Denied
from zope.interface import implementer

from tconnect_pyramid.security.cookies import Headers, forget_browser_id
from tconnect_pyramid.security.identity import Identity, identity_of
from tconnect_pyramid.security.permissions import PERMISSIONS, is_permitted
from tconnect_pyramid.security.signins import current_sign_in, has_ended


@implementer(ISecurityPolicy)
class TConnectSecurityPolicy:
    """A security policy (Pyramid 2). `inner` is the host's, None on a site that has no other.

    Without `inner` the identity is an `Identity` of ours and the permissions are those of our
    table. With `inner` identity and permissions are the host's, but for ended sign-ins and for
    permissions of ours. What we do not know is asked of `inner`.
    """

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    def identity(self, request: Request) -> Any:
        """Who is asking, or None."""
        if has_ended(request):
            return None
        return our_identity(request) if self.inner is None else self.inner.identity(request)

    def authenticated_userid(self, request: Request) -> Any:
        """The account's key; with a host's policy, whatever that gives."""
        if has_ended(request):
            return None
        if self.inner is not None:
            return self.inner.authenticated_userid(request)
        identity = our_identity(request)
        return None if identity is None else identity.key

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        """Whether the person may; our own permissions (`tconnect.*`) are decided by our own table."""
        if self.inner is not None and permission not in PERMISSIONS:
            if has_ended(request):
                return Denied(f"This sign-in has ended; {permission} needs a new one.")
            return self.inner.permits(request, context, permission)
        if is_permitted(our_identity(request), permission):
            return Allowed(f"The account has the permission {permission}.")
        return Denied(f"The permission {permission} is needed.")

    def remember(self, request: Request, userid: Any, **kw: Any) -> Headers:
        """Headers of the host's policy; our own sign-ins are made by `security.sign_in`."""
        return [] if self.inner is None else list(self.inner.remember(request, userid, **kw))

    def forget(self, request: Request, **kw: Any) -> Headers:
        """Headers by which the browser forgets; the row of the sign-in is ended by `security.sign_out`."""
        inner = [] if self.inner is None else list(self.inner.forget(request, **kw))
        return [*inner, *forget_browser_id(request)]

    def __getattr__(self, name: str) -> Any:
        # A host may call methods of its own on its policy.
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)


@implementer(IAuthenticationPolicy)
class TConnectAuthenticationPolicy:
    """An authentication policy around a host's, for hosts that still use one with an authorization policy."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def unauthenticated_userid(self, request: Request) -> Any:
        """Whatever the host's policy reads from the request, unless the sign-in has ended."""
        return None if has_ended(request) else self.inner.unauthenticated_userid(request)

    def authenticated_userid(self, request: Request) -> Any:
        """The host's user id, unless the sign-in has ended."""
        return None if has_ended(request) else self.inner.authenticated_userid(request)

    def effective_principals(self, request: Request) -> Any:
        """The host's principals; Everyone alone once the sign-in has ended."""
        return [Everyone] if has_ended(request) else self.inner.effective_principals(request)

    def remember(self, request: Request, userid: Any, **kw: Any) -> Headers:
        """The host's headers."""
        return list(self.inner.remember(request, userid, **kw))

    def forget(self, request: Request, **kw: Any) -> Headers:
        """The host's headers and ours."""
        return [*self.inner.forget(request, **kw), *forget_browser_id(request)]

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)


def our_identity(request: Request) -> Identity | None:
    """The identity of the sign-in that our own cookie names, or None."""
    current = current_sign_in(request)
    return None if current is None else identity_of(current)
