"""Every change of the configuration while lvsd runs: judged, stored, applied; taken back when it cannot be, or when
nobody confirms it in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from piranha.base.errors import PiranhaError, UsageError
from piranha.config.changes import Change, apply_changes
from piranha.config.comparison import side_by_side, unified
from piranha.config.parser import Parsed
from piranha.config.plain import as_plain
from piranha.config.semantics import check_text
from piranha.config.store import ChangedMeanwhileError, ConfigurationStore, RefusedTextError, Stored, Version, digest_of
from piranha.director.confirmation import LEAST_S, MOST_S, Awaited, ConfirmationFile
from piranha.director.director import Director
from piranha.director.events import EventKind, EventSeverity
from piranha.director.revision import (
    AwaitedView,
    ChangedDocument,
    CheckDocument,
    DiffDocument,
    RehearsedDocument,
    StoredDocument,
    VersionDocument,
    VersionsDocument,
    diff_rows,
    version_view,
)
from piranha.director.status import ReloadDocument, problem_view

LVSD = "lvsd"
_LONGEST_COMMENT = 500

logger = logging.getLogger(__name__)


class Editing:
    """The one door to the file while lvsd runs. Files and names are read in threads; changes come one after another.

    `spread` tells the other daemon of this host that the file has changed.
    """

    def __init__(
        self,
        store: ConfigurationStore,
        director: Director,
        confirmation: ConfirmationFile,
        *,
        spread: Callable[[], Awaitable[None]] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._spread = spread
        self._director = director
        self._confirmation = confirmation
        self._wall = wall
        self._changing = asyncio.Lock()
        self._awaited = confirmation.read()
        self._news = asyncio.Event()

    async def stored(self) -> StoredDocument:
        """The file as it is on disk now, in force or not."""
        stored, versions = await asyncio.to_thread(lambda: (self._store.load(), self._store.versions()))
        return StoredDocument(
            path=str(stored.path),
            text=stored.text,
            digest=stored.digest,
            version=self._number(stored.text, versions),
            in_force=stored.digest == self._director.reading.digest,
            serial_no=stored.parsed.configuration.serial_no,
            problems=[problem_view(problem) for problem in stored.parsed.problems],
            values=as_plain(stored.parsed.configuration),
            awaits=self._awaited_view(),
        )

    async def check(self, text: str) -> CheckDocument:
        """Judge a text and rehearse it. Nothing is stored."""
        parsed = await self._judge(text)
        return CheckDocument(
            usable=parsed.is_usable,
            problems=[problem_view(problem) for problem in parsed.problems],
            plan=self._director.preview(parsed) if parsed.is_usable else None,
        )

    async def rehearse(self, changes: Sequence[Change], expected_digest: str | None) -> RehearsedDocument:
        """What these changes would make of the text, and of the table. Raises as `edit` does."""
        before = await asyncio.to_thread(self._store.load)
        text = await self._edited(before, changes, expected_digest)
        name = before.path.name
        checked = await self.check(text)
        return RehearsedDocument(text=text, diff=unified(before.text, text, name, f"{name} (changed)"), **checked)

    async def edit(
        self, changes: Sequence[Change], *, expected_digest: str | None, who: str, comment: str, confirm_s: float | None
    ) -> ChangedDocument:
        """Make changes and bring them into force. Raises `RefusedChangesError`, else as `replace` does."""
        async with self._changing:
            before = await asyncio.to_thread(self._store.load)
            text = await self._edited(before, changes, expected_digest)
            return await self._change(text, before.digest, who, comment, confirm_s)

    async def replace(
        self, text: str, *, expected_digest: str | None, who: str, comment: str, confirm_s: float | None
    ) -> ChangedDocument:
        """Store a text and bring it into force. None as digest is "whatever is there".

        Raises `RefusedTextError`, `ChangedMeanwhileError`, PiranhaError; the file is then as it was.
        """
        async with self._changing:
            return await self._change(text, expected_digest, who, comment, confirm_s)

    async def roll_back(self, number: int, *, who: str, comment: str) -> ChangedDocument:
        """Bring a version back, as a new one. A change that waits for its confirmation waits no longer."""
        async with self._changing:
            version = await asyncio.to_thread(self._store.version, number)
            text = await asyncio.to_thread(version.read)
            self._await(None)
            return await self._change(text, None, who, comment or f"back to version {number}", None)

    async def confirm(self, *, who: str) -> StoredDocument:
        """Let the change that waits stay. Raises PiranhaError when none does."""
        async with self._changing:
            if self._awaited is None:
                raise PiranhaError("no change waits to be confirmed")
            number = self._awaited.version
            self._await(None)
        self._note(f"version {number} confirmed", who)
        return await self.stored()

    async def reload(self, *, who: str) -> ReloadDocument:
        """Take the file on disk into force, whoever wrote it; it becomes a version."""
        async with self._changing:
            document = await self._reload()
            await self._remember(who, "edited on disk")
            changes = len(document["changes"])
            self._note(f"reloaded, serial {document['serial_no']}, {changes} changes of the table", who)
            return document

    async def versions(self) -> VersionsDocument:
        versions = await asyncio.to_thread(self._store.versions)
        return VersionsDocument(versions=[version_view(version) for version in versions], awaits=self._awaited_view())

    async def version(self, number: int) -> VersionDocument:
        version = await asyncio.to_thread(self._store.version, number)
        text = await asyncio.to_thread(version.read)
        return VersionDocument(**version_view(version), text=text, digest=digest_of(text))

    async def difference(self, before: int, after: int) -> DiffDocument:
        """Two versions side by side."""

        def compare() -> DiffDocument:
            old, new = (self._store.version(number).read() for number in (before, after))
            names = (f"version {before}", f"version {after}")
            return DiffDocument(
                before=before, after=after, unified=unified(old, new, *names), rows=diff_rows(side_by_side(old, new))
            )

        return await asyncio.to_thread(compare)

    async def run(self) -> None:
        """Remember the text in force, and take back what nobody confirms. Ends by cancellation alone."""
        async with self._changing:
            await self._remember("", "in force at start")
        while True:
            awaited = self._awaited
            self._news.clear()
            try:
                async with asyncio.timeout(None if awaited is None else awaited.left_s(self._wall())):
                    await self._news.wait()
            except TimeoutError:
                await self._take_back()

    async def _take_back(self) -> None:
        async with self._changing:
            awaited = self._awaited
            if awaited is None or awaited.left_s(self._wall()) > 0:
                return
            self._await(None)
            try:
                stored = await asyncio.to_thread(self._store.load)
                if stored.digest != awaited.digest:
                    self._note(f"version {awaited.version} was not confirmed, but the file has changed since", LVSD)
                    return
                version = await asyncio.to_thread(self._store.version, awaited.back_to)
                text = await asyncio.to_thread(version.read)
                comment = f"version {awaited.version} was not confirmed: back to version {awaited.back_to}"
                await self._change(text, stored.digest, LVSD, comment, None)
            except PiranhaError as error:
                logger.error('cannot take back version=%d error="%s"', awaited.version, error)
                text = f"version {awaited.version} was not confirmed and cannot be taken back: {error}"
                self._note(text, LVSD, EventSeverity.WARNING)

    async def _change(
        self, text: str, expected_digest: str | None, who: str, comment: str, confirm_s: float | None
    ) -> ChangedDocument:
        if self._awaited is not None:
            raise PiranhaError(
                f"version {self._awaited.version} waits to be confirmed", mend="confirm it or roll it back first"
            )
        if confirm_s is not None and not LEAST_S <= confirm_s <= MOST_S:
            raise UsageError(f"confirm_s is from {LEAST_S} to {MOST_S} seconds")
        comment = comment[:_LONGEST_COMMENT]
        before = await asyncio.to_thread(self._before, expected_digest)
        stored = await asyncio.to_thread(
            lambda: self._store.save(text, expected_digest=expected_digest, who=who, comment=comment)
        )
        try:
            document = await self._reload()
        except PiranhaError as error:
            if before is not None and before.digest != stored.digest:
                await asyncio.to_thread(self._put_back, before.text, error)
            raise
        versions = await asyncio.to_thread(self._store.versions)
        number = self._number(stored.text, versions) or 0
        if confirm_s is not None and before is not None and before.digest != stored.digest:
            former = next((v.number for v in versions if v.number < number), number)
            self._await(
                Awaited(
                    version=number,
                    back_to=former,
                    digest=stored.digest,
                    deadline=self._wall() + confirm_s,
                    who=who,
                )
            )
        changes = len(document["changes"])
        said = f": {comment}" if comment else ""
        self._note(f"version {number}, serial {document['serial_no']}, {changes} changes of the table{said}", who)
        return ChangedDocument(
            version=number, digest=stored.digest, comment=comment, awaits=self._awaited_view(), **document
        )

    async def _reload(self) -> ReloadDocument:
        document = await self._director.reload()
        if self._spread is not None:
            try:
                await self._spread()
            except PiranhaError as error:
                document["problems"].append(f"pulse did not take the file over: {error}")
        return document

    def _before(self, expected_digest: str | None) -> Stored | None:
        """The file before the change, as a version to return to."""
        try:
            stored = self._store.load()
        except PiranhaError:
            return None
        if expected_digest is not None and stored.digest != expected_digest:
            raise ChangedMeanwhileError(stored.path)
        self._store.note(stored.text)
        return stored

    def _put_back(self, text: str, error: PiranhaError) -> None:
        self._store.save(text, who=LVSD, comment=f"put back: {error}"[:_LONGEST_COMMENT], raise_serial=False)

    async def _edited(self, before: Stored, changes: Sequence[Change], expected_digest: str | None) -> str:
        if expected_digest is not None and before.digest != expected_digest:
            raise ChangedMeanwhileError(before.path)
        return await asyncio.to_thread(apply_changes, before.text, changes)

    async def _judge(self, text: str) -> Parsed:
        path = self._director.configuration_path
        return await asyncio.to_thread(lambda: check_text(text, file=str(path)))

    async def _remember(self, who: str, comment: str) -> None:
        reading = self._director.reading
        try:
            await asyncio.to_thread(lambda: self._store.note(reading.text, who=who, comment=comment))
        except PiranhaError as error:
            logger.warning('the text in force is no version error="%s"', error)

    def _await(self, awaited: Awaited | None) -> None:
        if awaited is None:
            self._confirmation.clear()
        else:
            self._confirmation.write(awaited)
        self._awaited = awaited
        self._news.set()

    def _awaited_view(self) -> AwaitedView | None:
        awaited = self._awaited
        if awaited is None:
            return None
        until = datetime.fromtimestamp(awaited.deadline, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return AwaitedView(
            version=awaited.version,
            back_to=awaited.back_to,
            until=until,
            left_s=round(awaited.left_s(self._wall()), 1),
            who=awaited.who,
        )

    def _number(self, text: str, versions: Sequence[Version]) -> int | None:
        """The number of the latest version, where that is this text."""
        try:
            return versions[0].number if versions and versions[0].read() == text else None
        except PiranhaError:
            return None

    def _note(self, text: str, who: str, severity: EventSeverity = EventSeverity.INFO) -> None:
        self._director.chronicle.add(EventKind.CONFIGURATION, text, severity=severity, who=who)


__all__ = ["ChangedMeanwhileError", "Editing", "RefusedTextError"]
