"""Copying the partner's table by stream: the listener's end of `teller.py`."""

from __future__ import annotations

from collections.abc import Callable

from piranha.sync import stream
from piranha.sync.intake import Intake
from piranha.sync.role import PairRole
from piranha.sync.stream import ByteStream, Kind, StreamError

_SILENCE_S = 5.0
_ANY_GROUP = 0


class Copier:
    """One session. `greeted` is called when a partner answers, `complete` when all it had is here.

    `run` never returns, and raises ConnectionError, TimeoutError or StreamError.

    A backup takes all that the active director says. Otherwise nobody knows whose entry is the newer one: until the copy
    is complete those that are here stay as they are.
    """

    def __init__(
        self,
        opened: ByteStream,
        intake: Intake,
        *,
        role: Callable[[], PairRole],
        greeted: Callable[[], None],
        complete: Callable[[int], None],
    ) -> None:
        self._stream = opened
        self._intake = intake
        self._role = role
        self._greeted = greeted
        self._complete = complete
        self._is_complete = False
        self._teller = ""

    async def run(self) -> None:
        await stream.send(self._stream, Kind.HELLO, stream.pack_hello(self._role().value))
        while True:
            kind, body = await stream.receive(self._stream, _SILENCE_S)
            match kind:
                case Kind.HELLO:
                    self._teller = stream.unpack_hello(body)
                    self._greeted()
                case Kind.ENTRIES:
                    self._intake.accept(list(stream.datagrams_of(body)), _ANY_GROUP, keep=self._keeps())
                case Kind.COMPLETE:
                    self._is_complete = True
                    self._complete(stream.unpack_number(body))
                case Kind.MARK:
                    await stream.send(self._stream, Kind.ACK, body)
                case Kind.ACK:
                    raise StreamError("a teller may not send ACK")

    def _keeps(self) -> bool:
        original = self._teller == PairRole.ACTIVE and self._role() is PairRole.BACKUP
        return not self._is_complete and not original
