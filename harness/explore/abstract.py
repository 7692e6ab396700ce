"""States and acts without what is accidental: names, labels, counts; what is left tells one transition from another."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from harness.acts.act import Act
from harness.oracle.content import Content
from harness.oracle.parts import Blank, Part, Perhaps
from harness.oracle.state import State, VmState

Abstract = Hashable
"""A state, or an act in one, to compare."""
Transition = tuple[Abstract, Abstract]
"""A state, and an act that is done in it."""
_FLAGS = (
    "shallow",
    "reuse",
    "delete",
    "plain",
    "synchronous",
    "by_rebase",
    "relative",
    "as_data",
    "name",
    "bandwidth",
    "dests",
    "since",
    "checkpoint",
    "children",
    "children_only",
    "metadata_only",
    "also",
    "quiesce",
    "halt",
    "live",
    "running",
    "paused",
    "unrecorded",
    "manual",
)

_MADE = ("overlay", "dest", "dests")
"""What an act makes."""


def abstract(state: State) -> Abstract:
    """What is allocated where, the shape of the chains, how far jobs have come, what is not flushed, who is alive."""
    fails = tuple(operation for _, operation in state.broken), state.met
    return state.daemon is None, *fails, tuple((name, _of_vm(vm)) for name, vm in sorted(state.vms.items()))


def transition(state: State, act: Act) -> Transition:
    """The act in this state: images by where they stand in the chain, and no label."""
    roles = {
        name: role
        for vm in state.vms.values()
        for target, content in vm.known.items()
        for name, role in _roles(target, content).items()
    }
    return abstract(state), _without_names(act.data(), roles)


def kind_of(act: Act) -> str:
    """An act by what it does, not to what: for counts of acts and of pairs of acts that follow one another."""
    words = [type(act).__name__]
    for flag in _FLAGS:
        if getattr(act, flag, None):
            words.append(flag)
    if getattr(act, "flush", True) is False and type(act).__name__ != "BeginWrite":
        words.append("unflushed")
    return " ".join(words)


def _of_vm(vm: VmState) -> Abstract:
    disks = tuple((target, _of_disk(target, content)) for target, content in sorted(vm.known.items()))
    return (
        vm.power.value,
        vm.persistent,
        bool(vm.saved),
        tuple(vm.detached),
        *map(tuple, (vm.throttled, vm.throttled_next)),
        vm.backup
        and (vm.backup.push, tuple(vm.backup.disks), *(each.since is None for each in vm.backup.disks.values())),
        len(vm.snapshots),
        len(vm.checkpoints),
        disks,
    )


def _of_disk(target: str, content: Content) -> Abstract:
    roles = _roles(target, content)
    job = content.job
    layers = tuple(
        (
            role,
            layer.format,
            roles.get(layer.backing or "", layer.backing),
            layer.size,
            layer.relative,
            "".join(map(_kind, layer.own)),
            tuple((held.memory, "".join(map(_kind, held.own))) for held in layer.inside.values()),
        )
        for name, role in roles.items()
        for layer in [content.layer(name)]
    )
    doing = job and (
        job.kind,
        job.phase.value,
        roles[job.target],
        roles.get(job.top or ""),
        roles.get(job.base or ""),
        job.deletes,
    )
    bitmaps = tuple((roles.get(image), len(found)) for image, found in content.bitmaps.items())
    waiting = tuple(sorted(content.unflushed)), bool(content.in_flight), bool(content.acknowledged)
    return layers, doing, *waiting, bitmaps


def _roles(target: str, content: Content) -> dict[str, str]:
    chain = content.chain()
    others = [name for name in content.files() if name not in chain]
    roles = {name: f"{target}[{number}]" for number, name in enumerate(chain)}
    return roles | {name: f"{target} beside {number}" for number, name in enumerate(others)}


def _kind(part: Part) -> str:
    if isinstance(part, Perhaps):
        return "%"
    return part.value if isinstance(part, Blank) else "D"


def _without_names(data: object, roles: Mapping[str, str]) -> Abstract:
    if isinstance(data, Mapping):
        kept = sorted((str(name), value) for name, value in data.items() if name != "label")
        return tuple(
            (
                name,
                "new" if name in _MADE and str(value) not in roles else _without_names(value, roles),
            )
            for name, value in kept
        )
    if isinstance(data, list | tuple):
        return tuple(_without_names(value, roles) for value in data)
    return roles.get(data, data) if isinstance(data, str) else str(data)
