"""An act as a value: what is done and what it means; it prints as its line in a scenario, and as data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePosixPath

from harness.acts.calls import Call
from harness.oracle.driver import Driver
from harness.oracle.geometry import Geometry
from harness.oracle.image import Block, File, Fuse, Nbd, Qcow2, Raw
from harness.oracle.state import State

VM = "vm1"
"""The virtual machine that an act is about unless it says otherwise."""

Data = dict[str, object]
"""An act, or a value in one, as JSON has it."""

_ACTS: dict[str, type[Act]] = {}
_VALUES: dict[str, type] = {kind.__name__: kind for kind in (Geometry, Driver, Qcow2, Raw, File, Block, Nbd, Fuse)}


class Act(ABC):
    """One thing that is done. Its subclasses are frozen dataclasses; `repr` is the line that does it in a scenario."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _ACTS[cls.__name__] = cls

    @abstractmethod
    def call(self, state: State) -> Call:
        """What is done in this state, as data."""

    @abstractmethod
    def after(self, state: State) -> State:
        """What is true afterwards. Raises Impossible if it cannot be done: then libvirt must refuse it, too."""

    def learned(self, after: State, answer: object) -> State:  # noqa: ARG002
        """What is true afterwards, with what only the `answer` of the hand tells."""
        return after

    def refused(self, state: State) -> State:
        """What is true after libvirt has refused it: nothing has changed."""
        return state

    def __repr__(self) -> str:
        """The constructor call, without what is as by default."""
        given = [(field.name, getattr(self, field.name)) for field in fields(self) if not _is_default(self, field.name)]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given)})"

    def data(self) -> Data:
        """The act as JSON has it; `read` is the reverse."""
        given = {f.name: write_value(getattr(self, f.name)) for f in fields(self) if not _is_default(self, f.name)}  # type: ignore[arg-type]
        return {"act": type(self).__name__, **given}


def after_all(state: State, acts: Iterable[Act]) -> State:
    """What is true after acts in turn; raises Impossible."""
    for act in acts:
        state = act.after(state)
    return state


def read(data: Mapping[str, object]) -> Act:
    """The act that was written as `data`. Raises ValueError if there is none of that name or with those fields."""
    given = dict(data)
    name = str(given.pop("act", ""))
    if name not in _ACTS:
        raise ValueError(f"there is no act {name!r}; there are {', '.join(sorted(_ACTS))}")
    try:
        return _ACTS[name](**{field: read_value(value) for field, value in given.items()})
    except TypeError as error:
        raise ValueError(f"{name} cannot be made of {data}: {error}") from error


def _is_default(act: Act, name: str) -> bool:
    (field,) = (field for field in fields(act) if field.name == name)  # type: ignore[arg-type]
    return field.default is not MISSING and bool(getattr(act, name) == field.default)


def write_value(value: object) -> object:
    """A value in an act as JSON has it; `read_value` is the reverse."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__, **{f.name: write_value(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, tuple):
        return [write_value(each) for each in value]
    return str(value) if isinstance(value, PurePosixPath) else value


def read_value(data: object) -> object:
    """The value that was written as `data`."""
    if isinstance(data, list):
        return tuple(map(read_value, data))
    if isinstance(data, dict):
        given = dict(data)
        if "is" not in given:
            return {name: read_value(value) for name, value in given.items()}
        kind = _VALUES[str(given.pop("is"))]
        made = {name: read_value(value) for name, value in given.items()}
        paths = {name for name in ("path", "socket") if name in made}
        return kind(**{name: PurePosixPath(str(value)) if name in paths else value for name, value in made.items()})
    return data
