"""Storage that fails under a walk: what is broken, a job that is certain to meet that, its end, and the healing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.acts.act import VM, Act
from harness.acts.chain import ActiveCommit, AwaitFailed, Commit, Copy, Pull
from harness.acts.storage import BreakStorage, HealStorage
from harness.oracle.content import Content
from harness.oracle.image import File, Qcow2
from harness.oracle.parts import HOLE
from harness.oracle.state import Power, State

_DISK = "vda"
_METADATA = 4
"""Clusters at the beginning of a qcow2 image: what QEMU reads as it opens one is no fault yet."""


def breaking(state: State) -> Iterator[BreakStorage]:
    """What can be broken now so that a job is certain to meet it, and nothing else does."""
    machine = state.vm(VM)
    content = machine.disks.get(_DISK)
    at_rest = machine.power is Power.RUNNING and state.daemon is not None and machine.backup is None
    busy = any(each.job is not None or each.in_flight for each in machine.disks.values())
    if content is None or not at_rest or busy or machine.driver.io == "native":  # that goes by no call of the C library
        return
    for name in content.chain()[:-1]:
        form = content.layer(name).format
        if not isinstance(form, Qcow2) or form.data_file or not isinstance(state.store(name), File):
            continue
        first = _METADATA * form.cluster_size
        if _holds(content, name, above=content.chain()):
            yield BreakStorage(name, "read", first=first)
        if name == content.chain()[0] and any(_holds(content, each) for each in content.chain()[1:]):
            yield BreakStorage(name, "write", "ENOSPC", first=first)


def next_of_ill(state: State, fresh: str) -> Iterator[Act]:
    """What comes next while storage is broken: a job that meets it, what becomes of it, and then that all is well."""
    content = state.content(VM, _DISK)
    if state.met:
        yield HealStorage()
        return
    if content.job is not None:
        yield AwaitFailed(_DISK)
        return
    ((name, operation),) = state.broken
    chain = content.chain()
    if operation == "write":
        yield ActiveCommit(_DISK, name)
        if len(chain) > 2 and _holds(content, chain[1]):
            yield Commit(_DISK, chain[1], name)
        return
    yield Pull(_DISK)
    if fresh not in content.files():
        yield Copy(_DISK, fresh)
    place = chain.index(name)
    if place > 0:
        yield ActiveCommit(_DISK, chain[0])
        yield Commit(_DISK, name, chain[place - 1])


def is_met(state: State, act: Act) -> bool:
    """Whether an act leaves it certain that what is broken is met: a walk does no other, nor does a shorter one."""
    if isinstance(act, BreakStorage):
        return not state.broken and act in tuple(breaking(state))
    return not state.broken or act in tuple(next_of_ill(state, str(getattr(act, "dest", ""))))


def _holds(content: Content, name: str, above: tuple[str, ...] = ()) -> bool:
    """Whether an image certainly holds data; in a chain, such as no image `above` it hides."""
    higher = above[above.index(name) + 1 :] if above else ()
    owns = [content.contains(each) for each in higher]
    return any(
        isinstance(part, str) and all(own[number] is HOLE for own in owns)
        for number, part in enumerate(content.contains(name))
    )
