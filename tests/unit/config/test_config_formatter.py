"""Formatting changes blanks and line ends; what the file says, and its words, stay."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.config.configuration_strategies import configurations, noisy

from piranha.config.formatter import format_text
from piranha.config.names import FixedNames
from piranha.config.parser import parse
from piranha.config.writer import write
from piranha.model.configuration import Configuration

NAMES = FixedNames()
RAGGED = """\ufeff

# the front\t
primary=10.0.0.1   # left one
interfaces = [eth0 eth1]


virtual farm{  # the farm
active   =\t1
   # who answers
   send = 'GET  /'
server "web 1" {
address = 10.0.0.11
} web 1
     # last
}   # farm
# end


"""
TIDY = """# the front
# left one
primary = 10.0.0.1
interfaces = [ eth0 eth1 ]

# the farm
virtual farm {
     active = 1
     # who answers
     send = 'GET  /'
     server "web 1" {
         address = 10.0.0.11
     } web 1
     # last
} # farm
# end
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_blanks_line_ends_and_comments(ending: str) -> None:
    assert format_text(RAGGED.replace("\n", ending)) == TIDY


def test_an_open_block_is_closed() -> None:
    assert format_text("virtual a {\nserver b {") == "virtual a {\n     server b {\n     }\n}\n"


def test_a_formatted_file_is_one_that_the_original_reads() -> None:
    text = format_text(RAGGED).replace("interfaces = [ eth0 eth1 ]\n", "")
    assert parse(RAGGED, strict=True, names=NAMES).errors
    assert parse(text, strict=True, names=NAMES).errors == ()


@given(configurations(), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_formatting_says_the_same_and_settles_at_once(configuration: Configuration, seed: int) -> None:
    text = noisy(write(configuration), random.Random(seed))
    formatted = format_text(text)
    assert parse(formatted, names=NAMES).configuration == configuration
    assert format_text(formatted) == formatted
    comments = Counter(re.findall(r"^[ \t]*(#[^\r\n]*?)[ \t]*\r?$", text, re.MULTILINE))
    behind_values = re.findall(r"^[ \t]*[^ \t\r\n#}].*  # why\r?$", text, re.MULTILINE)
    comments["# why"] += len(behind_values)
    assert Counter(line.strip(" ") for line in formatted.split("\n")) >= comments


@given(st.text(st.one_of(st.sampled_from("\r\n \t\"'#{}=[]ab"), st.characters()), max_size=80))
def test_any_text_settles_at_once(text: str) -> None:
    formatted = format_text(text)
    assert format_text(formatted) == formatted
    kept = Counter(formatted)
    for blank in " \t\r\n\ufeff":
        kept[blank] = len(text)
    assert kept >= Counter(text), "no letter is lost"


def test_the_gui_s_files_are_formatted_already() -> None:
    text = write(Configuration())
    assert format_text(text) == text
    assert format_text("") == ""
    assert format_text(" \n") == "\n"
