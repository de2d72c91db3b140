"""Changing the heartbeats' key over the pair link: the shell of `rotation.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.cluster.keys import PairKeys, read_pair_keys, write_pair_keys
from piranha.replication.frames import KeyAnswer, Kind, NewKey, key_frame, pack
from piranha.replication.rotation import draw, only_shared, with_new
from piranha.replication.session import Session

logger = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 10.0


class KeyChange:
    """`told` has pulse read the keys again. `node` is ours: of two proposals that cross, that of the smaller one counts."""

    def __init__(self, paths: Paths, told: Callable[[], Awaitable[None]]) -> None:
        self.node = ""
        self._etc = paths.etc
        self._told = told
        self._answer: asyncio.Future[KeyAnswer] | None = None

    async def propose(self, session: Session) -> int:
        """Draw a key, give it to the other director, and then store it -> its number. Raises PiranhaError."""
        if self._answer is not None:
            raise PiranhaError("the key is being changed already")
        pair = await asyncio.to_thread(read_pair_keys, self._etc)
        new, answer = await self._ask(session, pair)
        rest = only_shared(pair, answer.ids) if answer.refused else None
        if rest is not None:
            # Our newest key is from a change that the other director has not heard the end of.
            await self._write(rest)
            pair = rest
            new, answer = await self._ask(session, pair)
        if answer.refused:
            raise PiranhaError(f"the other director refuses the new key: {answer.reason}")
        await self._write(with_new(pair, replace(new, ids=tuple(set(answer.ids) & pair.keys.keys()))))
        return new.key_id

    async def _ask(self, session: Session, pair: PairKeys) -> tuple[NewKey, KeyAnswer]:
        new = draw(pair)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            session.send(key_frame(new))
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                return new, await self._answer
        except TimeoutError:
            raise PiranhaError("the other director does not answer; the key in use stays", mend="try again") from None
        finally:
            self._answer = None

    async def accept(self, session: Session, new: NewKey) -> None:
        """The other director's proposal: stored, and answered."""
        ids: list[int] = []
        try:
            if self._answer is not None and self.node < session.hello.node:
                raise PiranhaError("this director is changing the key itself just now")
            pair = await asyncio.to_thread(read_pair_keys, self._etc)
            ids = sorted(pair.keys)
            await self._write(with_new(pair, new))
        except PiranhaError as error:
            session.send(pack(Kind.KEY_REFUSED, {"id": new.key_id, "ids": ids, "reason": str(error)}))
            return
        session.send(pack(Kind.KEY_TAKEN, {"id": new.key_id, "ids": ids}))

    def answered(self, answer: KeyAnswer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def lost(self) -> None:
        """The link is down: whether the other stored the key is not known, and either way both still have the one in use."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                PiranhaError("the pair link broke; the key in use stays", mend="try again when it is up")
            )

    async def _write(self, pair: PairKeys) -> None:
        await asyncio.to_thread(write_pair_keys, self._etc, pair)
        logger.info("heartbeat keys=%s stored", ",".join(str(key_id) for key_id in sorted(pair.keys)))
        await self._told()
