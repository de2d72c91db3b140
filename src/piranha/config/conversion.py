"""From the words after `=` to a typed value, by the rules of the directive's type and the mode."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_network

from piranha.config.directives import REJECTED_WORDS, Directive, ValueType
from piranha.config.names import Names
from piranha.config.problem import Findings, Kind, Place
from piranha.config.syntax import Token
from piranha.config.tree import Entry, place_of, report
from piranha.config.values import is_host_name, parse_inet_aton, parse_integer, parse_ip, parse_time
from piranha.config.words import Words, value_words, without_glued_brackets
from piranha.model.address import IPAddress
from piranha.model.check_block import StatusRange
from piranha.model.configuration import DeviceAddress
from piranha.model.mark import MOST_PORT, PortRange, network_text

HIDDEN = "(hidden)"
"""What is shown instead of a secret."""

_MAX_GUESSED = 40
_MOST_PREFIX = 128
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})\Z", re.ASCII)
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?\Z", re.ASCII)
_PREFIX = re.compile(r"/?(0|[1-9][0-9]{0,2})\Z", re.ASCII)
_NETWORK = re.compile(r"[^/]+(?:/[0-9]{1,3}(?:\.[0-9.]+)?)?\Z", re.ASCII)


class NoValue:
    """What `Converter.value` returns when an assignment gives no usable value."""


NO_VALUE = NoValue()


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to a mistyped word, None when nothing is near."""
    if len(word) > _MAX_GUESSED:
        return None
    near = difflib.get_close_matches(word.lower(), list(candidates), n=1, cutoff=0.6)
    return near[0] if near else None


