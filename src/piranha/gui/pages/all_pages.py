"""The whole route table. A path or method that it does not have is refused."""

from __future__ import annotations

from piranha.gui.page import Page
from piranha.gui.pages import (
    accounts,
    api,
    assets,
    configuration,
    connections,
    control,
    doctor,
    events,
    login,
    servers,
    settings,
)

PAGES: tuple[Page, ...] = (
    *assets.PAGES,
    *login.PAGES,
    *control.PAGES,
    *servers.PAGES,
    *settings.PAGES,
    *connections.PAGES,
    *events.PAGES,
    *configuration.PAGES,
    *accounts.PAGES,
    *doctor.PAGES,
    *api.PAGES,
)
