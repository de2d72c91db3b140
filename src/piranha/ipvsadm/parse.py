"""A command line as a command, judged exactly as ipvsadm 1.31 judges it: same order of checks, same words."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.ipvsadm.allowed import Verb, check_command
from piranha.ipvsadm.command import Change, Command, Restore, Save, Say, Show, Subject, View
from piranha.ipvsadm.failure import REFUSED, CommandLineError, try_help
from piranha.ipvsadm.help import help_text, version_line
from piranha.ipvsadm.names import Names
from piranha.ipvsadm.numbers import number
from piranha.ipvsadm.options import COMMANDS, OptionError, Scanner
from piranha.ipvsadm.parameters import Parameters
from piranha.model.service import Timeouts

LONGEST_TIMEOUT_S = 31 * 24 * 3600
_VERBS = {
    "add-service": Verb.ADD_SERVICE,
    "edit-service": Verb.EDIT_SERVICE,
    "delete-service": Verb.DELETE_SERVICE,
    "clear": Verb.CLEAR,
    "list": Verb.LIST,
    "zero": Verb.ZERO,
    "add-server": Verb.ADD_SERVER,
    "edit-server": Verb.EDIT_SERVER,
    "delete-server": Verb.DELETE_SERVER,
    "set": Verb.SET,
    "restore": Verb.RESTORE,
    "save": Verb.SAVE,
    "start-daemon": Verb.START_DAEMON,
    "stop-daemon": Verb.STOP_DAEMON,
}


def parse(program: str, words: Sequence[str], names: Names) -> Command:
    """The command of `words`, those after the program's name; none is the listing of the whole table.

    Raises CommandLineError.
    """
    if not words:
        return Show()
    scanner = Scanner(words)
    try:
        first = scanner.next()
    except OptionError:
        first = None
    if first is None or first[0] not in COMMANDS:
        raise try_help(program)
    match first[0].name:
        case "help":
            return Say(help_text(program))
        case "version":
            return Say(version_line())
    verb = _VERBS[first[0].name]
    role = _role(verb, first[1])
    parameters = Parameters(names)
    _read(scanner, parameters)
    timeouts = _timeouts(scanner.arguments) if verb is Verb.SET else None
    if len(scanner.arguments) > (3 if timeouts else 0):
        raise CommandLineError(f"unexpected argument {scanner.arguments[3 if timeouts else 0]}")
    parameters.finish()
    check_command(verb, parameters.given)
    match verb:
        case Verb.LIST:
            return _listing(parameters)
        case Verb.SAVE:
            return Save(numeric=parameters.has("numeric"))
        case Verb.RESTORE:
            return Restore()
        case Verb.SET:
            assert timeouts is not None
            return Change(operation=SetTimeouts(timeouts=timeouts))
        case Verb.START_DAEMON | Verb.STOP_DAEMON:
            assert role is not None
            return Change(operation=_daemon(verb, role, parameters))
        case _:
            return Change(operation=_edit(verb, parameters))


def _read(scanner: Scanner, parameters: Parameters) -> None:
    try:
        while (found := scanner.next()) is not None:
            option, value = found
            if option in COMMANDS:
                raise CommandLineError(f"invalid option `{scanner.word}'")
            parameters.take(option.name, value)
    except OptionError as error:
        raise CommandLineError(str(error), exit_code=REFUSED, ends=False) from None


def _role(verb: Verb, word: str | None) -> SyncRole | None:
    if verb not in (Verb.START_DAEMON, Verb.STOP_DAEMON):
        return None
    if word in list(SyncRole):
        return SyncRole(word)
    what = "start-daemon parameter" if verb is Verb.START_DAEMON else "start_daemon"
    raise CommandLineError(f"illegal {what} specified")


def _timeouts(arguments: Sequence[str]) -> Timeouts:
    if len(arguments) < 3:
        raise CommandLineError("--set option requires 3 timeout values")
    values = []
    for text in arguments[:3]:
        value = number(text, 0, LONGEST_TIMEOUT_S)
        if value is None:
            raise CommandLineError(f"invalid timeout value `{text}' specified")
        values.append(value)
    return Timeouts(tcp_s=values[0], tcp_fin_s=values[1], udp_s=values[2])


def _listing(parameters: Parameters) -> Show:
    has = parameters.has
    elsewhere = has("connection") or has("timeout") or has("daemon")
    if elsewhere and (has("stats") or has("rate") or has("thresholds")):
        raise CommandLineError("options conflicts in the list command")
    if (has("timeout") or has("daemon")) and has("persistent-conn"):
        raise CommandLineError("options conflicts in the list command")
    view = View(
        numeric=has("numeric"),
        stats=has("stats"),
        rate=has("rate"),
        thresholds=has("thresholds"),
        persistent=has("persistent-conn"),
        tunnels=has("tun-info"),
        exact=has("exact"),
        sort=not has("nosort"),
    )
    if has("connection"):
        return Show(subject=Subject.CONNECTIONS, view=view)
    if has("service-address"):
        return Show(subject=Subject.SERVICE, key=parameters.key(), view=view)
    if has("timeout"):
        return Show(subject=Subject.TIMEOUTS)
    if has("daemon"):
        return Show(subject=Subject.DAEMONS)
    return Show(view=view)


def _daemon(verb: Verb, role: SyncRole, parameters: Parameters) -> Operation:
    if verb is Verb.STOP_DAEMON:
        return StopDaemon(role=role, sync_id=parameters.sync_id)
    return StartDaemon(daemon=parameters.daemon(role))


def _edit(verb: Verb, parameters: Parameters) -> Operation:
    match verb:
        case Verb.ADD_SERVICE:
            return AddService(service=parameters.service())
        case Verb.EDIT_SERVICE:
            return EditService(service=parameters.service())
        case Verb.DELETE_SERVICE:
            return DeleteService(key=parameters.key())
        case Verb.ADD_SERVER:
            destination = parameters.destination()
            return AddDestination(service=parameters.key(), destination=destination)
        case Verb.EDIT_SERVER:
            destination = parameters.destination()
            return EditDestination(service=parameters.key(), destination=destination)
        case Verb.DELETE_SERVER:
            return DeleteDestination(service=parameters.key(), key=parameters.destination_key())
        case Verb.ZERO:
            return ZeroCounters(key=parameters.key() if parameters.has("service-address") else None)
    assert verb is Verb.CLEAR, verb
    return Clear()
