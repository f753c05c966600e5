"""An instance: one writer's cubes, with an identity and the time that they cover. What programs make first.

    instance = Instance("edge-proxy")
    http = instance.cube_create("http", dimensions=("method", "path", "status"), shared={"host": "web1"})
    requests = http.register_counter("requests")
    requests.incrby(("GET", "/", 200))

Several instances of one schema are made by `fork`, brought to a changed one by `calibrate`, added up by `merge`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any

from istat.cube import calibrating, frames, merging
from istat.cube.cube import Cube
from istat.cube.frames import Meta
from istat.cube.limits import Limits
from istat.cube.schema import (
    MOST_CUBES,
    MOST_TAGS,
    CubeSchema,
    Draft,
    Identity,
    Schema,
    checked_dimensions,
    checked_name,
    checked_tags,
)
from istat.errors import CubeError, DuplicateName, SchemaMismatch
from istat.kernels import cubes

ID_BYTES = 16
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Instance:
    """Cubes of one writer: a thread, or whoever else never calls two methods at once (ConcurrentUse says when it does).

    `t0` and `t1` [ns since 1970] are the time that the data cover; without a `t1` it is still going on. `tick` is the
    time that gauges are stamped with, which the owner sets at edges of intervals. `delta`: the data are those of an
    interval, else all since t0. `sequence` counts resets. `tags` tell where it comes from.
    """

    def __init__(self, name: str, *, tags: Mapping[str, str] | None = None, delta: bool = False) -> None:
        self.name = checked_name(name, "instance")
        self.tags = dict(checked_tags(tags))
        self.delta = delta
        self.sequence = 0
        self.t0 = time.time_ns()
        self._t1: int | None = None
        self._guard = cubes.Guard()
        self._guard.tick = self.t0
        self._cubes: dict[Identity, Cube] = {}
        self._cores: list[cubes.Core] = []      # of these, in the same order
        self._draft = Draft()
        self._known = -1, Schema(0, ())         # after so many changes it was so
        self._closed = False
        self.identify(os.urandom(ID_BYTES))

    # Who, and when.

    def identify(self, id: bytes, boot_id: bytes | None = None) -> None:
        """Give it another identity, 16 bytes: for readers of frames, and for a process after a fork of its own."""
        if len(id) != ID_BYTES:
            raise ValueError(f"an instance's id has {ID_BYTES} bytes, not {len(id)}")
        self._id, self._boot_id = bytes(id), boot_id
        self._guard.origin = int.from_bytes(id[:8], "big")

    @property
    def id(self) -> bytes:
        """16 random bytes: no other instance has them."""
        return self._id

    @property
    def boot_id(self) -> bytes:
        """16 bytes of the machine's last start; zeros when it is not known."""
        if self._boot_id is None:
            self._boot_id = _boot_id()
        return self._boot_id

    @property
    def guard(self) -> cubes.Guard:
        """`with instance.guard:` keeps everybody else out; for what reads cubes' cores."""
        return self._guard

    @property
    def tick(self) -> int:
        return self._guard.tick

    @tick.setter
    def tick(self, value: int) -> None:
        self._guard.tick = value

    @property
    def t1(self) -> int:
        """The end of the time that the data cover: now, unless it was set."""
        return self._t1 if self._t1 is not None else max(time.time_ns(), self.t0)

    @t1.setter
    def t1(self, value: int | None) -> None:
        self._t1 = value

    # Cubes.

    def cube_create(self, name: str, dimensions: Sequence[str], shared: Mapping[str, str] | None = None) -> Cube:
        """A new cube, with dimensions in this order, and tags that all of its cells have. DuplicateName when there is
        one of the same name and tags; TypeError, ValueError for names that cannot be."""
        names = checked_dimensions(dimensions)
        schema = CubeSchema(checked_name(name, "cube"), checked_tags(shared, names), names)
        if schema.identity in self._cubes:
            raise DuplicateName(f"there is a cube {schema} already")
        self._check_open()
        with self._guard:
            return self._created(schema)

    def _created(self, schema: CubeSchema) -> Cube:
        if len(self._cubes) >= MOST_CUBES:
            raise CubeError(f"an instance has at most {MOST_CUBES} cubes")
        core = schema.core(self._guard)
        cube = self._cubes[schema.identity] = Cube(schema, core, self._draft, len(self._cubes))
        self._cores.append(core)
        self._draft.changes += 1
        return cube

    @property
    def cubes(self) -> tuple[Cube, ...]:
        """In the order in which they were made."""
        return tuple(self._cubes.values())

    def cube(self, name: str, shared: Mapping[str, str] | None = None) -> Cube:
        """A cube by its name, and by its tags where several have the name. CubeError when there is none, or several."""
        named = [cube for cube in self._cubes.values() if cube.name == name]
        found = [cube for cube in named if shared is None or cube.shared == dict(shared)]
        if len(found) == 1:
            return found[0]
        if found:
            raise CubeError(f"several cubes are called {name!r}: tell which by its shared tags")
        known = ", ".join(sorted({cube.name for cube in self._cubes.values()})) or "none"
        raise CubeError(f"there is no cube {name!r}{f' with the tags {dict(shared)}' if shared and named else ''}; "
                        f"there are: {known}")

    @property
    def schema(self) -> Schema:
        """What all cubes are made of; the same object until something changes."""
        changes = self._draft.changes       # first: another thread may ask for the schema while it changes
        if changes != self._known[0]:
            self._known = changes, Schema(self._known[1].epoch + 1, tuple(cube.schema for cube in self.cubes))
        return self._known[1]

    # As a whole.

    def fork(self) -> Instance:
        """A new, empty instance with the same schema: another identity, no data. It has nothing to do with
        `os.fork`."""
        self._check_open()
        made = Instance(self.name, tags=self.tags, delta=self.delta)
        made.tick = self.tick
        with made._guard:
            made._take_schema(self.schema)
        return made

    def calibrate(self, master: Instance) -> bool:
        """Bring it to another instance's schema; False when it had that already, which is told at once. Cubes and
        metrics of both keep their data, new ones begin empty, those that are gone are dropped."""
        self._check_open()
        schema = master.schema
        if schema is self.schema:
            return False
        with self._guard:
            self._take_schema(schema)
        return True

    def _take_schema(self, schema: Schema) -> None:
        """New cubes are built before any goes: where there is no memory for them, all that there are stay."""
        before, after = self._cubes, dict[Identity, Cube]()
        for id, wanted in enumerate(schema.cubes):
            cube = before.get(wanted.identity)
            if cube is None or cube.dimensions != wanted.dimensions:
                cube = Cube(wanted, wanted.core(self._guard), self._draft, id)
            after[wanted.identity] = cube
        for id, wanted in enumerate(schema.cubes):
            calibrating.calibrate(after[wanted.identity], wanted)
            after[wanted.identity].id = id
        self._cubes, self._cores = after, [cube.core for cube in after.values()]
        for identity, cube in before.items():
            if after.get(identity) is not cube:
                cube.drop()
        self._known = self._draft.changes, schema

    def reset(self, keep_cells: bool = False) -> None:
        """Begin anew, as of where the data end: no cells, no totals; the schema stays. `keep_cells` keeps the cells,
        with empty values; they are shown again from their next update on."""
        self._check_open()
        with self._guard:
            cubes.reset_all(self._cores, keep_cells)
            self.t0, self._t1 = self.t1, None
            self.sequence += 1

    def merge(self, source: Instance, allow_precision_loss: bool = False) -> None:
        """Add what another instance has; that one stays as it is. Cubes and metrics that are missing here are made.

        SchemaMismatch when cubes of the same name and tags cannot be added, with all reasons, before anything changes.
        HLLs of fewer registers than here are taken only with `allow_precision_loss`: this instance's get as few then.
        """
        checked_instance(source, "merge_bytes takes a frame's bytes")
        if source is self:
            raise ValueError("an instance cannot be merged into itself")
        self._check_open()
        source._check_open()
        with self._guard, source._guard:
            schema = source.schema
            alike = schema is self.schema
            if not alike:
                merging.check(self._cubes, schema.cubes, allow_precision_loss)
            self._merge_times(source)
            if alike:
                cubes.merge_alike(self._cores, source._cores)
                return
            for identity, theirs in source._cubes.items():
                mine = self._cubes.get(identity)
                merging.merge(mine if mine is not None else self._created(theirs.schema), theirs)

    def _merge_times(self, source: Instance) -> None:
        """The time that both cover, and of which kind the sum is."""
        empty = not cubes.any_updates(self._cores)
        if self.delta and not source.delta and not empty:
            raise SchemaMismatch("all since a start cannot be added to what was counted in intervals")
        self.delta = source.delta if empty else self.delta and source.delta
        if empty:
            self.t0, self._t1 = source.t0, source._t1
        else:
            self.t0 = min(self.t0, source.t0)
            self._t1 = None if self._t1 is None or source._t1 is None else max(self._t1, source._t1)
        self.tick = max(self.tick, source.tick)
        # Own ones first: those of many sources may be more than a frame can hold.
        self.tags = dict(islice((self.tags | source.tags | self.tags).items(), MOST_TAGS))

    def merge_bytes(self, frame: bytes, limits: Limits | None = None, allow_precision_loss: bool = False) -> None:
        """As `merge`, of a frame. FormatError, and nothing changes, when it is none. A frame that comes twice is added
        twice: `Collector` looks whether it came before."""
        self.merge(Instance.deserialize(frame, limits), allow_precision_loss)

    # As bytes.

    def serialize(self, compress: bool = False) -> bytes:
        """All of it as a frame: identity, schema, data. Without `compress`, equal data give equal bytes; the end of the
        time that they cover is now, unless it was set. ValueError when it was set to before t0."""
        self._check_open()
        with self._guard:
            times = self.tick, self.t0, self.t1
            meta = Meta(self.name, self._id, self.boot_id, self.sequence, *times, self.tags, self.delta)
            return frames.write(meta, [(cube.schema, cube.core) for cube in self._cubes.values()], compress)

    @classmethod
    def deserialize(cls, frame: bytes, limits: Limits | None = None) -> Instance:
        """The instance of a frame, with its identity. FormatError when it is none, or goes beyond the limits; TypeError
        when it is no bytes."""
        incoming = frames.Incoming(frame, limits if limits is not None else Limits())
        meta = incoming.meta
        made = cls(meta.name, tags=meta.tags, delta=meta.delta)
        made.identify(meta.instance_id, meta.boot_id)
        made.sequence, made.tick, made.t0, made.t1 = meta.sequence, meta.tick, meta.t0, meta.t1
        with made._guard:
            incoming.fill([made._created(schema).core for schema in incoming.schema])
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Instance.deserialize, (self.serialize(),)

    def memory(self) -> dict[str, dict[str, Any]]:
        """[bytes] held, by cube (its name and tags) and part."""
        with self._guard:
            return {str(cube.schema): cube.core.memory() for cube in self._cubes.values()}

    def close(self) -> None:
        """Let go of all cubes; no more updates after that."""
        with self._guard:
            for cube in self._cubes.values():
                cube.drop()
            self._cubes, self._cores, self._closed = {}, [], True

    def _check_open(self) -> None:
        if self._closed:
            raise CubeError(f"the instance {self.name!r} is closed")

    def __enter__(self) -> Instance:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<instance {self.name} {self._id.hex()[:8]}: {len(self._cubes)} cubes>"


def checked_instance(given: object, else_say: str = "of an Easy or Collector take its snapshot()") -> Instance:
    """What must be an instance. TypeError, which says what else to do, when it is none."""
    if not isinstance(given, Instance):
        raise TypeError(f"an Instance is wanted, not {type(given).__name__}: {else_say}")
    return given


def _boot_id() -> bytes:
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(ID_BYTES)
