"""What the checks of one round look at: each answer is asked for once, however many checks read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from harness.readers.qemu_img import ImageInfo
from harness.stack.events import Event
from harness.trial.nouns import Disk, Vm
from harness.trial.trial import Trial

Json = Mapping[str, object]


class Sight:
    """What can be seen of `trial` while its checks are made, which change nothing that they look at.

    `kept` is what libvirt had on disk of each running VM before the first of them: a command to QEMU's monitor has it
    written anew. Its methods raise what they meet: libvirtError, WaitTimeout, CommandFailed, ImageError.
    """

    def __init__(self, trial: Trial, kept: Mapping[str, str] | None = None) -> None:
        self.trial = trial
        self.kept = kept or {}
        self._answers: dict[tuple[str, str], object] = {}
        self._infos: dict[str, tuple[ImageInfo, ...]] = {}

    def qmp(self, vm: Vm, command: str, **arguments: str) -> Sequence[Json]:
        """The list of objects that QEMU answers to a QMP command."""
        key = vm.name, " ".join((command, *arguments.values()))
        if key not in self._answers:
            self._answers[key] = json.loads(vm.domain.monitor(command, **arguments))["return"]
        answer = self._answers[key]
        assert isinstance(answer, list)
        return answer

    def events(self, vm: Vm) -> list[Event]:
        """What libvirt has told of the VM since the trial began."""
        seen = self.trial.daemon.events.events[self.trial.first_event :]
        return [event for event in seen if event.domain == vm.name]

    def infos(self, disk: Disk) -> tuple[ImageInfo, ...]:
        """What qemu-img says of the images of the disk's chain: the active one first."""
        key = f"{disk.vm.name} {disk}"
        if key not in self._infos:
            self._infos[key] = self.trial.qemu_img.info_chain(disk.image(disk.expected_chain().active))
        return self._infos[key]
