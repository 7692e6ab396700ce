"""A check as a row: what it is about, when it applies, why not where it does not, and how it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from harness.oracle.image import Image
from harness.oracle.state import Power
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial
from harness.verdict.finding import Finding
from harness.verdict.sight import Sight

RUNNING = frozenset({Power.RUNNING})
ON = frozenset({Power.RUNNING, Power.PAUSED})
OFF = frozenset({Power.OFF})
DEFINED = ON | OFF


@dataclass(frozen=True)
class Subject:
    """What a check looks at: the daemon; a VM; a disk of it; an image of that. `check` is the check's name.

    `sight` has the answers that several checks of a round read.
    """

    sight: Sight
    check: str
    of_vm: Vm | None = None
    of_disk: Disk | None = None
    of_image: Image | None = None

    @property
    def trial(self) -> Trial:
        """The trial that it is of."""
        return self.sight.trial

    @property
    def vm(self) -> Vm:
        """The VM; there is none in a check of the daemon."""
        assert self.of_vm is not None
        return self.of_vm

    @property
    def disk(self) -> Disk:
        """The disk, in checks per disk and per image."""
        assert self.of_disk is not None
        return self.of_disk

    @property
    def image(self) -> Image:
        """The image, in checks per image."""
        assert self.of_image is not None
        return self.of_image

    def __str__(self) -> str:
        if self.of_image is not None:
            return self.of_image.name
        if self.of_disk is not None:
            return f"{self.vm.name} {self.of_disk}"
        return self.of_vm.name if self.of_vm is not None else "libvirtd"

    def wrong(self, claim: str, seen: str, difference: str = "") -> Finding:
        """A claim about it that does not hold."""
        return Finding(self.check, str(self), claim, seen, difference)


def always(subject: Subject) -> str:  # noqa: ARG001 (the shape of Check.applies)
    """It applies, whatever it is about."""
    return ""


def plugged_in(subject: Subject) -> str:
    """It applies to disks that the VM has, and not to those that are not plugged in."""
    return f"{subject.disk} is not plugged in" if subject.disk.target in subject.vm.state.detached else ""


@dataclass(frozen=True)
class Check:
    """One of the invariants, which `invariant` numbers (O1 to O15 of the project's catalogue) and states.

    It is made of each `per`, when the VM is in one of the states `when`. `applies` says why not, where it cannot be
    made; "" where it can. `look` yields what it finds; what it raises is a finding, too. One that is made `once` is not
    made again of a VM that was on and has just been shut off.
    """

    name: str
    invariant: str
    per: Literal["daemon", "vm", "disk", "image"]
    when: frozenset[Power]
    look: Callable[[Subject], Iterator[Finding]]
    applies: Callable[[Subject], str] = always
    once: bool = False

    def subjects(self, sight: Sight, *, only: frozenset[Power]) -> Iterator[Subject]:
        """All that it is to look at, of VMs whose state is one of `only`."""
        if self.per == "daemon":
            yield Subject(sight, self.name)
            return
        for vm in sight.trial.vms:
            if vm.state.power not in self.when & only:
                continue
            if self.per == "vm":
                yield Subject(sight, self.name, vm)
                continue
            # nothing but the images is there of a disk that is not plugged in
            for disk in vm.disks if vm.state.is_on else vm.all_disks:
                if self.per == "disk":
                    yield Subject(sight, self.name, vm, disk)
                else:
                    yield from (Subject(sight, self.name, vm, disk, image) for image in disk.images())
