"""Runs the story: sends requests from the client through the VIP, one at a time, and does what the story says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from piranha.lab.readiness import ask_name
from piranha.lab.story import Answered, Command, Event, Failed, StopServer, Story
from piranha.model.address import IPAddress

REQUEST_TIMEOUT_S = 2.0


class Stage(Protocol):
    """What the demonstration acts on: a lab, or a fake of it."""

    def request(self) -> Event: ...
    def stop(self, server: str) -> None: ...
    def start(self, server: str) -> None: ...


class View(Protocol):
    """Who looks on: called with every answer, and with every command before it is carried out."""

    def show(self, story: Story, event: Event, now: float) -> None: ...
    def announce(self, command: Command) -> None: ...


class LabStage:
    """The stage that a real lab is."""

    def __init__(
        self, client_namespace: str, vip: IPAddress, port: int,
        *, stop: Callable[[str], object], start: Callable[[str], object],
    ) -> None:  # fmt: skip
        self._client = client_namespace
        self._vip = vip
        self._port = port
        self._stop = stop
        self._start = start

    def request(self) -> Event:
        try:
            return Answered(ask_name(self._client, self._vip, self._port, REQUEST_TIMEOUT_S))
        except TimeoutError:
            return Failed("no answer in time")
        except ConnectionRefusedError:
            return Failed("connection refused")
        except (OSError, ValueError) as error:
            return Failed(str(error))

    def stop(self, server: str) -> None:
        self._stop(server)

    def start(self, server: str) -> None:
        self._start(server)


def perform(
    story: Story, stage: Stage, view: View, *, interval_s: float, go_on: bool,
    now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> bool:  # fmt: skip
    """Play the story to its end, and with `go_on` keep asking until interrupted; whether every act came true."""
    due_at = now()
    while True:
        event = stage.request()
        commands = story.receive(event, now())
        view.show(story, event, now())
        for command in commands:
            view.announce(command)
            if isinstance(command, StopServer):
                stage.stop(command.server)
            else:
                stage.start(command.server)
        if story.over and not (go_on and story.came_true):
            return story.came_true
        # Missed turns are skipped, so that a slow answer is not followed by a burst.
        due_at = max(due_at + interval_s, now())
        sleep(due_at - now())
