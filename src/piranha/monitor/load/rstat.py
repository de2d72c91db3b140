"""The rstat service, versions 2 to 4: what `rup` asks (Sun's rstat.x). Pure: bytes in, bytes out."""

from __future__ import annotations

from piranha.monitor.load import rpc
from piranha.monitor.load.reading import LoadUnknownError, average_of

PROGRAM, STATS = 100001, 1
VERSIONS = (3, 4, 2)
"""In the order in which they are tried: Debian's rstatd speaks 3, Solaris' 4, both 2."""
_SCALE = 256
_AVERAGE_AT = 18
_MOST_COUNTED = 1024


class RstatQuery:
    """One question for a load: `port` and `send` say what to send where, `receive` takes what comes.

    `receive` returns the load average when it has come, None while it goes on. It raises LoadUnknownError.
    """

    def __init__(self, xid: int, portmap_port: int = rpc.PORTMAP_PORT) -> None:
        self._xid = xid
        self._portmap = portmap_port
        self._left = list(VERSIONS)
        self._version = self._left.pop(0)
        self.port = portmap_port

    @property
    def send(self) -> bytes:
        """The datagram for `port`, also when it must be repeated."""
        if self.port == self._portmap:
            return rpc.get_port(self._xid, PROGRAM, self._version)
        return rpc.call(self._xid, PROGRAM, self._version, STATS)

    def receive(self, datagram: bytes) -> float | None:
        results = rpc.results_of(datagram, self._xid)
        if results is None:
            return None
        self._xid = (self._xid + 1) % 2**32
        if isinstance(results, rpc.VersionMismatch):
            self._next_version(f"rstatd speaks versions {results.low} to {results.high} alone")
            return None
        if self.port != self._portmap:
            return average_in(results, self._version)
        if not results or not 0 <= results[0] <= 65535:
            raise LoadUnknownError("the port mapper answered nonsense")
        if results[0] == 0:
            self._next_version("rstatd is not registered with the port mapper")
        else:
            self.port = results[0]
        return None

    def _next_version(self, why_not: str) -> None:
        if not self._left:
            raise LoadUnknownError(why_not)
        self._version = self._left.pop(0)
        self.port = self._portmap


def average_in(results: tuple[int, ...], version: int) -> float:
    """The load average of the last minute in the results of one version. Raises LoadUnknownError."""
    at = _AVERAGE_AT
    if version == 4:
        at = 0
        for _ in range(2):  # cp_time and dk_xfer, each with its length before it
            if len(results) <= at or results[at] > _MOST_COUNTED:
                raise LoadUnknownError("the reply is cut off")
            at += 1 + results[at]
        at += 5 + 5 + 1
    if len(results) <= at:
        raise LoadUnknownError("the reply is cut off")
    return average_of(results[at] / _SCALE)
