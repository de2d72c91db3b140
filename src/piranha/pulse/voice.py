"""What the directors say to each other: builds our heartbeats, understands the other's. Sealed, or the original's four bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from piranha.cluster import original
from piranha.cluster.events import HeartbeatHeard
from piranha.cluster.heartbeat import ACTIVE_WORD, Contents, Echo, Flag, Place
from piranha.cluster.keys import PairKeys
from piranha.cluster.original import Word
from piranha.cluster.seal import Freshness, Opener, RejectedError, Rejection, Sealer, sending_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A message of the other director, and what it says besides."""

    event: HeartbeatHeard
    name: str = ""
    macs: tuple[bytes, ...] = ()


class SealedVoice:
    """Sealed heartbeats of one boot."""

    active_word = ACTIVE_WORD

    def __init__(self, pair: PairKeys, *, node: bytes, boot: bytes, place: Place, name: str) -> None:
        self._keys: Mapping[int, bytes] = pair.keys
        self._peer_node = pair.peer.node
        self._place = place
        self._name = name
        self._sealer = Sealer(pair.keys, node=node, boot=boot)
        self._opener = Opener(pair.keys, node=node, boot=boot)
        self._freshness = Freshness(boot)
        self._echo: Echo | None = None
        self._peer_newest_key = 0

    @property
    def key_in_use(self) -> int:
        return sending_key(self._keys, self._peer_newest_key)

    def use_keys(self, pair: PairKeys) -> None:
        """Go on with other keys, without a gap."""
        self._keys = pair.keys
        self._peer_node = pair.peer.node
        self._sealer.use_keys(pair.keys)
        self._opener.use_keys(pair.keys)

    def say(self, *, active: bool, term: int, flags: Flag, macs: tuple[bytes, ...], now: int) -> bytes:
        """The next message, for one link. `now` is boot time, ns."""
        contents = Contents(
            term=term,
            place=self._place,
            flags=flags,
            echo=self._echo,
            newest_key=max(self._keys),
            name=self._name,
            macs=macs,
        )
        message = self._sealer.seal(contents, active=active, key_id=self.key_in_use)
        self._freshness.note_sent(self._sealer.sequence, now)
        return message

    def hear(self, link: str, message: bytes, now: int) -> Understood:
        """Raises `RejectedError`."""
        opened = self._opener.open(message)
        header, contents = opened.header, opened.contents
        if not opened.is_clone and header.node == self._peer_node:
            latest = self._echo
            if latest is None or latest.boot != header.boot or header.sequence > latest.sequence:
                self._echo = Echo(boot=header.boot, sequence=header.sequence)
            self._peer_newest_key = contents.newest_key
        event = HeartbeatHeard(
            link=link,
            active=header.active,
            term=contents.term,
            place=contents.place,
            flags=contents.flags,
            age_ns=self._freshness.age(contents.echo, now),
            node=header.node,
            boot=header.boot,
            version=contents.speaks,
            is_clone=opened.is_clone,
        )
        return Understood(event=event, name=contents.name, macs=contents.macs)


class OriginalVoice:
    """The original Piranha's heartbeats. Whoever has the peer's address can speak them."""

    active_word = original.encode(Word.LVS_RUNNING)
    key_in_use = 0

    def __init__(self, place: Place, *, fos: bool = False) -> None:
        self._theirs = Place.SECONDARY if place is Place.PRIMARY else Place.PRIMARY
        self._running = Word.FOS_RUNNING if fos else Word.LVS_RUNNING
        self._stopped = Word.FOS_STOPPED if fos else Word.LVS_STOPPED
        self.active_word = original.encode(self._running)

    def use_keys(self, pair: PairKeys) -> None:
        """There are none."""

    def say(self, *, active: bool, term: int, flags: Flag, macs: tuple[bytes, ...], now: int) -> bytes:
        return original.encode(self._running if active else self._stopped)

    def hear(self, link: str, message: bytes, now: int) -> Understood:
        """Raises `RejectedError` for the other service mode and for the words that nobody may say from afar."""
        word = original.decode(message)
        if word not in (self._running, self._stopped):
            raise RejectedError(Rejection.MALFORMED, f"{message[:8].hex(' ')} is no word of this service mode")
        return Understood(
            event=HeartbeatHeard(link=link, active=word is self._running, term=0, place=self._theirs, age_ns=0)
        )


Voice = SealedVoice | OriginalVoice


def boot_now() -> int:
    """Nanoseconds of CLOCK_BOOTTIME, the clock of the pair."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
