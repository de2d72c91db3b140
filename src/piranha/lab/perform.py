"""Runs the story: sends requests from the client through the VIP, one at a time, and does what the story says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from piranha.lab.cluster import Lab
from piranha.lab.readiness import ask_name
from piranha.lab.reporter import Reporter, traffic
from piranha.lab.story import (
    Answered,
    Command,
    Event,
    Failed,
    Looked,
    OpenDownloads,
    PowerOff,
    PowerOn,
    StartServer,
    StopServer,
    Story,
    SwitchTo,
)
from piranha.lab.topology import CLIENT, UDP_PORT, VIP4

REQUEST_TIMEOUT_S = 2.0
DOWNLOADS = 8
PROBE_MS = 5


class Stage(Protocol):
    """What the demonstration acts on: a lab, or a fake of it."""

    def request(self) -> Event: ...
    def look(self) -> Looked | None:
        """How the pair stands; None where there is one director."""

    def carry_out(self, command: Command) -> None: ...


class View(Protocol):
    """Who looks on: called with every answer, and with every command before it is carried out."""

    def show(self, story: Story, event: Event, now: float) -> None: ...
    def announce(self, command: Command) -> None: ...


class LabStage:
    """The stage that a real lab is."""

    def __init__(self, lab: Lab, *, port: int) -> None:
        self._lab = lab
        self._topology = lab.topology()
        self._client = self._topology.namespace(CLIENT)
        self._port = port
        self._traffic: Reporter | None = None

    def request(self) -> Event:
        try:
            return Answered(ask_name(self._client, VIP4, self._port, REQUEST_TIMEOUT_S))
        except TimeoutError:
            return Failed("no answer in time")
        except ConnectionRefusedError:
            return Failed("connection refused")
        except (OSError, ValueError) as error:
            return Failed(str(error))

    def look(self) -> Looked | None:
        if not self._topology.is_pair:
            return None
        states = {node.name: self._lab.director_state(node.name) for node in self._topology.directors}
        active = tuple(name for name, state in states.items() if state is not None and state.role == "active")
        fit = any(state is not None and state.role == "active" and state.peer_fit for state in states.values())
        report = self._traffic.report() if self._traffic is not None else {}
        return Looked(
            active=active,
            backup_fit=fit,
            gap_ms=report.get("gap_ms", 0.0),
            lost=report.get("lost", 0),
            downloads=report.get("downloads", 0),
            moving=report.get("moving", 0),
            broken=tuple(report.get("broken", ())),
        )

    def carry_out(self, command: Command) -> None:
        match command:
            case StopServer(server):
                self._lab.stop(server, kill_at_once=True)
            case StartServer(server):
                self._lab.start(server)
            case OpenDownloads():
                self._traffic = traffic(
                    self._client, "--vip", str(VIP4), "--port", str(self._port), "--udp-port", str(UDP_PORT),
                    "--downloads", str(DOWNLOADS), "--probe-ms", str(PROBE_MS),
                )  # fmt: skip
            case PowerOff(director):
                self._mark()
                self._lab.power_off(director)
            case PowerOn(director):
                self._mark()
                self._lab.power_on(director)
            case SwitchTo(director):
                self._mark()
                self._lab.switch_to(director)

    def close(self) -> None:
        if self._traffic is not None:
            self._traffic.close()

    def _mark(self) -> None:
        """The client's figures count from here."""
        if self._traffic is not None:
            self._traffic.mark()


def perform(
    story: Story, stage: Stage, view: View, *, interval_s: float, go_on: bool,
    now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> bool:  # fmt: skip
    """Play the story to its end, and with `go_on` keep asking until interrupted; whether every act came true."""
    due_at = now()
    while True:
        event = stage.request()
        commands = story.receive(event, now())
        if not commands and (look := stage.look()) is not None:
            commands = story.receive(look, now())
        view.show(story, event, now())
        for command in commands:
            view.announce(command)
            stage.carry_out(command)
        if story.over and not (go_on and story.came_true):
            return story.came_true
        # Missed turns are skipped, so that a slow answer is not followed by a burst.
        due_at = max(due_at + interval_s, now())
        sleep(max(0.0, due_at - now()))
