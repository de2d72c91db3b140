"""Mark rules as text for nft, and the table that nft lists as rules again."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.base.errors import PiranhaError
from piranha.dataplane.ipvs.marks import MarkTable, read_table, rule_text, table_text
from piranha.model.mark import MarkRule
from piranha.model.service import Protocol

TCP, UDP, SCTP, ANY = Protocol.TCP, Protocol.UDP, Protocol.SCTP, Protocol.IP

LISTED = """\
table inet piranha_marks {
	chain prerouting {
		type filter hook prerouting priority -150; policy accept;
		ip daddr 10.9.0.0/24 udp dport 8000-8010 meta mark set 0x00000005 accept
		ip6 daddr fd09::/64 meta l4proto 132 meta mark set 0x00000006 accept
		meta nfproto 2 th dport 0-100 meta mark set 0xffffffff accept
	}

	chain output {
		type filter hook output priority -150; policy accept;
		ip daddr 10.9.0.0/24 udp dport 8000-8010 meta mark set 0x00000005 accept
		ip6 daddr fd09::/64 meta l4proto 132 meta mark set 0x00000006 accept
		meta nfproto 2 th dport 0-100 meta mark set 0xffffffff accept
	}
}
"""  # recorded from nft 1.0.6 with -n -s
RULES = (
    MarkRule(mark=5, network=ip_network("10.9.0.0/24"), protocol=UDP, first_port=8000, last_port=8010),
    MarkRule(mark=6, network=ip_network("fd09::/64"), protocol=SCTP),
    MarkRule(mark=0xFFFFFFFF, network=ip_network("0.0.0.0/0"), first_port=0, last_port=100),
)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            MarkRule(mark=5, network=ip_network("10.9.0.1"), protocol=TCP, first_port=80, last_port=80),
            "ip daddr 10.9.0.1 tcp dport 80 meta mark set 0x5 accept",
        ),
        (RULES[0], "ip daddr 10.9.0.0/24 udp dport 8000-8010 meta mark set 0x5 accept"),
        (RULES[1], "ip6 daddr fd09::/64 meta l4proto sctp meta mark set 0x6 accept"),
        (RULES[2], "meta nfproto ipv4 th dport 0-100 meta mark set 0xffffffff accept"),
        (MarkRule(mark=9, network=ip_network("::/0")), "meta nfproto ipv6 meta mark set 0x9 accept"),
    ],
)
def test_a_rule_as_text(rule: MarkRule, text: str) -> None:
    assert rule_text(rule) == text


def test_the_transaction_replaces_the_whole_table() -> None:
    text = table_text(RULES[:1])
    assert text.splitlines()[:3] == [
        "add table inet piranha_marks", "delete table inet piranha_marks", "table inet piranha_marks {",
    ]  # fmt: skip
    assert text.count(rule_text(RULES[0])) == 2
    assert re.findall(r"hook (\w+) priority mangle", text) == ["prerouting", "output"]


def test_a_listing_is_read() -> None:
    assert read_table(LISTED) == RULES
    assert read_table("") == ()


@pytest.mark.parametrize(
    "change",
    [
        ("meta mark set 0x00000006 accept", "meta mark set 0x00000006"),
        ("ip6 daddr fd09::/64", "ip6 saddr fd09::/64"),
        ("policy accept", "policy drop"),
        ("meta nfproto 2 ", "meta nfproto 7 "),
        ("fd09::/64", "fd09::1/64"),
        ("\tchain output", "\tchain elsewhere"),
    ],
)
def test_a_listing_that_is_not_ours_is_none(change: tuple[str, str]) -> None:
    assert read_table(LISTED.replace(*change)) is None


def test_chains_that_differ_are_not_ours() -> None:
    first = LISTED.index("0x00000005")
    assert read_table(LISTED[:first] + "0x00000007" + LISTED[first + 10 :]) is None


def _networks() -> st.SearchStrategy[IPv4Network | IPv6Network]:
    return st.builds(
        lambda address, prefix: IPv4Network((address, prefix), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ) | st.builds(
        lambda address, prefix: IPv6Network((address, prefix), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    )


rules = st.builds(
    lambda mark, network, protocol, ports: MarkRule(
        mark=mark, network=network, protocol=protocol, first_port=min(ports), last_port=max(ports)
    ),
    st.integers(1, 2**32 - 1),
    _networks(),
    st.sampled_from(list(Protocol)),
    st.just((0, 65535)) | st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
)


@given(st.lists(rules, max_size=6).map(tuple))
def test_what_is_written_can_be_read(wanted: tuple[MarkRule, ...]) -> None:
    _, _, table = table_text(wanted).split("\n", 2)
    assert read_table(table) == wanted


def test_a_missing_nft_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(PiranhaError, match="the program nft is not here: install the package nftables"):
        MarkTable().install(RULES)
    MarkTable().install(())  # where there is no nft there is no table either
    assert MarkTable().rules() == ()
