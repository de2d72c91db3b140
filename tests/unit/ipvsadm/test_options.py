"""Words become options as popt reads them."""

from __future__ import annotations

import pytest

from piranha.ipvsadm.options import OptionError, Scanner


def scan(text: str) -> tuple[list[tuple[str, str | None]], list[str]]:
    scanner = Scanner(text.split())
    found = []
    while (option := scanner.next()) is not None:
        found.append((option[0].name, option[1]))
    return found, scanner.arguments


@pytest.mark.parametrize(
    ("text", "found", "arguments"),
    [
        ("-L", [("list", None)], []),
        ("-Ln", [("list", None), ("numeric", None)], []),
        ("-At 10.0.0.1:80", [("add-service", None), ("tcp-service", "10.0.0.1:80")], []),
        ("-t10.0.0.1:80", [("tcp-service", "10.0.0.1:80")], []),
        ("-t=10.0.0.1:80", [("tcp-service", "10.0.0.1:80")], []),
        ("--tcp-service=10.0.0.1:80", [("tcp-service", "10.0.0.1:80")], []),
        ("--scheduler=", [("scheduler", "")], []),
        ("-mw 2", [("masquerading", None), ("weight", "2")], []),
        ("-t -L", [("tcp-service", "-L")], []),
        ("-p", [("persistent", None)], []),
        ("-p 60", [("persistent", "60")], []),
        ("-p60 -o", [("persistent", "60"), ("ops", None)], []),
        ("-p -o", [("persistent", None), ("ops", None)], []),
        ("-p -- 5", [("persistent", None)], ["5"]),
        ("-p -", [("persistent", None)], ["-"]),
        ("--persistent=90", [("persistent", "90")], []),
        ("a -n - b", [("numeric", None)], ["a", "-", "b"]),
        ("-n -- -L --x", [("numeric", None)], ["-L", "--x"]),
    ],
)
def test_words(text: str, found: list[tuple[str, str | None]], arguments: list[str]) -> None:
    assert scan(text) == (found, arguments)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("--lis", "--lis: unknown option"),
        ("-Lz", "-Lz: unknown option"),
        ("-n --bogus=5", "--bogus=5: unknown option"),
        ("-t", "-t: missing argument"),
        ("-nt", "-nt: missing argument"),
        ("--numeric=3", "--numeric=3: option does not take an argument"),
        ("-Ln=", "-Ln=: option does not take an argument"),
    ],
)
def test_what_popt_refuses(text: str, complaint: str) -> None:
    with pytest.raises(OptionError) as refused:
        scan(text)
    assert str(refused.value) == complaint