class Converter:
    """Converts the values of one file; problems go to `findings`."""

    def __init__(self, findings: Findings, names: Names) -> None:
        self._findings = findings
        self._strict = findings.strict
        self._names = names
        self._by_type: dict[ValueType, Callable[[Directive, Place, Token], object]] = {
            ValueType.INTEGER: self._integer,
            ValueType.BOOLEAN: self._boolean,
            ValueType.TIME: self._time,
            ValueType.PORT: self._port,
            ValueType.SERVER_PORT: self._server_port,
            ValueType.HOST: self._host,
            ValueType.ADDRESS: self._address,
            ValueType.MASK: self._mask,
            ValueType.TEXT: self._text,
            ValueType.CHECK_TEXT: self._check_text,
            ValueType.WORD: self._word,
            ValueType.NETWORK: self._network,
        }

    def value(self, directive: Directive, entry: Entry, *, in_block: bool) -> object:
        """The value that an assignment gives, or NO_VALUE."""
        assignment = entry.assignment
        usable = True
        for flaw in assignment.flaws:
            if directive.secret:
                flaw = flaw._replace(token=flaw.token._replace(text=HIDDEN))
            usable &= report(self._findings, entry.line, flaw, in_block=in_block)
        if assignment.equal is None:
            self._no_equal(directive, entry)
            return NO_VALUE
        if not usable:
            return NO_VALUE
        values, comment = value_words(directive, assignment.values)
        if comment is not None and not report(self._findings, entry.line, comment, in_block=in_block):
            return NO_VALUE
        if not values:
            self._missing(directive, entry)
            return NO_VALUE
        if directive.type.is_list:
            return self._items(directive, entry, values)
        if directive.type is ValueType.DEVICE_ADDRESS:
            return self._device_address(directive, entry, values)
        if len(values) > 1:
            self._surplus(directive, entry, values)
            return NO_VALUE
        place = place_of(entry.line, values[0])
        if directive.secret:
            place = place._replace(text=HIDDEN)
        value = self._by_type[directive.type](directive, place, values[0])
        if directive.form and isinstance(value, str) and not re.fullmatch(directive.form, value):
            message = f"`{directive.name}` takes {directive.form_text}, not `{place.text}`"
            mend = f"write for example `{directive.assignment_example}`"
            self._findings.refuse(place, Kind.INVALID_ARGUMENT, message, mend)
            return NO_VALUE
        return value

    def _no_equal(self, directive: Directive, entry: Entry) -> None:
        assignment = entry.assignment
        given = "" if directive.secret else " ".join(token.text for token in assignment.values)
        kind = Kind.EQUAL_EXPECTED if given else Kind.MISSING_ARGUMENTS
        mend = f"write `{directive.name} = {given or directive.example}`"
        self._findings.refuse(place_of(entry.line, assignment.name), kind, f"`{directive.name}` has no `=`", mend)

    def _missing(self, directive: Directive, entry: Entry) -> None:
        equal = entry.assignment.equal
        assert equal is not None
        place = Place(entry.line + 1, equal.end + 1, f"{directive.name} =")
        mend = f"write `{directive.assignment_example}`"
        if directive.name != "address":
            mend += ", or remove the line"
        mend = f"{mend}. {directive.meaning.partition('. ')[0].removesuffix('.')}"
        self._findings.refuse(place, Kind.MISSING_ARGUMENTS, f"`{directive.name}` has no value", mend)

    def _surplus(self, directive: Directive, entry: Entry, values: Words) -> None:
        mend = "remove it"
        if directive.secret:
            place = place_of(entry.line, values[1])._replace(text=HIDDEN)
            message = f"`{directive.name}` takes one value, and more follows it"
            self._findings.refuse(place, Kind.UNEXPECTED_ARGUMENTS, message, "quote a text that contains blanks")
            return
        if directive.type in (ValueType.TEXT, ValueType.CHECK_TEXT):
            whole = " ".join(token.text for token in values)
            mend = f'quote a text that contains blanks: `{directive.name} = "{whole}"`'
            if '"' in whole:
                mend = "quote the whole text, with the kind of quote that it does not contain"
        message = f"`{directive.name}` takes one value, and `{values[1].text}` follows it"
        self._findings.refuse(place_of(entry.line, values[1]), Kind.UNEXPECTED_ARGUMENTS, message, mend)

    def _items(self, directive: Directive, entry: Entry, values: Words) -> object:
        """A tuple of the words of a list, each by the rules of the list's type."""
        if directive.type.may_be_bare and values[0].text[0] != "[":
            if len(values) > 1:
                return self._no_brackets(directive, place_of(entry.line, values[0]), values)
            inner = values
        else:
            words = self._in_brackets(directive, place_of(entry.line, values[0]), values)
            if words is None:
                return NO_VALUE
            inner = words
        if directive.type is ValueType.LIST:
            return tuple(word.value for word in inner)
        if directive.type is ValueType.WORDS:
            convert = self._word
        else:
            convert = self._port_range if directive.type is ValueType.PORTS else self._statuses
        items = [convert(directive, place_of(entry.line, word), word) for word in inner]
        return NO_VALUE if NO_VALUE in items else tuple(items)

    def _in_brackets(self, directive: Directive, place: Place, values: Words) -> Words | None:
        words = without_glued_brackets(values)
        if len(words) < 2 or (words[0].text, words[-1].text) != ("[", "]"):
            self._no_brackets(directive, place, values)
            return None
        if words != values:
            inner = " ".join(word.text for word in words)
            mend = f"write `{directive.name} = {inner}`"
            if not self._findings.tolerate(place, Kind.LIST_EXPECTED, "no blanks inside of the brackets", mend):
                return None
        return words[1:-1]

    def _no_brackets(self, directive: Directive, place: Place, values: Words) -> NoValue:
        bare = " ".join(word.text for word in values).strip("[]")
        message = f"`{directive.name}` takes a list in brackets"
        self._findings.refuse(place, Kind.LIST_EXPECTED, message, f"write `{directive.name} = [ {bare} ]`")
        return NO_VALUE

    def _integer(self, directive: Directive, place: Place, token: Token) -> object:
        number = parse_integer(token.value)
        if number is None:
            return self._not_integer(directive, place, "a whole number")
        return self._in_range(directive, place, number)

    def _not_integer(
        self, directive: Directive, place: Place, what: str, kind: Kind = Kind.INTEGER_EXPECTED
    ) -> NoValue:
        message = f"`{directive.name}` takes {what}, not `{place.text}`"
        self._findings.refuse(place, kind, message, f"write for example `{directive.assignment_example}`")
        return NO_VALUE

    def _in_range(self, directive: Directive, place: Place, number: float) -> object:
        least, most = directive.least, directive.most
        if (least is None or number >= least) and (most is None or number <= most):
            return number
        unit = " s" if directive.type is ValueType.TIME else ""
        bounds = f"at least {least:g}{unit}" if most is None else f"from {_shown(least)} to {_shown(most)}{unit}"
        message = f"`{directive.name}` must be {bounds}, not `{place.text}`"
        mend = f"write for example `{directive.assignment_example}`"
        return number if self._findings.forbid(place, message, mend) else NO_VALUE

    def _boolean(self, directive: Directive, place: Place, token: Token) -> object:
        number = parse_integer(token.value)
        if number in (0, 1):
            return bool(number)
        meant = {"yes": "1", "on": "1", "true": "1", "no": "0", "off": "0", "false": "0"}.get(token.value.lower())
        mend = (
            f"write `{directive.name} = {meant}`"
            if meant
            else f"write `{directive.name} = 1` or `{directive.name} = 0`"
        )
        kind = Kind.INTEGER_EXPECTED if number is None else Kind.BOOLEAN_EXPECTED
        self._findings.refuse(place, kind, f"`{directive.name}` is 1 or 0, not `{place.text}`", mend)
        return NO_VALUE

    def _time(self, directive: Directive, place: Place, token: Token) -> object:
        whole = parse_integer(token.value)
        if whole is not None:
            return self._in_range(directive, place, whole)
        seconds = None if self._strict else parse_time(token.value)
        if seconds is None:
            return self._not_integer(directive, place, "a time, as `6`, `250ms`, `6s` or `2m`")
        return self._in_range(directive, place, seconds)

    def _port(self, directive: Directive, place: Place, token: Token) -> object:
        number = parse_integer(token.value)
        if number is None:
            number = self._names.port(token.value) if token.value else None
        if number is None:
            what = "a number or a service name of /etc/services"
            return self._not_integer(directive, place, what, Kind.INVALID_ARGUMENT)
        return self._in_range(directive, place, number)

    def _port_range(self, directive: Directive, place: Place, token: Token) -> object:
        """A port by number or name, or a range of numbers."""
        match = _RANGE.match(token.value)
        if match is not None:
            first, last = int(match[1]), int(match[2])
        else:
            number = parse_integer(token.value) if token.value else None
            if number is None:
                number = self._names.port(token.value) if token.value else None
            if number is None:
                what = "numbers, service names of /etc/services and ranges as 8000-8010"
                return self._not_integer(directive, place, what, Kind.INVALID_ARGUMENT)
            first = last = number
        if first > last:
            message = f"the range `{place.text}` ends before it begins"
            self._findings.refuse(place, Kind.INVALID_ARGUMENT, message, f"write `{last}-{first}`")
            return NO_VALUE
        if not 1 <= first <= last <= MOST_PORT:
            mend = f"write for example `{directive.assignment_example}`; without `{directive.name}` every port counts"
            message = f"a port is from 1 to {MOST_PORT}, not `{place.text}`"
            self._findings.refuse(place, Kind.INVALID_ARGUMENT, message, mend)
            return NO_VALUE
        return PortRange(first, last)

    def _statuses(self, directive: Directive, place: Place, token: Token) -> object:
        """A status, or a range of them."""
        match = _STATUSES.match(token.value)
        if match is None or int(match[1]) > int(match[2] or match[1]):
            message = f"`{directive.name}` takes statuses from 100 to 599 and ranges as 200-299, not `{place.text}`"
            mend = f"write for example `{directive.assignment_example}`"
            self._findings.refuse(place, Kind.INVALID_ARGUMENT, message, mend)
            return NO_VALUE
        return StatusRange(int(match[1]), int(match[2] or match[1]))

    def _network(self, directive: Directive, place: Place, token: Token) -> object:
        text = token.value
        address = parse_ip(text)
        try:
            if not _NETWORK.match(text):
                raise ValueError(text)
            network = ip_network(text if address is None else address, strict=False)
        except ValueError:
            message = f"`{place.text}` is neither an IP address nor a network"
            mend = f"write for example `{directive.assignment_example}`"
            self._findings.refuse(place, Kind.INVALID_HOST, message, mend)
            return NO_VALUE
        given = parse_ip(text.partition("/")[0])
        if given is not None and given != network.network_address:
            message = f"`{text}` is an address inside of the network {network}"
            mend = f"write `{directive.name} = {network_text(network)}`, or `{given}` for this address alone"
            self._findings.advise(place, message, mend)
        return network

    def _server_port(self, directive: Directive, place: Place, token: Token) -> object:
        number = parse_integer(token.value)
        if number is None:
            number = self._names.port(token.value) if token.value else None
            if number is None:
                return self._not_integer(directive, place, "a port number")
            message, mend = "the original takes only a number here", f"write `{directive.name} = {number}`"
            if not self._findings.tolerate(place, Kind.INTEGER_EXPECTED, message, mend):
                return NO_VALUE
        return self._in_range(directive, place, number)

    def _host(self, directive: Directive, place: Place, token: Token) -> object:
        address = self._ip(place, token.value)
        if address is None and is_host_name(token.value):
            address = self._names.host(token.value)
            if address is not None and address.version == 6 and self._strict:
                address = None
            if address is None:
                message = f"the host name `{token.value}` does not resolve"
                mend = f"write its address: `{directive.assignment_example}`"
                self._findings.refuse(place, Kind.INVALID_ARGUMENT, message, mend)
                return NO_VALUE
            message = (
                f"`{token.value}` is looked up whenever the file is read, and a failing name service refuses the file"
            )
            self._findings.advise(place, message, f"write its address: `{directive.name} = {address}`")
        if address is None:
            return self._not_address(directive, place, Kind.INVALID_ARGUMENT)
        if directive.name == "primary" or directive.name == "primary_private":
            return self._specified(directive, place, address)
        return address

    def _specified(self, directive: Directive, place: Place, address: IPAddress) -> object:
        if not address.is_unspecified:
            return address
        message = f"`{directive.name}` cannot be `{place.text}`"
        mend = f"write the director's own address: `{directive.assignment_example}`"
        self._findings.refuse(place, Kind.INVALID_HOST, message, mend)
        return NO_VALUE

    def _address(self, directive: Directive, place: Place, token: Token) -> object:
        address = self._ip(place, token.value)
        return self._not_address(directive, place, Kind.INVALID_HOST) if address is None else address

    def _not_address(self, directive: Directive, place: Place, kind: Kind) -> NoValue:
        message = f"`{place.text}` is not an IP address"
        mend = f"write for example `{directive.assignment_example}`"
        if "/" in place.text and parse_ip(place.text.partition("/")[0]) is not None:
            mend = "write the address without a prefix length; the mask has a directive of its own"
        self._findings.refuse(place, kind, message, mend)
        return NO_VALUE

    def _ip(self, place: Place, text: str) -> IPAddress | None:
        """The address that a text spells out, by the rules of the mode."""
        plain = parse_ip(text)
        if plain is not None and (plain.version == 4 or not self._strict):
            return plain
        short = parse_inet_aton(text)
        if short is not None and not self._strict:
            message = f"`{text}` is a short or octal form of `{short}`"
            self._findings.advise(place, message, f"write `{short}`")
        return short

    def _mask(self, directive: Directive, place: Place, token: Token) -> object:
        prefix = _PREFIX.match(token.value) if directive.name == "pmask" and not self._strict else None
        if prefix is not None and int(prefix[1]) <= _MOST_PREFIX:
            return int(prefix[1])
        mask = self._ip(place, token.value)
        if mask is not None:
            is_none = int(mask) == (2**mask.max_prefixlen - 1) if directive.name == "pmask" else mask.is_unspecified
            return None if is_none else mask
        message = f"`{place.text}` is not a netmask"
        mend = f"write for example `{directive.assignment_example}`"
        if directive.name == "pmask":
            # The original went on without a mask and said nothing.
            if not self._strict:
                self._findings.advise(place, f"{message}: the line counts for nothing", mend)
            return NO_VALUE
        self._findings.refuse(place, Kind.BAD_MASK, message, mend)
        return NO_VALUE

    def _device_address(self, directive: Directive, entry: Entry, values: Words) -> object:
        place = place_of(entry.line, values[0])
        if len(values) > 2:
            message = f"`{directive.name}` takes an address and a device, and `{values[2].text}` follows them"
            self._findings.refuse(place_of(entry.line, values[2]), Kind.UNEXPECTED_ARGUMENTS, message, "remove it")
            return NO_VALUE
        text = values[0].value
        if len(values) == 1:
            is_address = parse_ip(text) is not None or parse_inet_aton(text) is not None
            example_address, _, example_device = directive.example.partition(" ")
            if is_address:
                message = f"`{directive.name}` has an address but no device"
                mend = f"write `{directive.name} = {text} {example_device}`"
            else:
                message = f"`{directive.name}` has a device but no IP address"
                mend = f"write `{directive.name} = {example_address} {text}`"
            self._findings.refuse(place, Kind.MISSING_ARGUMENTS, message, mend)
            return NO_VALUE
        address = self._ip(place, text)
        if address is None:
            return self._not_address(directive, place, Kind.INVALID_HOST)
        return DeviceAddress(address=address, device=values[1].value)

    def _text(self, directive: Directive, place: Place, token: Token) -> object:
        return token.value

    def _check_text(self, directive: Directive, place: Place, token: Token) -> object:
        """The original's nanny took off only double quotes; apostrophes reached the check."""
        if token.quote != "'":
            return token.value
        if self._strict:
            return token.text
        message = f"the original kept the apostrophes as part of `{directive.name}`"
        mend = "use double quotes" if '"' not in token.value else "the apostrophes are taken off here"
        self._findings.advise(place, message, mend)
        return token.value

    def _word(self, directive: Directive, place: Place, token: Token) -> object:
        known = directive.words
        word = token.value
        if word in known and not (self._strict and directive.strict_words and word not in directive.strict_words):
            return known[word]
        message = f"`{directive.name}` cannot be `{place.text}`"
        mend = f"one of {', '.join(known)}"
        if not self._findings.full:
            near = REJECTED_WORDS.get(word.lower()) or did_you_mean(word, known)
            if near in known and near != word:
                mend = f"did you mean `{near}`?"
        self._findings.refuse(place, Kind.INVALID_ARGUMENT, message, mend)
        return NO_VALUE


def _shown(bound: float | None) -> str:
    return "0" if bound is None else str(int(bound)) if bound == int(bound) else f"{bound:g}"
