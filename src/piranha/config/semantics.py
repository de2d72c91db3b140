"""Warnings about the meaning of a valid file: what is accepted, and probably not what was meant. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from piranha.config.names import Names
from piranha.config.parser import Parsed, parse
from piranha.config.places import Places
from piranha.config.problem import Findings, Problem
from piranha.config.rules import check as check_rules
from piranha.config.rules import check_block, kind, mark, pool, redundancy, virtual
from piranha.config.rules import file as file_rules
from piranha.config.rules.advice import Advice, PlacedVirtual
from piranha.model.configuration import Configuration

Rule = Callable[[PlacedVirtual], Iterator[Advice]]


def warnings(configuration: Configuration, places: Places, *, file: str = "lvs.cf") -> tuple[Problem, ...]:
    """Every rule's advice as warnings, in the order of the text."""
    findings = Findings(file=file)
    for advice in _advice(configuration, places):
        findings.advise(advice.place, advice.message, advice.suggestion)
    return findings.sorted()


def check(parsed: Parsed) -> tuple[Problem, ...]:
    """The warnings about a parsed text; lines with an error get none, for they would only follow from it."""
    broken = {problem.line for problem in parsed.errors}
    found = warnings(parsed.configuration, parsed.places, file=parsed.file)
    return tuple(problem for problem in found if problem.line not in broken)


def check_text(text: str, *, file: str = "lvs.cf", strict: bool = False, names: Names | None = None) -> Parsed:
    """Parse a text and add the warnings about its meaning to its problems."""
    parsed = parse(text, file=file, strict=strict, names=names)
    problems = sorted((*parsed.problems, *check(parsed)), key=lambda problem: (problem.line, problem.column))
    return replace(parsed, problems=tuple(problems))


def _advice(configuration: Configuration, places: Places) -> list[Advice]:
    found: list[Advice] = []
    judge: Rule
    for rule in (*redundancy.RULES, *file_rules.RULES, *mark.RULES):
        found.extend(rule(configuration, places))
    for value, where in zip(configuration.virtuals, places.virtuals, strict=True):
        placed = PlacedVirtual(value, where, configuration)
        for judge in virtual.ALWAYS:
            found.extend(judge(placed))
        if value.active:
            for judge in (*virtual.WHEN_ACTIVE, *kind.RULES, *check_block.RULES, *_check_rules(placed), *pool.RULES):
                found.extend(judge(placed))
    return found


def _check_rules(placed: PlacedVirtual) -> Sequence[Rule]:
    """Rules on `send` and `expect` say nothing where `check` blocks took their place."""
    return (check_rules.times,) if placed.value.checks else check_rules.RULES
