"""Configuration replication as lvsd hosts it: the pair link, one worker that does one thing after the other, requests of people."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import piranha
from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.cluster.keys import node_id
from piranha.model.address import IPAddress
from piranha.replication import frames
from piranha.replication.agreement import Agreement, Command, SendOffer
from piranha.replication.ends import ends_of
from piranha.replication.frames import Hello, Kind
from piranha.replication.generation import Offer, Relation
from piranha.replication.keeper import Keeper, Served
from piranha.replication.keychange import KeyChange
from piranha.replication.link import PairLink
from piranha.replication.pairing import Pairing
from piranha.replication.session import Session
from piranha.replication.view import (
    SHORT,
    ConflictDocument,
    ConflictsDocument,
    KeyChangeDocument,
    OutcomeDocument,
    ReplicationView,
    conflicts_of,
    off_view,
    problems_of,
    state_of,
)

logger = logging.getLogger(__name__)

TICK_S = 5.0
_RETRY_EVERY_TICKS = 2
_ANSWER_WITHIN_S = 15.0
_MOST_REQUESTS = 256

_SETTLED = (Relation.SAME, None)

Event = Callable[[Keeper], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Request:
    """`session` is whose frame it is; those of a former session are dropped."""

    event: Event
    session: Session | None = None
    answer: asyncio.Future[None] | None = None


class ReplicationHost:
    """`run` until cancelled. `addresses` lists this host's addresses and may block; `tell_pulse` has pulse read the file and
    the keys again, and raises PiranhaError where it cannot; `noted` gets sentences for the events.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        name: str,
        addresses: Callable[[], frozenset[IPAddress]],
        tell_pulse: Callable[[], Awaitable[object]],
        noted: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._paths = paths
        self._name = name
        self._addresses = addresses
        self._tell_pulse = tell_pulse
        self._noted = noted
        self._pairing = Pairing(paths)
        self._keys = KeyChange(paths, self._told)
        self._requests: asyncio.Queue[_Request] = asyncio.Queue(_MOST_REQUESTS)
        self._due = asyncio.Event()
        self._done = asyncio.Event()
        self._role = ("standalone", 0)
        self._keeper: Keeper | None = None
        self._link: PairLink | None = None
        self._session: Session | None = None
        self._why_off = "lvsd starts"

    def noticed(self) -> None:
        """Another configuration came into force."""
        self._due.set()
        self._poke()

    def assumed(self, role: str, term: int) -> None:
        """Our role in the pair, by pulse's word for it."""
        self._role = (role, term)
        self._poke()

    def view(self) -> ReplicationView:
        keeper, link = self._keeper, self._link
        if keeper is None or link is None:
            return off_view(self._why_off)
        agreement, session = keeper.agreement, link.session
        problems = problems_of(agreement)
        if keeper.not_in_force:
            problems.append(f"the replicated configuration is stored and not in force: {keeper.not_in_force}")
        if keeper.disk_trouble:
            problems.append(keeper.disk_trouble)
        return ReplicationView(
            state="off" if self._why_off else state_of(agreement).value,
            why=self._why_off or link.trouble,
            generation=str(agreement.head),
            peer=session.hello.name if session else "",
            peer_address=session.remote if session else "",
            peer_generation=str(agreement.peer.head) if agreement.peer else "",
            conflicts=conflicts_of(agreement),
            problems=problems,
        )

    def conflicts(self) -> ConflictsDocument:
        return ConflictsDocument(conflicts=[] if self._keeper is None else conflicts_of(self._keeper.agreement))

    def conflict(self, name: str) -> ConflictDocument:
        """One conflict by its id or the beginning of it. Raises PiranhaError."""
        agreement = self._paired().agreement
        digest = _digest_of(agreement, name)
        (view,) = (view for view in conflicts_of(agreement) if digest.startswith(view["id"]))
        return ConflictDocument(conflict=view, theirs=agreement.text_of(digest) or "", ours=agreement.text)

    async def resolve(self, name: str, *, theirs: bool) -> OutcomeDocument:
        """End a conflict: the kept text comes into force, or goes. Raises PiranhaError."""
        digest = _digest_of(self._paired().agreement, name)
        await self._ask(lambda agreement: agreement.resolve(digest, theirs=theirs))
        return self._outcome("the kept configuration is in force" if theirs else "the kept configuration is dropped")

    async def push(self) -> OutcomeDocument:
        """Ours on both. Raises PiranhaError where the other director does not take it."""
        agreement = await self._ask(Agreement.push)
        await self._until(lambda: agreement.relation in _SETTLED or agreement.refused_there is not None)
        if agreement.refused_there is not None:
            reasons = "; ".join(agreement.refused_there[1])
            raise PiranhaError(f"{agreement.peer_name} refuses this configuration: {reasons}")
        if agreement.relation is not Relation.SAME:
            raise PiranhaError(
                f"{agreement.peer_name} has not taken this configuration yet", mend="it will, as soon as it is reached"
            )
        return self._outcome(f"{agreement.peer_name} has this configuration")

    async def pull(self) -> OutcomeDocument:
        """The other's on both. Raises PiranhaError where it cannot be taken."""
        agreement = await self._ask(Agreement.pull)
        await self._until(lambda: not agreement.is_pulling)
        if agreement.refusals:
            reasons = "; ".join(reason for reasons in agreement.refusals.values() for reason in reasons)
            raise PiranhaError(f"the configuration of {agreement.peer_name} is refused here: {reasons}")
        if agreement.is_pulling or agreement.relation is None:
            raise PiranhaError(f"{agreement.peer_name} does not answer", mend="see `piranha status`")
        await self._until(lambda: agreement.relation in _SETTLED)
        return self._outcome(f"the configuration of {agreement.peer_name} is in force")

    async def change_key(self) -> KeyChangeDocument:
        """A new key for the heartbeats on both directors. Raises PiranhaError; both then have what they had."""
        self._paired()
        session = self._link.session if self._link else None
        if session is None:
            raise PiranhaError(
                "the other director is not reached over the pair link", mend="see `piranha status`, line replication"
            )
        return KeyChangeDocument(key_id=await self._keys.propose(session), peer=session.hello.name)

    async def run(self, served: Served) -> None:
        async with asyncio.TaskGroup() as group:
            ticks = 0
            while True:
                self._due.clear()
                if self._keeper is None:
                    await self._open(served, group)
                await self._configure(served)
                ticks += 1
                retries = ticks % _RETRY_EVERY_TICKS == 0
                self._poke(_retry if retries else _nothing)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._due.wait()

    async def _open(self, served: Served, group: asyncio.TaskGroup) -> None:
        """Begin as soon as there is a pair."""
        try:
            peer = await asyncio.to_thread(self._pairing.peer)
            node = (await asyncio.to_thread(node_id, self._paths.state)).hex()
            keeper = await Keeper.open(
                self._paths, served, node=node, name=self._name, say=self._say, told=self._told, noted=self._noted
            )
        except PiranhaError as error:
            self._why_off = str(error)
            return
        keeper.agreement.peer_name = peer.name
        self._keys.node = node
        self._link = PairLink(Hello(node=node, name=self._name, software=piranha.__version__), self)
        self._keeper = keeper
        group.create_task(self._link.run(), name="pair link")
        group.create_task(self._work(keeper), name="replication")

    async def _configure(self, served: Served) -> None:
        """The link as the file, the keys and this host's addresses have it now."""
        if self._link is None:
            return
        settings, why = None, ""
        try:
            own = await asyncio.to_thread(self._addresses)
            ends = ends_of(served.reading.configuration, own)
            if ends is None:
                why = "lvs.cf names no backup, or this host has none of the pair's addresses"
            else:
                settings = await asyncio.to_thread(self._pairing.settings, ends)
        except (PiranhaError, OSError) as error:
            why = str(error)
        if why and why != self._why_off:
            logger.info('replication off reason="%s"', why)
        self._why_off = why
        self._link.configure(settings)

    async def _work(self, keeper: Keeper) -> None:
        while True:
            request = await self._requests.get()
            try:
                await self._catch_up(keeper)
                if request.session is None or request.session is self._session:
                    await request.event(keeper)
            except PiranhaError as error:
                if request.answer is None:
                    logger.warning('replication error="%s"', error)
                elif not request.answer.done():
                    request.answer.set_exception(error)
            else:
                if request.answer is not None and not request.answer.done():
                    request.answer.set_result(None)
            self._done.set()
            self._done = asyncio.Event()

    async def _catch_up(self, keeper: Keeper) -> None:
        """Compare what the agreement knows with what is: the text in force, the session, our role."""
        await keeper.follow()
        agreement = keeper.agreement
        session = self._link.session if self._link else None
        if session is not self._session:
            await keeper.execute(agreement.lost())
            self._session = session
            if session is not None:
                agreement.peer_name = session.hello.name or agreement.peer_name
                await keeper.execute([SendOffer()])
        await keeper.execute(agreement.assumed(*self._role))

    def link_up(self, session: Session) -> None:
        self._poke()

    def link_down(self, session: Session) -> None:
        self._keys.lost()
        self._poke()

    async def heard(self, session: Session, kind: Kind, body: bytes) -> None:
        event = self._event_of(session, kind, body)
        if event is not None:
            await self._requests.put(_Request(event, session))

    def _event_of(self, session: Session, kind: Kind, body: bytes) -> Event | None:
        """What a frame asks for. Raises PiranhaError for what may not be said."""
        match kind:
            case Kind.OFFER:
                offer = Offer.from_json(frames.unpack(body), session.hello.node)
                return _event(lambda agreement: agreement.offered(offer))
            case Kind.WANT:
                digest = frames.read_digest(body)
                return lambda keeper: _answer(session, keeper.agreement, digest)
            case Kind.TEXT:
                text = body.decode("utf-8", "surrogateescape")
                return _event(lambda agreement: agreement.text_arrived(text))
            case Kind.MISSING:
                digest = frames.read_digest(body)
                return _event(lambda agreement: agreement.text_missing(digest))
            case Kind.REFUSAL:
                refusal = frames.read_refusal(body)
                return _event(lambda agreement: agreement.refusal_heard(*refusal))
            case Kind.KEY:
                new = frames.read_key(body)
                return lambda _: self._keys.accept(session, new)
            case Kind.KEY_TAKEN | Kind.KEY_REFUSED:
                self._keys.answered(frames.read_key_answer(kind, body))
            case Kind.HELLO | Kind.BEAT:
                pass
        return None

    def _say(self, frame: bytes) -> None:
        if self._session is not None:
            self._session.send(frame)

    async def _told(self) -> None:
        try:
            await self._tell_pulse()
        except PiranhaError as error:
            logger.info('pulse was not told reason="%s"', error)

    def _poke(self, event: Event | None = None) -> None:
        """Have the worker look around. Where the queue is full it does so anyway."""
        if self._keeper is not None and not self._requests.full():
            self._requests.put_nowait(_Request(event or _nothing))

    async def _ask(self, ask: Callable[[Agreement], Sequence[Command]]) -> Agreement:
        keeper = self._paired()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._requests.put(_Request(_event(ask, by_person=True), answer=answer))
        await answer
        return keeper.agreement

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition, or for as long as a person would."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                while not condition():
                    await self._done.wait()

    def _paired(self) -> Keeper:
        if self._keeper is None:
            raise PiranhaError(f"there is no replication: {self._why_off}")
        return self._keeper

    def _outcome(self, sentence: str) -> OutcomeDocument:
        agreement = self._paired().agreement
        return OutcomeDocument(state=state_of(agreement).value, generation=str(agreement.head), sentence=sentence)


def _event(ask: Callable[[Agreement], Sequence[Command]], *, by_person: bool = False) -> Event:
    async def event(keeper: Keeper) -> None:
        await keeper.execute(ask(keeper.agreement), by_person=by_person)

    return event


async def _nothing(keeper: Keeper) -> None:
    """Looking around is done before every event."""


async def _retry(keeper: Keeper) -> None:
    if keeper.agreement.refusals:
        await keeper.execute(keeper.agreement.retry())


async def _answer(session: Session, agreement: Agreement, digest: str) -> None:
    text = agreement.text_of(digest)
    if text is None:
        session.send(frames.pack(Kind.MISSING, {"digest": digest}))
    else:
        session.send(frames.pack(Kind.TEXT, text.encode("utf-8", "surrogateescape")))


def _digest_of(agreement: Agreement, name: str) -> str:
    """The conflict whose id begins so. Raises PiranhaError."""
    found = [copy.digest for copy in agreement.head.copies if name and copy.digest.startswith(name.lower())]
    if len(found) != 1:
        what = "no conflict" if not found else "more than one conflict"
        raise PiranhaError(f"{what} has an id that begins with {name[:SHORT]!r}", mend="see `piranha config conflicts`")
    return found[0]
