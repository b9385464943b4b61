"""The administration pages of Totara Connect: `config.include("tconnect_pyramid.views.admin", route_prefix="admin")`.

Which page answers where stands on this screen and in `views.admin.menu`. Each area has a module of its own, whose
`includeme` has its routes.
"""

from __future__ import annotations

from pyramid.config import Configurator

from tconnect_pyramid.views.admin import (
    auth,
    background,
    client_settings,
    clients,
    home,
    picking,
    proof,
    renewal,
    runs,
    server_settings,
    servers,
    tasks,
)


def includeme(config: Configurator) -> None:
    """Add the pages, below the path that `route_prefix` gives. All of them are for administrators.

    - `home`: *Site administration* and *Advanced features*;
    - `proof`: asks administrators who they are before they do what cannot be undone;
    - `picking`: what is looked for while a form is filled in;
    - `server_settings`: *Totara Connect server › Settings*;
    - `clients`: *Totara Connect server › Client systems* and *Add client*;
    - `auth`: *Manage authentication*;
    - `client_settings`: *Totara Connect client › Settings*;
    - `servers`: *Totara Connect client › Servers*;
    - `renewal`: new secrets for a connection, in either role;
    - `tasks`: *Scheduled tasks* of both roles, for which `background` has threads;
    - `runs`: *Totara Connect client › Synchronisations*.
    """
    config.include(home)
    config.include(proof)
    config.include(picking)
    config.include(server_settings)
    config.include(clients)
    config.include(auth)
    config.include(client_settings)
    config.include(servers)
    config.include(renewal)
    config.include(background)
    config.include(tasks)
    config.include(runs)
