"""ldirectord.cf as settings, global ones and those of each virtual server.

Source: ldirectord(8); what its own parser does with odd lines: spec/ipvs.md section 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from piranha.config.conversion import did_you_mean
from piranha.importers.ledger import Ledger, Place

_SETTING = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(.*)\Z", re.DOTALL)
_NO_MAIL = "Piranha sends no mail: its journal and `piranha status` say what happened"
LEFT: Mapping[str, str] = {
    "autoreload": "`piranha reload` applies a changed file; one that is changed on disk is shown",
    "callback": "the file is replicated to the backup without it",
    "fork": "one engine makes all checks",
    "logfile": "the log goes to the journal",
    "supervised": "systemd watches the daemons",
    "emailalert": _NO_MAIL,
    "emailalertfrom": _NO_MAIL,
    "emailalertfreq": _NO_MAIL,
    "emailalertstatus": _NO_MAIL,
    "smtp": _NO_MAIL,
    "execute": "import the other file too",
    "maintenancedir": "write `active = 0` or `weight = 0` for maintenance",
    "readdquiescent": "a quiesced server gets its weight back as soon as it is up",
    "cleanstop": "a stopped lvsd leaves the table, so that packets go on: `piranha unload` empties it",
    "fallbackcommand": "lvs.cf has no command for the sorry server",
    "checkcount": "it says how many pings one check has, and lvs.cf has no ping check",
    "comment": "comments of lvs.cf stand behind #",
    "monitorfile": "checks are settings of the virtual server",
    "login": "checks of lvs.cf do not log in",
    "passwd": "checks of lvs.cf do not log in",
    "secret": "checks of lvs.cf do not log in",
    "database": "checks of lvs.cf do not log in",
    "request6": "the check is the same for both families",
}
_TIMES = ("checkinterval", "checktimeout", "negotiatetimeout", "failurecount")
KNOWN = (
    *LEFT,
    *_TIMES,
    *[
        "virtual",
        "virtual6",
        "real",
        "real6",
        "fallback",
        "fallback6",
        "checktype",
        "service",
        "checkcommand",
        "checkport",
        "request",
        "receive",
    ],
    *["httpmethod", "virtualhost", "scheduler", "persistent", "netmask", "protocol", "quiescent", "ops", "servicename"],
)


@dataclass(slots=True)
class Setting:
    place: Place
    name: str
    value: str


@dataclass(slots=True)
class VirtualSettings:
    head: Setting
    settings: list[Setting] = field(default_factory=list)

    def last(self, name: str) -> Setting | None:
        return next((one for one in reversed(self.settings) if one.name == name), None)


def read(file: str, text: str, ledger: Ledger) -> tuple[VirtualSettings, list[VirtualSettings]]:
    """The global settings, and the virtual servers with theirs."""
    top = VirtualSettings(Setting(Place(file, 1), "", ""))
    virtuals: list[VirtualSettings] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        place, line = Place(file, number), raw.rstrip()
        if number == 1:
            line = line.removeprefix("\ufeff")
        bare = line.strip()
        if not bare or bare[0] == "#":
            continue
        found = _SETTING.match(bare)
        if found is None:
            ledger.error(place, "this is no `name = value`: ldirectord refuses the file too")
            continue
        setting = Setting(place, found[1].lower(), found[2].strip())
        indented = line[0] == "\t" or line[:4] == "    "
        if setting.name in ("passwd", "secret", "login"):
            ledger.hide(unquoted(setting.value))
        if setting.name not in KNOWN:
            near = did_you_mean(setting.name, KNOWN)
            mend = f": did you mean `{near}`?" if near else ""
            ledger.error(place, f"ldirectord has no setting `{setting.name}`{mend}")
        elif setting.name in ("virtual", "virtual6"):
            virtuals.append(VirtualSettings(setting))
        elif virtuals and (indented or setting.name in ("real", "real6") or line[0].isspace()):
            if not indented:
                ledger.changed(place, "it is not indented, and ldirectord would refuse the file")
            virtuals[-1].settings.append(setting)
        elif setting.name in ("real", "real6"):
            ledger.error(place, "a real server without a virtual server")
        else:
            top.settings.append(setting)
    return top, virtuals


def unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
