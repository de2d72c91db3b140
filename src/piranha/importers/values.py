"""Values of other configurations, each checked; a wrong one is an error in the ledger, never a default."""

from __future__ import annotations

from ipaddress import IPv4Address

from piranha.config.conversion import did_you_mean
from piranha.config.directives import BY_SCOPE, Scope
from piranha.config.values import parse_ip
from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.model.address import IPAddress

SCHEDULERS = tuple(str(word) for word in BY_SCOPE[Scope.VIRTUAL]["scheduler"].words)
MOST_WEIGHT = 2**31 - 1
MOST_PORT = 65535
_MAX_DIGITS = 20


class Values:
    """Reads values; notes an error at the place and returns None for one that is wrong."""

    def __init__(self, ledger: Ledger, options: ImportOptions) -> None:
        self._ledger = ledger
        self._names = options.names

    def address(self, place: Place, text: str) -> IPAddress | None:
        found = parse_ip(text)
        if found is None:
            self._ledger.error(place, f"`{text}` is not an IP address")
        return found

    def host(self, place: Place, text: str) -> IPAddress | None:
        """An address, or a name that is looked up now."""
        found = parse_ip(text)
        if found is not None:
            return found
        found = self._names.host(text)
        if found is None:
            self._ledger.error(place, f"`{text}` is not an IP address, and no host of this name is known")
            return None
        self._ledger.changed(place, f"{text} is {found} now: lvs.cf has the address, and does not follow the name")
        return found

    def port(self, place: Place, text: str, *, least: int = 0) -> int | None:
        if text.isascii() and text.isdigit():
            return self.number(place, text, "a port", least, MOST_PORT)
        found = self._names.port(text) if text else None
        if found is None:
            self._ledger.error(place, f"`{text}` is not a port")
        return found

    def number(self, place: Place, text: str, what: str, least: int, most: int) -> int | None:
        if not (text.lstrip("-").isascii() and text.lstrip("-").isdigit()) or len(text) > _MAX_DIGITS:
            self._ledger.error(place, f"{what} is a whole number, not `{text}`")
            return None
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            self._ledger.error(place, f"{what} is from {least} to {most}, not {text}")
            return None
        return found

    def seconds(self, place: Place, text: str, what: str, least: float = 0, most: float = 86400) -> float | None:
        plain = text.replace(".", "", 1)
        if not (plain.isascii() and plain.isdigit()) or len(text) > _MAX_DIGITS:
            self._ledger.error(place, f"{what} is a time in seconds, not `{text}`")
            return None
        found = round(float(text), 3)
        if not least <= found <= most:
            self._ledger.error(place, f"{what} is from {least:g} to {most:g} s, not {text}")
            return None
        return int(found) if found == int(found) else found

    def scheduler(self, place: Place, word: str) -> str | None:
        if word in SCHEDULERS:
            return word
        near = did_you_mean(word, SCHEDULERS)
        mend = f": did you mean `{near}`?" if near else f": there are {' '.join(SCHEDULERS)}"
        self._ledger.error(place, f"no scheduler is called `{word}`{mend}")
        return None

    def mask(self, place: Place, text: str) -> IPAddress | int | None:
        """A netmask, or the length of a prefix."""
        bare = text.lstrip("/")
        if bare.isascii() and bare.isdigit():
            return self.number(place, bare, "the length of a prefix", 1, 128)
        return self.address(place, text)


def mask_of(address: IPAddress, bits: int) -> IPAddress | None:
    """The netmask of a prefix; None for the whole address."""
    if bits == address.max_prefixlen:
        return None
    value = (1 << address.max_prefixlen) - (1 << (address.max_prefixlen - bits))
    return IPv4Address(value) if address.version == 4 else type(address)(value)
