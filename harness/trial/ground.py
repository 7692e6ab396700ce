"""What trials stand on, put together once for pytest and for the bench: a machine's ground, and a stack's platform."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Self

import libvirt

from harness.crash.recording import RECORDER
from harness.errors import ChainproofError, Unusable
from harness.settings import Settings
from harness.stack import storage_faults
from harness.stack.acceleration import Acceleration, choose
from harness.stack.daemon import GUEST, Daemon, Setup
from harness.stack.kinds import Kinds
from harness.stack.run_directory import RunDirectory
from harness.stack.stack import Stack
from harness.stack.view import Preload
from harness.trial.trial import Trial
from harness.vm.domain_xml import Machine
from harness.vm.images import GuestFiles
from harness.vm.warm import WarmGuests
from harness.waiting import scale_deadlines
from images.build import GENERIC, guest_files
from images.preload import preload

_THREAD_TIME = storage_faults.SOURCE.with_name("thread_time.c")


@dataclass(frozen=True)
class Ground:
    """This machine as a run uses it: its settings, the built guest, and what guests run on."""

    settings: Settings
    guest: GuestFiles
    acceleration: Acceleration

    @classmethod
    def prepared(cls, settings: Settings) -> Ground:
        """Build the guest, and find out whether KVM works; deadlines are stretched as that needs.

        By the host's own QEMU: whether KVM works is about the machine, and a stack that breaks it should show. Raises
        Unusable.
        """
        cache, work = settings.cache, settings.work
        try:
            guest = guest_files(cache.images)
            chosen = choose(settings.accel, Stack.host(), guest.directory, cache.verdicts, work)
        except OSError as error:
            raise Unusable(
                f"the cache {cache.root} cannot be used: {error}", "make room, or set CHAINPROOF_CACHE"
            ) from error
        scale_deadlines(chosen.deadline_factor * settings.deadline_factor)
        return cls(settings, guest, chosen)

    @property
    def kinds(self) -> Kinds:
        """What makes stacks of names."""
        return Kinds(self.settings.cache.trees, self.settings.work)

    def __str__(self) -> str:
        return f"{self.acceleration} ({self.acceleration.reason}), {self.settings.mode} mode"


@dataclass(frozen=True)
class Platform:
    """A stack on this ground: what daemons and trials of it are made with."""

    ground: Ground
    stack: Stack

    @cached_property
    def warm(self) -> WarmGuests:
        """Its saved guests."""
        ground = self.ground
        directory, mode = ground.settings.cache.warm, ground.settings.mode
        return WarmGuests.of(directory, self.stack, ground.guest, ground.acceleration, mode)

    @property
    def with_generic_guest(self) -> Self:
        """The same, whose guests know disks on every bus."""
        guest = guest_files(self.ground.settings.cache.images, GENERIC)
        return replace(self, ground=replace(self.ground, guest=guest))

    @property
    def setup(self) -> Setup:
        """How its daemons are set up."""
        ground = self.ground
        return Setup(ground.settings.mode, ground.acceleration.kvm, ground.guest.directory, self.warm.directory)

    @property
    def machine(self) -> Machine:
        """What its domains are made of."""
        return Machine(self.stack.qemu, self.ground.acceleration.domain_type, GUEST)

    def daemon(self, *, stock: bool = False, recorded: bool = False, preloads: tuple[Preload, ...] = ()) -> Daemon:
        """A daemon; enter it to start it. `stock`: with libvirt's own configuration.

        `recorded`: with the recorder, as all are where the settings say so. `preloads` are loaded into it before that.
        """
        settings = self.ground.settings
        setup = replace(self.setup, stock=stock, preloads=preloads, monitored=settings.monitored)
        if recorded or settings.power_loss:
            setup = replace(setup, recorder=preload(RECORDER, settings.cache.preloads))
        return Daemon(self.stack, RunDirectory(settings.work), setup)

    @property
    def faults(self) -> tuple[Preload, ...]:
        """What has the storage of a daemon's QEMUs misbehave, when it is told to."""
        return (Preload(preload(storage_faults.SOURCE, self.ground.settings.cache.preloads)),)

    @property
    def thread_time(self) -> tuple[Preload, ...]:
        """What has QEMU make encrypted images without fail."""
        return (Preload(preload(_THREAD_TIME, self.ground.settings.cache.preloads), everywhere=True),)

    def trial(self, daemon: Daemon, name: str, *, warm: bool = True, machine: Machine | None = None) -> Trial:
        """A trial on a daemon; enter it to begin. Without `warm`, its guests are booted."""
        appliances = self.ground.settings.cache.appliances
        return Trial(daemon, machine or self.machine, name, appliances, self.warm if warm else None)


MARKS = ("recorded", "ill_storage", "encrypted", "buses")
"""What scenarios are marked with that want a daemon of a Kind, in the order of its fields."""


@dataclass(frozen=True)
class Kind:
    """What a daemon is made for.

    It is `recorded`; the storage of its QEMUs may be `ill`; images may be made that are `encrypted`; its guests may
    have disks on all `buses`.
    """

    recorded: bool = False
    ill: bool = False
    encrypted: bool = False
    buses: bool = False


_ANY = Kind()


class Daemons:
    """The daemon of a platform that scenarios use in turn: the same one as long as nothing is wrong with it.

    Another one takes its place when one of another kind is wanted.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._running: Daemon | None = None
        self._kind = Kind()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ill = self._running is not None and self._running.ailment()
        with suppress(ChainproofError) if ill else nullcontext():  # what is ill was told by the scenario that had it
            self._close()

    def sound(self, kind: Kind = _ANY) -> Daemon:
        """One that lives, answers, and has no domain. Raises Unusable or CheckFailed if none can be started."""
        if self._platform.ground.settings.power_loss:
            kind = replace(kind, recorded=True)
        if self._running is not None and not _is_sound(self._running):
            with suppress(ChainproofError, libvirt.libvirtError):  # it is dead, or what it has does not go away
                self._close()
        if self._running is not None and self._kind != kind:
            self._close()
        if self._running is None:
            platform = self._platform.with_generic_guest if kind.buses else self._platform
            preloads = platform.faults if kind.ill else ()
            preloads += platform.thread_time if kind.encrypted else ()
            self._running = platform.daemon(recorded=kind.recorded, preloads=preloads).__enter__()
            self._kind = kind
        return self._running

    @property
    def running(self) -> Daemon | None:
        """The one that is in use, sound or not."""
        return self._running

    def renew(self) -> None:
        """Have the next one be another: something may be left of what the last one has lost."""
        with suppress(ChainproofError, libvirt.libvirtError):
            self._close()

    def _close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)


def _is_sound(daemon: Daemon) -> bool:
    try:
        return not daemon.ailment() and not daemon.call("the domains", lambda connection: connection.listAllDomains())
    except (ChainproofError, libvirt.libvirtError, ValueError):
        return False
