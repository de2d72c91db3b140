"""Where the values of a configuration stand in its text, so that a problem of meaning can be shown at its line."""

from __future__ import annotations

from dataclasses import dataclass, field

from piranha.config.problem import Place


@dataclass(slots=True)
class BlockPlaces:
    """Places of one block: its opening line, each directive's value, and the inner blocks in the file's order."""

    header: Place
    values: dict[str, Place] = field(default_factory=dict)
    servers: list[BlockPlaces] = field(default_factory=list)
    checks: list[BlockPlaces] = field(default_factory=list)

    def of(self, name: str) -> Place:
        """The value of a directive, or the opening line where the directive was left out."""
        return self.values.get(name, self.header)


@dataclass(slots=True)
class Places:
    """Places of a whole file; the lists run in step with `Configuration.virtuals`, `.failovers` and `.marks`."""

    values: dict[str, Place] = field(default_factory=dict)
    virtuals: list[BlockPlaces] = field(default_factory=list)
    failovers: list[BlockPlaces] = field(default_factory=list)
    marks: list[BlockPlaces] = field(default_factory=list)

    def of(self, name: str) -> Place:
        """The value of a global directive, or the first line where it was left out."""
        return self.values.get(name, Place(1, 1, ""))
