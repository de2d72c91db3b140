"""The texts that pass between us and the system's own commands, and files below a root."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.realserver.host import Host, nft_script, parse_nft_listing
from piranha.realserver.requirement import ArpRulesAre, DecapsulationIs, FileIs

RULES = ("input arp daddr ip 10.0.0.100 drop", "output arp saddr ip 10.0.0.100 arp saddr ip set 10.0.0.11")
LISTING = """\
table arp piranha_realserver {
	chain input {
		type filter hook input priority filter; policy accept;
		arp daddr ip 10.0.0.100 drop
	}

	chain output {
		type filter hook output priority filter; policy accept;
		arp saddr ip 10.0.0.100 arp saddr ip set 10.0.0.11
	}
}
"""


def test_an_nft_script_replaces_the_whole_table_at_once() -> None:
    lines = nft_script(RULES).splitlines()
    assert lines[:2] == ["table arp piranha_realserver", "delete table arp piranha_realserver"]
    assert "    arp daddr ip 10.0.0.100 drop" in lines
    assert lines.count("  }") == 2


def test_a_listing_is_read_back_as_the_rules() -> None:
    assert ArpRulesAre(rules=RULES).is_met_by(parse_nft_listing(LISTING))
    assert not ArpRulesAre(rules=RULES[:1]).is_met_by(parse_nft_listing(LISTING))


def test_the_name_of_a_filter_stays_short_and_tells_lists_apart() -> None:
    many = tuple(ip_address(f"10.0.{n}.100") for n in range(100))
    first = DecapsulationIs(device="eth0", vips=many)
    second = DecapsulationIs(device="eth0", vips=(*many[:-1], ip_address("10.1.0.1")))
    assert first.target != second.target
    assert len(first.target or "") < 240
    assert first.is_met_by(DecapsulationIs(device="eth0", vips=tuple(reversed(many))).target)


def test_files_and_links_below_a_root(tmp_path: Path) -> None:
    host = Host(root=tmp_path)
    file = FileIs(path="etc/sysctl.d/x.conf", content="a = 1\n")
    link = FileIs(path="etc/systemd/wants/x", content="/etc/x", link=True)
    for requirement in (file, link):
        assert host.read(requirement) is None
        host.make(requirement)
        assert host.read(requirement) == requirement.content
        host.make(requirement)
        host.restore(requirement, "older")
        assert host.read(requirement) == "older"
        host.restore(requirement, None)
        assert host.read(requirement) is None
    assert [p for p in tmp_path.rglob("*") if not p.is_dir()] == []


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file where a directory should be")
    with pytest.raises(PiranhaError, match=r"/etc/x cannot be"):
        Host(root=tmp_path).make(FileIs(path="etc/x", content=""))


def test_the_record_is_replaced_whole_and_removed(tmp_path: Path) -> None:
    host, path = Host(), tmp_path / "state" / "realserver.json"
    assert host.read_text(path) is None
    host.write_record(path, "one")
    host.write_record(path, "two")
    assert host.read_text(path) == "two"
    assert [p.name for p in path.parent.iterdir()] == ["realserver.json"]
    host.write_record(path, None)
    host.write_record(path, None)
    assert host.read_text(path) is None
