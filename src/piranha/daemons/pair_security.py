"""TLS of the link over which a returning director gets the connection table: by the pair's key, as it is at the moment."""

from __future__ import annotations

import logging
from pathlib import Path

from piranha.cluster.identity import CERTIFICATE_FILE
from piranha.cluster.keys import FILE_NAME
from piranha.replication.tls import client_context, server_context
from piranha.sync.host import LinkSecurity

logger = logging.getLogger(__name__)


class PairSecurity:
    """Called for the contexts: the same object as long as the files are the same, None before the directors are paired."""

    def __init__(self, etc: Path) -> None:
        self._files = (etc / FILE_NAME, etc / CERTIFICATE_FILE)
        self._etc = etc
        self._made_of: tuple[tuple[int, int], ...] | None = None
        self._security: LinkSecurity | None = None
        self._warned = False

    def __call__(self) -> LinkSecurity | None:
        """Raises PiranhaError for files that are there and not sound: then there shall be no link."""
        try:
            found = tuple((status.st_mtime_ns, status.st_ino) for status in (file.stat() for file in self._files))
        except FileNotFoundError:
            if not self._warned:
                self._warned = True
                logger.warning("the directors are not paired: connections are copied without TLS; run `piranha pair`")
            return None
        if found != self._made_of:
            self._security = LinkSecurity(server=server_context(self._etc), client=client_context(self._etc))
            self._made_of = found
        return self._security
