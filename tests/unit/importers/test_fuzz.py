"""Any bytes give an outcome: an lvs.cf that our own check accepts, or errors with file and line; and never a secret."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.importing_world import FIXTURES

from piranha.config.semantics import check_text
from piranha.importers.importing import Dialect, Outcome, import_files
from piranha.importers.options import ImportOptions
from piranha.importers.report import report_document
from piranha.importers.source import FixedFiles

PARTS = {
    Dialect.KEEPALIVED: ["keepalived/plain.conf", "keepalived/old-names.conf", "keepalived/macros.conf"],
    Dialect.LDIRECTORD: ["ldirectord.cf"],
    Dialect.IPVSADM: ["ipvsadm.save"],
    Dialect.NGINX_STREAM: ["nginx.conf"],
    Dialect.HAPROXY_TCP: ["haproxy.cfg"],
    Dialect.MARKS: ["rules.iptables", "rules.nft"],
}
OPTIONS = ImportOptions(config_id="main", device="eth0", vip=ip_address("192.0.2.105"))
PATIENT = settings(
    deadline=timedelta(seconds=20), max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
LINES = {
    dialect: [line for name in names for line in (FIXTURES / name).read_text().split("\n")]
    for dialect, names in PARTS.items()
}
WORDS = {dialect: sorted({word for line in lines for word in line.split()}) for dialect, lines in LINES.items()}
dialects = pytest.mark.parametrize("dialect", list(Dialect))


def judged(dialect: Dialect, text: str) -> Outcome:
    """The outcome, which is whole whatever the text."""
    outcome = import_files(dialect, ["main"], FixedFiles({"main": text}), OPTIONS)
    lines = text.split("\n")
    assert len(outcome.entries) in (len(lines), len(lines) - 1, len(lines) or 1) or not text
    assert all(entry.place.line >= 1 and entry.place.file for entry in outcome.entries)
    if outcome.text is None:
        assert outcome.errors
        assert all(entry.remarks for entry in outcome.errors)
    else:
        assert not outcome.errors
        assert check_text(outcome.text).is_usable
    report_document(outcome)
    return outcome


@dialects
@PATIENT
@given(data=st.binary(max_size=400))
def test_any_bytes(dialect: Dialect, data: bytes) -> None:
    judged(dialect, data.decode("utf-8", "surrogateescape"))


@dialects
@PATIENT
@given(data=st.data())
def test_lines_in_any_order(dialect: Dialect, data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.sampled_from(LINES[dialect]), max_size=40))
    judged(dialect, "\n".join(lines))


@dialects
@PATIENT
@given(data=st.data())
def test_words_in_any_order(dialect: Dialect, data: st.DataObject) -> None:
    word = st.one_of(
        st.sampled_from(WORDS[dialect]), st.text(max_size=5), st.sampled_from(["{", "}", ";", '"', "'", "\\"])
    )
    lines = data.draw(st.lists(st.lists(word, max_size=6), max_size=25))
    judged(dialect, "\n".join(" ".join(line) for line in lines))


@dialects
@PATIENT
@given(data=st.data())
def test_a_file_with_one_wrong_place(dialect: Dialect, data: st.DataObject) -> None:
    text = (FIXTURES / data.draw(st.sampled_from(PARTS[dialect]))).read_text()
    at = data.draw(st.integers(0, len(text)))
    size = data.draw(st.integers(0, 12))
    judged(dialect, text[:at] + data.draw(st.text(max_size=6)) + text[at + size :])


@dialects
def test_a_file_cut_off_anywhere(dialect: Dialect) -> None:
    for name in PARTS[dialect]:
        text = (FIXTURES / name).read_text()
        for at in range(0, len(text), max(len(text) // 60, 1)):
            judged(dialect, text[:at])


@PATIENT
@given(
    secret=st.text("abcdefghijkmnpqrstuvwxyz23456789", min_size=6, max_size=12).map(lambda word: f"Q{word}"),
    keyword=st.sampled_from(["auth_pass", "$PASSWORD=", "password", "passwd=", "secret =", "user a password"]),
    dialect=st.sampled_from(list(Dialect)),
)
def test_no_secret_comes_out(secret: str, keyword: str, dialect: Dialect) -> None:
    text = f"global\nglobal_defs {{\n {keyword} {secret}\n}}\nvirtual=192.0.2.1:80\n\t{keyword} {secret}\n"
    assert secret not in str(report_document(judged(dialect, text)))


def test_definitions_of_a_secret_are_hidden_wherever_they_stand() -> None:
    text = '$A=Qsesame\n$B=${A}\nvrrp_instance V {\n authentication {\n  auth_pass $B\n }\n notify_stop "/bin/x Qsesame"\n}\n'
    assert "Qsesame" not in str(report_document(judged(Dialect.KEEPALIVED, text)))


@pytest.mark.parametrize(
    "definition",
    ["$A=Qsesame", "@main $A=Qsesame", "$A=${B}\n$B=Qsesame", "$A= \\\n  Qsesame", '$A="Qsesame with blanks"'],
)
def test_definitions_of_a_secret_are_hidden_whatever_fails(definition: str) -> None:
    text = f"{definition}\n}}\nvrrp_instance V {{\n authentication {{\n  auth_pass $A\n }}\n}}\n"
    outcome = judged(Dialect.KEEPALIVED, text)
    assert outcome.text is None
    assert "Qsesame" not in str(report_document(outcome))
    assert "with blanks" not in str(report_document(outcome))


def test_includes_read_plain_files_alone(tmp_path: Path) -> None:
    import os

    from piranha.importers.source import DiskFiles

    os.mkfifo(tmp_path / "pipe.conf")
    (tmp_path / "main.conf").write_text("include *.conf\ninclude /dev/zero\n")
    outcome = import_files(Dialect.KEEPALIVED, [str(tmp_path / "main.conf")], DiskFiles(), OPTIONS)
    assert "includes itself" in outcome.errors[0].remarks[0]
