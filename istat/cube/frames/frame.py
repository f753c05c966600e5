"""A whole frame: META, SCHEMA, and what each cube holds. Knows cores and schemas, not instances.

A reader is told which cubes there are before it makes their cores, and fills these; where anything is wrong, the cores
are thrown away by who made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from istat.cube.frames import container
from istat.cube.frames.container import Bytes, Section
from istat.cube.frames.meta import Meta, get_meta, put_meta
from istat.cube.frames.schema import get_schema, put_schema
from istat.cube.limits import Limits
from istat.cube.schema import CubeSchema
from istat.errors import FormatError
from istat.kernels import cubes
from istat.kernels.python.reading import Reader

META, SCHEMA, CELLS, TOPK, SPREAD, TOTALS = range(1, 7)
KNOWN = frozenset((META, SCHEMA, CELLS, TOPK, SPREAD, TOTALS))
SKETCHES = {cubes.TOPK: TOPK, cubes.TOP_CARDINALITY: SPREAD}


def write(meta: Meta, parts: Iterable[tuple[CubeSchema, cubes.Core]], compress: bool = False) -> bytes:
    """The frame of these cubes; whoever calls holds their guard."""
    parts = list(parts)
    schemas = [(schema, cubes.wire.sketch_options(core)) for schema, core in parts]
    sections = [Section(META, 0, put_meta(meta)), Section(SCHEMA, 0, put_schema(schemas))]
    for number, (_, core) in enumerate(parts):
        sections.append(Section(CELLS, number, cubes.wire.put_cells(core)))
        if core.mode in SKETCHES:
            sections.append(Section(SKETCHES[core.mode], number, cubes.wire.put_sketch(core)))
        sections.append(Section(TOTALS, number, cubes.wire.put_totals(core)))
    return container.write(sections, meta.delta, compress)


class Incoming:
    """A frame that is being read: `meta` and `schema` are known, `fill` takes the rest. FormatError, also by `fill`.

    All sections are there, in order, before anybody makes a core: few bytes cannot promise a large sketch.
    """

    def __init__(self, frame: Bytes, limits: Limits) -> None:
        head, sections = container.read(frame, KNOWN, limits)
        reader = _reader(sections, META, limits.max_memory)
        self.meta: Meta = get_meta(reader, head.delta)
        reader = _reader(sections, SCHEMA, reader.budget)
        self.schema: tuple[CubeSchema, ...] = get_schema(reader)
        self._budget = reader.budget
        self._sections = [_next(sections, *wanted) for wanted in _expected(self.schema)]
        for section in sections:
            raise FormatError(section.offset, "a section behind the last one that there can be")

    def fill(self, cores: Sequence[cubes.Core]) -> None:
        """Read what the cubes hold into empty cores of their schemas."""
        for section in self._sections:
            self._budget = _read_into(cores[section.cube], section, self._budget)


def _reader(sections: Iterator[Section], type: int, budget: int) -> Reader:
    """Of a section that is of no cube."""
    section = _next(sections, type, 0)
    return Reader(section.payload, section.offset, budget)


def _next(sections: Iterator[Section], type: int, cube: int) -> Section:
    """The next section, which is of that type and cube."""
    section = next(sections, None)
    wanted = f"section {type} of cube {cube}"
    if section is None:
        raise FormatError(container.HEADER.size, f"{wanted} is missing")
    if (section.type, section.cube) != (type, cube):
        raise FormatError(section.offset, f"section {section.type} of cube {section.cube} where {wanted} should be")
    return section


def _expected(schema: Iterable[CubeSchema]) -> Iterator[tuple[int, int]]:
    """Type and cube of each section behind SCHEMA."""
    for number, cube in enumerate(schema):
        yield CELLS, number
        if cube.sampling.mode in SKETCHES:
            yield SKETCHES[cube.sampling.mode], number
        yield TOTALS, number


def _read_into(core: cubes.Core, section: Section, budget: int) -> int:
    """Read a section into its core; what is left of the memory that may be planned."""
    if section.type == CELLS:
        return cubes.wire.get_cells(core, section.payload, section.offset, budget)
    if section.type == TOTALS:
        return cubes.wire.get_totals(core, section.payload, section.offset, budget)
    return cubes.wire.get_sketch(core, section.payload, section.offset, budget)
