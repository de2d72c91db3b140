"""Carries out what the agreement decides: disk, reload, messages. Its caller calls one method after the other, never two at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.config.problem import Problem
from piranha.config.store import ChangedMeanwhileError, ConfigurationStore, RefusedTextError, digest_of
from piranha.model.configuration import Configuration
from piranha.replication.agreement import Agreement, AskText, Command, SendOffer, SendRefusal, Take
from piranha.replication.frames import Kind, pack, refusal_frame
from piranha.replication.vault import Vault

logger = logging.getLogger(__name__)

_REASONS = 5
_TRIES = 3


class InForce(Protocol):
    """The configuration in force, as it was read."""

    @property
    def text(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def configuration(self) -> Configuration: ...


class Served(Protocol):
    """The director."""

    @property
    def reading(self) -> InForce: ...

    async def reload(self) -> object:
        """Take the file into force. Raises PiranhaError; the former configuration then goes on."""
        ...


class Keeper:
    """`say` sends a frame to the other director, or drops it where that is not reached."""

    def __init__(
        self,
        agreement: Agreement,
        vault: Vault,
        served: Served,
        *,
        say: Callable[[bytes], None],
        told: Callable[[], Awaitable[None]],
        noted: Callable[[str], None],
    ) -> None:
        self.agreement = agreement
        self.not_in_force = ""
        """Why the latest text is on the disk and not in force."""
        self.disk_trouble = ""
        self._vault = vault
        self._served = served
        self._say = say
        self._told = told
        self._noted = noted
        self._seen = ""

    @staticmethod
    async def open(
        paths: Paths,
        served: Served,
        *,
        node: str,
        name: str,
        say: Callable[[bytes], None],
        told: Callable[[], Awaitable[None]],
        noted: Callable[[str], None],
    ) -> Keeper:
        """With what the disk remembers. `told` is called after each change of ours that the other director made, `noted`
        with what operators should find among the events.
        """
        vault = Vault(paths.config, paths.state, ConfigurationStore(paths.config, paths.state))
        in_force = served.reading
        lineage = await asyncio.to_thread(vault.recover)
        copies = {} if lineage is None else await asyncio.to_thread(vault.copies, lineage)
        text = in_force.text
        if lineage is None:
            lineage = Agreement.first(node, text)
            first = Take(lineage=lineage, text=text, writes=False)
            await asyncio.to_thread(vault.store, first, over=())
        elif in_force.digest != lineage.head.digest:
            # Changed while lvsd was away: the text of the head is needed no more, `follow` records the new one.
            text = ""
        agreement = Agreement(node=node, name=name, lineage=lineage, text=text, copies=copies)
        keeper = Keeper(agreement, vault, served, say=say, told=told, noted=noted)
        await keeper._describe()
        return keeper

    async def follow(self) -> None:
        """Record the text in force where a person changed it."""
        in_force = self._served.reading
        if in_force.digest == self._seen:
            return
        try:
            await self.execute(self.agreement.edited(in_force.text))
        except PiranhaError as error:
            self._trouble(f"a change cannot be recorded, and waits: {error}")
            return
        self._seen, self.not_in_force = in_force.digest, ""
        self._trouble("")

    async def execute(self, commands: Sequence[Command], *, by_person: bool = False) -> None:
        """Do all of it, and what follows. What a person asked for is refused by PiranhaError, the rest by a message to the other."""
        rest = deque(commands)
        while rest:
            match rest.popleft():
                case SendOffer(again):
                    offer = self.agreement.offer.to_json()
                    self._say(pack(Kind.OFFER, {**offer, "again": again}))
                case AskText(digest):
                    self._say(pack(Kind.WANT, {"digest": digest}))
                case SendRefusal(digest, reasons):
                    self._say(refusal_frame(digest, reasons))
                case Take() as take:
                    try:
                        rest.extend(await self._take(take))
                    except PiranhaError as error:
                        if by_person or not take.writes:
                            raise
                        reasons = reasons_of(error)
                        logger.warning('configuration refused reasons="%s"', "; ".join(reasons))
                        self._noted(f"the configuration of {self.agreement.peer_name} is refused: {'; '.join(reasons)}")
                        rest.extend(self.agreement.refused(take, reasons))

    async def _take(self, take: Take) -> list[Command]:
        take = await self._store(take)
        before = {copy.digest for copy in self.agreement.head.copies}
        commands = self.agreement.taken(take)
        for copy in take.lineage.head.copies:
            if copy.digest not in before:
                self._noted(
                    f"conflict {copy.digest[:12]}: the configuration of {copy.name} is kept beside the one in force"
                )
        head = take.lineage.head
        logger.info("configuration generation=%s digest=%s conflicts=%d", head, head.digest[:12], len(head.copies))
        if take.writes:
            await self._put_in_force(head.digest)
        await self._describe()
        return commands

    async def _store(self, take: Take) -> Take:
        """What was stored: an edit that lay on the disk, not loaded yet, is set aside, never overwritten."""
        over = [self.agreement.head.digest, self._served.reading.digest, take.lineage.head.digest]
        for _ in range(_TRIES):
            try:
                await asyncio.to_thread(self._vault.store, take, over=tuple(over))
            except ChangedMeanwhileError:
                pending = await asyncio.to_thread(self._vault.on_disk)
                take = self.agreement.set_aside(take, pending)
                over.append(digest_of(pending))
            else:
                return take
        raise PiranhaError("the file is being edited just now", mend="it is tried again in a moment")

    async def _put_in_force(self, digest: str) -> None:
        try:
            await self._served.reload()
            self.not_in_force = ""
            head = self.agreement.head
            self._noted(f"replicated configuration in force, generation {head}")
            await self._told()
        except PiranhaError as error:
            reasons = reasons_of(error)
            self.not_in_force = "; ".join(reasons)
            logger.error('replicated configuration is not in force reasons="%s"', self.not_in_force)
            self._say(refusal_frame(digest, ("stored, but not in force", *reasons)))
        # Where the reload failed the old text in force is no edit of anybody.
        self._seen = self._served.reading.digest

    async def _describe(self) -> None:
        """What a first contact is judged by."""
        self.agreement.serial_no = self._served.reading.configuration.serial_no
        self.agreement.former = await asyncio.to_thread(self._vault.former)

    def _trouble(self, text: str) -> None:
        if text and text != self.disk_trouble:
            logger.error('configuration not recorded error="%s"', text)
        self.disk_trouble = text


def reasons_of(error: PiranhaError) -> tuple[str, ...]:
    """Each a sentence; for a text with errors the first of them with their lines."""
    problems: tuple[Problem, ...] = error.problems if isinstance(error, RefusedTextError) else ()
    shown = tuple(f"line {problem.line}: {problem.message}" for problem in problems[:_REASONS])
    if len(problems) > _REASONS:
        shown = (*shown, f"and {len(problems) - _REASONS} more")
    return shown or (str(error),)
