"""The pair's key file as the pair link needs it: who the other director is, and TLS that believes it alone."""

from __future__ import annotations

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.cluster.identity import CERTIFICATE_FILE
from piranha.cluster.keys import Peer, read_pair_keys
from piranha.replication.ends import Ends
from piranha.replication.link import LinkSettings
from piranha.replication.tls import client_context, server_context


class Pairing:
    """Reads the files again at every call; contexts are made anew only where a certificate changed."""

    def __init__(self, paths: Paths) -> None:
        self._etc = paths.etc
        self._made: tuple[Peer, str, LinkSettings] | None = None

    def peer(self) -> Peer:
        """Raises PiranhaError where the directors are not paired."""
        return read_pair_keys(self._etc).peer

    def settings(self, ends: Ends) -> LinkSettings:
        """The link with these ends. May block; raises PiranhaError where keys or certificates are not sound."""
        peer = self.peer()
        try:
            own = (self._etc / CERTIFICATE_FILE).read_text()
        except OSError as error:
            raise PiranhaError(
                f"cannot read {error.filename} ({error.strerror})", mend="pair the directors anew"
            ) from error
        if self._made is not None and self._made[:2] == (peer, own):
            former = self._made[2]
            settings = LinkSettings(ends=ends, peer=peer, server=former.server, client=former.client)
        else:
            settings = LinkSettings(
                ends=ends, peer=peer, server=server_context(self._etc), client=client_context(self._etc)
            )
        self._made = (peer, own, settings)
        return settings
