"""Who is asking, who may, and signing in and out. `includeme` composes with the host's policy."""

from __future__ import annotations

from pyramid.config import PHASE2_CONFIG, PHASE3_CONFIG, Configurator
from pyramid.interfaces import IAuthenticationPolicy, ISecurityPolicy

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.security.cookies import HOST_POLICY
from tconnect_pyramid.security.form_tokens import form_token_of
from tconnect_pyramid.security.identity import Identity
from tconnect_pyramid.security.policy import TConnectAuthenticationPolicy, TConnectSecurityPolicy
from tconnect_pyramid.security.signins import (
    SignInLink,
    ensure_signed_in,
    looked_up,
    sign_in,
    sign_in_links,
    sign_out,
)

__all__ = [
    "Identity",
    "SignInLink",
    "TConnectAuthenticationPolicy",
    "TConnectSecurityPolicy",
    "ensure_signed_in",
    "includeme",
    "sign_in",
    "sign_in_links",
    "sign_out",
]


def includeme(config: Configurator) -> None:
    """Add `request.tconnect_sign_in` and `request.tconnect_form_token`, and put our policy around the host's, whenever that is set.

    `set_security_policy` inside an include would be dropped silently when the host sets its own, so
    the composition is an action that runs after those (PHASE2_CONFIG). A later check stops a site
    whose policy was replaced after all.
    """
    config.add_request_method(looked_up, "tconnect_sign_in", reify=True)
    config.add_request_method(form_token_of, "tconnect_form_token", reify=True)
    config.action("tconnect security policy", lambda: _compose(config), order=PHASE2_CONFIG + 1)
    config.action("tconnect security check", lambda: _check(config), order=PHASE3_CONFIG + 20)


def _compose(config: Configurator) -> None:
    registry = config.registry
    legacy = registry.queryUtility(IAuthenticationPolicy)
    registry[HOST_POLICY] = True
    if legacy is not None:
        # Wrapping Pyramid's LegacySecurityPolicy instead would turn every principal into Everyone.
        if not isinstance(legacy, TConnectAuthenticationPolicy):
            registry.registerUtility(TConnectAuthenticationPolicy(legacy), IAuthenticationPolicy)
        return
    policy = registry.queryUtility(ISecurityPolicy)
    if not isinstance(policy, TConnectSecurityPolicy):
        policy = TConnectSecurityPolicy(policy)
        registry.registerUtility(policy, ISecurityPolicy)
    registry[HOST_POLICY] = policy.inner is not None


def _check(config: Configurator) -> None:
    registry = config.registry
    legacy = registry.queryUtility(IAuthenticationPolicy)
    policy = registry.queryUtility(ISecurityPolicy)
    if isinstance(legacy, TConnectAuthenticationPolicy) or isinstance(policy, TConnectSecurityPolicy):
        return
    raise ConfigurationProblem(
        [
            (
                f"The security policy {type(policy).__name__} was put in place of TConnectSecurityPolicy, so "
                "sign-ins could not be ended. Set it with config.set_security_policy(...), or wrap it: "
                "TConnectSecurityPolicy(inner=...)."
            )
        ]
    )
