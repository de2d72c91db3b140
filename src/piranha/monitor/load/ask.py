"""Asks one server for its load: sockets, files and commands, each bounded by one deadline."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from piranha.model.address import IPAddress, format_endpoint
from piranha.monitor.load import rwho
from piranha.monitor.load.reading import LoadUnknownError, Reading
from piranha.monitor.load.rstat import RstatQuery
from piranha.monitor.load.source import LoadKind, LoadSource
from piranha.monitor.load.text import agent_reading, json_reading, uptime_average

MAX_BYTES = 64 << 10
_REPEAT_S = 1.0
_MAX_SPOOL_BYTES = 1 << 16


async def ask(source: LoadSource, spool: Path = Path(rwho.SPOOL)) -> Reading:
    """The load of a server. Raises LoadUnknownError, also when the time is over."""
    try:
        async with asyncio.timeout(source.timeout_s):
            match source.kind:
                case LoadKind.RUP:
                    return Reading(average=await _rup(source.address, source.port))
                case LoadKind.RUPTIME:
                    return Reading(average=await asyncio.to_thread(_spooled, spool, source.name))
                case LoadKind.AGENT:
                    return agent_reading(await _line(source))
                case LoadKind.HTTP:
                    return json_reading(await _page(source), source.key)
                case LoadKind.UPTIME | LoadKind.COMMAND:
                    return Reading(average=uptime_average(await _output(source.command)))
    except TimeoutError:
        raise LoadUnknownError(f"no answer within {source.timeout_s:g} s") from None
    except OSError as error:
        raise LoadUnknownError(error.strerror or str(error)) from error


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[bytes, int] | OSError] = asyncio.Queue(maxsize=16)

    def datagram_received(self, data: bytes, addr: tuple[str | bytes, int]) -> None:
        with suppress(asyncio.QueueFull):
            self.arrived.put_nowait((data, addr[1]))

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            with suppress(asyncio.QueueFull):
                self.arrived.put_nowait(exc)


async def _rup(address: IPAddress, portmap_port: int) -> float:
    """Two questions, each repeated every second: UDP loses."""
    query = RstatQuery(random.getrandbits(32), portmap_port)
    loop = asyncio.get_running_loop()
    while True:
        port, average = query.port, None
        transport, datagrams = await loop.create_datagram_endpoint(_Datagrams, remote_addr=(str(address), port))
        try:
            while average is None and query.port == port:
                transport.sendto(query.send)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_REPEAT_S):
                        average = await _reply(datagrams, query, port)
        finally:
            transport.close()
        if average is not None:
            return average


async def _reply(datagrams: _Datagrams, query: RstatQuery, port: int) -> float | None:
    """The load, or None when there is another question to send."""
    asked = query.send
    while True:
        arrived = await datagrams.arrived.get()
        if isinstance(arrived, OSError):
            raise arrived
        average = query.receive(arrived[0])
        if average is not None or query.port != port or query.send != asked:
            return average


def _spooled(spool: Path, name: str) -> float:
    """Of rwhod's own file; raises LoadUnknownError where it is as old as a host that is down."""
    if not name or "/" in name:
        raise LoadUnknownError(f"{name!r} is no host name: name the server in lvs.cf as its host is named")
    path = spool / f"whod.{name}"
    try:
        with path.open("rb") as file:
            whod = rwho.whod_of(file.read(_MAX_SPOOL_BYTES), from_spool=True)
    except FileNotFoundError:
        raise LoadUnknownError(f"there is no {path}: does rwhod run here and on {name}?") from None
    age_s = time.time() - whod.received_at
    if age_s > rwho.SILENT_S:
        raise LoadUnknownError(f"rwhod heard of {name} {age_s:.0f} s ago, the last time")
    return whod.average


async def _line(source: LoadSource) -> str:
    reader, writer = await asyncio.open_connection(str(source.address), source.port, limit=MAX_BYTES)
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        line = error.partial
    except asyncio.LimitOverrunError:
        raise LoadUnknownError("the agent's line is too long") from None
    finally:
        writer.close()
    return line.decode("utf-8", "replace")


async def _page(source: LoadSource) -> str:
    reader, writer = await asyncio.open_connection(str(source.address), source.port, limit=MAX_BYTES)
    try:
        host = format_endpoint(source.address, source.port)
        writer.write(f"GET {source.path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode())
        answer = await _all(reader)
    finally:
        writer.close()
    head, separator, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if not separator or len(status) < 2 or not status[0].startswith(b"HTTP/"):
        raise LoadUnknownError("the answer is no HTTP")
    if status[1] != b"200":
        raise LoadUnknownError(f"the answer has status {status[1][:8].decode('ascii', 'replace')}")
    return body.decode("utf-8", "replace")


async def _all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end. Raises LoadUnknownError for more than `MAX_BYTES`."""
    data = b""
    while chunk := await reader.read(MAX_BYTES):
        data += chunk
        if len(data) > MAX_BYTES:
            raise LoadUnknownError(f"the answer is longer than {MAX_BYTES} bytes")
    return data


async def _output(command: tuple[str, ...]) -> str:
    """What a command prints, which has lvsd's rights, no shell and no input, and does not outlive this call."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=MAX_BYTES,
        )
    except (OSError, ValueError) as error:
        raise LoadUnknownError(f"cannot run {command[0]} ({error})") from error
    assert process.stdout is not None
    try:
        text = await _all(process.stdout)
        status = await process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await process.wait()
    if status:
        raise LoadUnknownError(f"{command[0]} ended with status {status}")
    return text.decode("utf-8", "replace")
