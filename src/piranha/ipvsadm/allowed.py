"""Which options go with which command, and with which tunnel type; the first misfit is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

from piranha.ipvsadm.failure import CommandLineError
from piranha.model.service import TunnelType

NEEDED, FREE, ONE_OF = "needed", "free", "one of"
"""Rules for an option; one without a rule is illegal. At most one option with ONE_OF may be there."""


class Verb(StrEnum):
    """The commands by the names that messages give them."""

    ADD_SERVICE = "add-service"
    EDIT_SERVICE = "edit-service"
    DELETE_SERVICE = "delete-service"
    CLEAR = "flush"
    LIST = "list"
    ADD_SERVER = "add-server"
    DELETE_SERVER = "delete-server"
    EDIT_SERVER = "edit-server"
    SET = "set"
    START_DAEMON = "start-daemon"
    STOP_DAEMON = "stop-daemon"
    RESTORE = "restore"
    SAVE = "save"
    ZERO = "zero"


_TUNNEL_OPTIONS = ("tun-port", "tun-nocsum", "tun-csum", "tun-remcsum")
_NAMES = (
    "numeric connection service-address scheduler persistent netmask real-server forwarding-method weight u-threshold "
    "l-threshold mcast-interface timeout daemon stats rate thresholds persistent-conn nosort syncid exact ops pe "
    "sched-flags mcast-group mcast-port mcast-ttl sync-maxlen tun-info tun-type"
)
ORDER = (*_NAMES.split(), *_TUNNEL_OPTIONS)
"""Options by the names that messages give them, in the order in which they are checked."""


def _free(words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), FREE)


_OF_SERVICE = {"service-address": NEEDED, **_free("scheduler persistent netmask ops pe sched-flags")}
_OF_SERVER = {
    "service-address": NEEDED,
    "real-server": NEEDED,
    **_free("forwarding-method weight u-threshold l-threshold tun-type tun-port tun-nocsum tun-csum tun-remcsum"),
}
_RULES: Mapping[Verb, Mapping[str, str]] = {
    Verb.ADD_SERVICE: _OF_SERVICE,
    Verb.EDIT_SERVICE: _OF_SERVICE,
    Verb.DELETE_SERVICE: {"service-address": NEEDED},
    Verb.CLEAR: {},
    Verb.LIST: {
        **dict.fromkeys(("connection", "service-address", "timeout", "daemon"), ONE_OF),
        **_free("numeric stats rate thresholds persistent-conn nosort syncid exact tun-info"),
    },
    Verb.ADD_SERVER: _OF_SERVER,
    Verb.EDIT_SERVER: _OF_SERVER,
    Verb.DELETE_SERVER: {"service-address": NEEDED, "real-server": NEEDED},
    Verb.SET: {},
    Verb.START_DAEMON: _free("mcast-interface syncid mcast-group mcast-port mcast-ttl sync-maxlen"),
    Verb.STOP_DAEMON: _free("syncid"),
    Verb.RESTORE: {},
    Verb.SAVE: _free("numeric"),
    Verb.ZERO: _free("service-address"),
}
_TUNNEL_RULES: Mapping[TunnelType, Mapping[str, str]] = {
    TunnelType.IPIP: {},
    TunnelType.GUE: {
        "tun-port": NEEDED,
        **dict.fromkeys(("tun-nocsum", "tun-csum", "tun-remcsum"), ONE_OF),
    },
    TunnelType.GRE: dict.fromkeys(("tun-nocsum", "tun-csum"), ONE_OF),
}


def check_command(verb: Verb, given: Collection[str]) -> None:
    """Raises CommandLineError where the options `given` do not fit the command."""
    _check(ORDER, _RULES[verb], given, f"'{verb}' command")


def check_tunnel(tunnel: TunnelType, given: Collection[str]) -> None:
    """Raises CommandLineError where the options `given` do not fit the type of the tunnel."""
    _check(_TUNNEL_OPTIONS, _TUNNEL_RULES[tunnel], given, f"'{tunnel}' tunnel type")


def has_tunnel_options(given: Iterable[str]) -> bool:
    return any(option == "tun-type" or option in _TUNNEL_OPTIONS for option in given)


def _check(order: Sequence[str], rules: Mapping[str, str], given: Collection[str], where: str) -> None:
    chosen = ""
    for option in order:
        rule = rules.get(option)
        if option not in given:
            if rule is NEEDED:
                raise CommandLineError(f"You need to supply the '{option}' option for the {where}")
        elif rule is None:
            raise CommandLineError(f"Illegal '{option}' option with the {where}")
        elif rule is ONE_OF:
            if chosen:
                raise CommandLineError(f"The option '{option}' conflicts with the '{chosen}' option in the {where}")
            chosen = option
