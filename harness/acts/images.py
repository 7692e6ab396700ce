"""What the host does to images while no VM uses them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness.acts.act import VM, Act
from harness.acts.calls import Host
from harness.oracle.content import Content, Impossible
from harness.oracle.geometry import Geometry, Range
from harness.oracle.image import QCOW2, Block, Format, Image, Nbd, Raw, Store
from harness.oracle.state import DEVICES, DIRECTORY, SERVER, Power, State
from harness.storage import tool
from harness.storage.images import file_image
from harness.storage.stores import file_name, path_of


def served(name: str) -> Nbd:
    """The store of an image that the trial's NBD server serves."""
    return Nbd(SERVER, name)


@dataclass(frozen=True, repr=False)
class MakeDevice(Act):
    """Have a block device of `size` bytes, which an image called `name` lies on from then on, whoever makes it.

    One that is `stale` has bytes of whoever used it before.
    """

    name: str
    size: int = 16 << 20
    stale: bool = False

    def call(self, state: State) -> Host:  # noqa: ARG002
        """A loop device."""
        return Host(device=str(DEVICES / self.name), size=self.size, label="stale" if self.stale else "")

    def after(self, state: State) -> State:
        """It is there."""
        state.require_free(self.name)
        if self.name in state.devices:
            raise Impossible(f"there is a block device {self.name}")
        return replace(state, devices={**state.devices, self.name: self.size}, files=state.files | {DEVICES})

    def __str__(self) -> str:
        return f"makes a block device of {self.size} bytes for {self.name}"


@dataclass(frozen=True, repr=False)
class DefineSecret(Act):
    """Have libvirt know the secret of this name, which images may be encrypted with from then on."""

    name: str

    def call(self, state: State) -> Host:  # noqa: ARG002
        """virSecretDefineXML, virSecretSetValue."""
        return Host(secret=self.name)

    def after(self, state: State) -> State:
        """libvirt has it."""
        state.served()
        return replace(state, secrets=state.secrets | {self.name})

    def __str__(self) -> str:
        return f"has libvirt know the secret {self.name}"


@dataclass(frozen=True, repr=False)
class CreateImage(Act):
    """Make an empty image: the first one of a disk, which then has the `geometry`, or one more beside the others.

    With `relative` it names its backing file by its place beside it. The first one of a disk of a VM that is defined
    waits for the disk to be attached. With an NBD `store`, a server serves it from then on.
    """

    name: str
    disk: str = "vda"
    geometry: Geometry = Geometry()  # noqa: RUF009 (a frozen value)
    format: Format = QCOW2
    store: Store | None = None
    backing: str | None = None
    relative: bool = False
    vm: str = VM

    def call(self, state: State) -> Host:
        """qemu-img create."""
        size = self.after(state).content(self.vm, self.disk).layer(self.name).size
        backing = None if self.backing is None else state.image(self.vm, self.disk, self.backing)
        image = self.after(state).image(self.vm, self.disk, self.name)
        command = tool.create(image, size, backing, relative=self.relative)
        wiped = str(path_of(image.store)) if self.name in state.devices else ""
        serves = str(path_of(image.store)) if isinstance(image.store, Nbd) else ""
        zeros = tool.fill(image, size) if isinstance(image.format, Raw) and image.format.secret else ()
        return Host(command, then=zeros, serves=serves, device=wiped)

    def after(self, state: State) -> State:
        """The disk has one more image, which is in its chain if it is the first."""
        state.require_free(self.name)
        machine = state.vm(self.vm)
        if self.disk in machine.known:
            content = machine.known[self.disk].add(self.name, self.format, self.backing, relative=self.relative)
        else:
            content = Content.new(self.name, self.geometry, self.format)
            if machine.power is not Power.UNDEFINED:
                state = state.with_vm(self.vm, replace(machine, detached={**machine.detached, self.disk: content}))
        on_device = state.store(self.name) if self.name in state.devices else None
        state.fits(self.name, self.format, content.layer(self.name).size)
        if on_device and self.relative:
            raise Impossible(f"no backing file lies beside the block device {self.name}")
        store = self.store or on_device or file_image(DIRECTORY, self.name, self.format).store
        if isinstance(store, Nbd):
            if store != served(self.name) or self.format != Raw():
                raise ValueError(f"{self.name} cannot be served as {store}: raw images are, as {served(self.name)}")
            state = replace(state, files=state.files | {store.socket, store.socket.with_suffix("")})
        if store != state.store(self.name):
            state = replace(state, stores={**state.stores, self.name: store})
        return state.with_disk(self.vm, self.disk, content)

    def __str__(self) -> str:
        return f"makes the image {self.name} ({self.format.name}) for {self.disk}"


@dataclass(frozen=True, repr=False)
class ConvertImage(Act):
    """Make the first image of a disk a full copy of the raw file `source`, which holds the guest's own files."""

    name: str
    source: str
    geometry: Geometry
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """qemu-img convert."""
        return Host(tool.convert(self.source, Image(self.name, store=state.store(self.name))))

    def after(self, state: State) -> State:
        """The disk is opaque: the oracle knows its chain, not its bytes."""
        if self.disk in state.vm(self.vm).disks:
            raise Impossible(f"{self.vm} has a disk {self.disk}")
        made = state.with_disk(self.vm, self.disk, Content.new(self.name, self.geometry))
        machine = made.vm(self.vm)
        return made.with_vm(self.vm, replace(machine, opaque=machine.opaque | {self.disk}))

    def __str__(self) -> str:
        return f"makes the image {self.name} a copy of {self.source}"


@dataclass(frozen=True, repr=False)
class AdoptImage(Act):
    """Take an image that exists as the first one of a disk, where it lies: its bytes are its owner's.

    Of the disk only the chain is known, and what every check can say without knowing its bytes. Its size is that of the
    `geometry`.
    """

    name: str
    store: Store
    geometry: Geometry
    format: Format = QCOW2
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:  # noqa: ARG002
        """qemu-img info: it is there, and of that format."""
        return Host(tool.info(Image(self.name, self.format, self.store)))

    def after(self, state: State) -> State:
        """The disk is opaque."""
        if self.disk in state.vm(self.vm).disks:
            raise Impossible(f"{self.vm} has a disk {self.disk}")
        content = Content.new(self.name, self.geometry, self.format)
        made = replace(state, stores={**state.stores, self.name: self.store})
        machine = replace(state.vm(self.vm), disks={**state.vm(self.vm).disks, self.disk: content})
        return made.with_vm(self.vm, replace(machine, opaque=machine.opaque | {self.disk}))

    def __str__(self) -> str:
        return f"takes the image {self.name} as it is"


@dataclass(frozen=True, repr=False)
class WriteImage(Act):
    """Write the pattern of `label` into one image of a VM that is off, as if it were the guest's disk."""

    name: str
    label: str
    cells: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """libguestfs writes it."""
        geometry = state.content(self.vm, self.disk).geometry
        stretches = tuple(geometry.stretches(self.cells, self.ranges))
        place = file_name(state.store(self.name))
        return Host(("guestfs", "pwrite-device"), place, self.label, stretches, geometry.cell_size)

    def after(self, state: State) -> State:
        """The image holds it."""
        state.at_rest(self.vm, self.disk)
        content = state.content(self.vm, self.disk).write_image(self.name, self.label, self.cells, self.ranges)
        return state.with_disk(self.vm, self.disk, content)

    def __str__(self) -> str:
        return f"writes {self.label} into cells {self.cells} of {self.name}, offline"


@dataclass(frozen=True, repr=False)
class Rebase(Act):
    """Write another backing file into the header of an image; no data moves."""

    name: str
    backing: str
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """qemu-img rebase -u."""
        own, below = (state.image(self.vm, self.disk, name) for name in (self.name, self.backing))
        return Host(tool.rebase(own, below))

    def after(self, state: State) -> State:
        """It is backed by that file; above the active one, it is active itself."""
        content = state.content(self.vm, self.disk)
        if self.name in content.chain() or self.backing == content.active:
            state.at_rest(self.vm, self.disk)
        return state.with_disk(self.vm, self.disk, content.rebase(self.name, self.backing))

    def __str__(self) -> str:
        return f"puts {self.name} on {self.backing}"


@dataclass(frozen=True, repr=False)
class CompressImage(Act):
    """Compress all that an image without a backing file holds, while no VM uses it."""

    name: str
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """qemu-img convert -c, twice: into a hidden copy, and back into the file of the image."""
        image = state.image(self.vm, self.disk, self.name)
        place = file_name(image.store)
        made = str(PurePosixPath(place).with_name(f".{self.name}.compressed"))
        return Host(tool.compress(image, place, made), made=made, then=tool.compress(image, made, place))

    def after(self, state: State) -> State:
        """It shows what it did, in compressed clusters."""
        state.at_rest(self.vm, self.disk)
        return state.with_disk(self.vm, self.disk, state.content(self.vm, self.disk).compress(self.name))

    def __str__(self) -> str:
        return f"compresses what {self.name} holds"


@dataclass(frozen=True, repr=False)
class CopyImage(Act):
    """Copy the file of a raw image that nobody writes to."""

    name: str
    dest: str
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """cp."""
        store = self.after(state).store(self.dest)
        return Host(("busybox", "cp", file_name(state.store(self.name)), file_name(store)))

    def after(self, state: State) -> State:
        """The copy holds the same, and is not in the chain."""
        content = state.content(self.vm, self.disk)
        stands_still = state.vm(self.vm).power is Power.PAUSED and not content.unflushed and content.job is None
        if content.active == self.name and not stands_still:
            state.at_rest(self.vm, self.disk)
        state.require_free(self.dest)
        state.fits(self.dest, Raw(), content.size)
        store = file_image(DIRECTORY, self.dest, Raw()).store
        state = replace(state, stores={**state.stores, self.dest: store})
        return state.with_disk(self.vm, self.disk, content.copied(self.name, self.dest))

    def __str__(self) -> str:
        return f"copies {self.name} to {self.dest}"


@dataclass(frozen=True, repr=False)
class AddBitmap(Act):
    """Make a bitmap in an image that no VM uses: it records what is written from then on."""

    name: str
    bitmap: str
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """qemu-img bitmap --add."""
        return Host(tool.add_bitmap(state.image(self.vm, self.disk, self.name), self.bitmap))

    def after(self, state: State) -> State:
        """The image has an empty bitmap more."""
        content = state.content(self.vm, self.disk)
        if self.name in content.chain():
            state.at_rest(self.vm, self.disk)
        return state.with_disk(self.vm, self.disk, content.mark(self.bitmap, self.name))

    def __str__(self) -> str:
        return f"makes a bitmap {self.bitmap} in {self.name}"


@dataclass(frozen=True, repr=False)
class RemoveImage(Act):
    """Delete an image that no chain needs any more: its file, or what is on its block device."""

    name: str
    disk: str = "vda"
    vm: str = VM

    def call(self, state: State) -> Host:
        """Remove the file, which nobody serves any more."""
        store, form = state.store(self.name), state.content(self.vm, self.disk).layer(self.name).format
        if isinstance(store, Block):
            return Host(device=str(store.path))
        data = (form.data_file,) if form.data_file else ()
        return Host(("rm", str(path_of(store)), *data), lets_go=self.name if isinstance(store, Nbd) else "")

    def after(self, state: State) -> State:
        """It is gone; what was above it cannot be read any more."""
        if self.name in state.vm(self.vm).backed_up_to:
            raise Impossible(f"a backup goes to {self.name}")
        gone = state.with_disk(self.vm, self.disk, state.content(self.vm, self.disk).remove(self.name))
        return replace(gone, stores={name: store for name, store in state.stores.items() if name != self.name})

    def __str__(self) -> str:
        return f"removes {self.name}"


@dataclass(frozen=True, repr=False)
class PaceServer(Act):
    """Have the trial's NBD server let so many bytes a second pass, of all its images together; 0: as many as come."""

    rate: int

    def call(self, state: State) -> Host:  # noqa: ARG002
        """QEMU's storage daemon throttles them."""
        return Host((), pace=self.rate)

    def after(self, state: State) -> State:
        """What reads them or writes to them takes its time."""
        if SERVER not in state.files:
            raise Impossible("no image is served")
        return replace(state, pace=self.rate)

    def __str__(self) -> str:
        return f"lets {self.rate or 'all'} bytes a second pass through the NBD server"


@dataclass(frozen=True, repr=False)
class RemoveFile(Act):
    """Delete a file that is no image of a disk, and lies beside them."""

    path: str

    def call(self, state: State) -> Host:  # noqa: ARG002
        """Remove the file."""
        return Host(("rm", self.path))

    def after(self, state: State) -> State:
        """It is gone."""
        if PurePosixPath(self.path) not in state.files:
            raise Impossible(f"there is no file {self.path}")
        return replace(state, files=state.files - {PurePosixPath(self.path)})

    def __str__(self) -> str:
        return f"removes {self.path}"


@dataclass(frozen=True, repr=False)
class LeaveFile(Act):
    """Run a command that leaves a file besides the images, at `path`."""

    command: tuple[str, ...]
    path: str

    def call(self, state: State) -> Host:  # noqa: ARG002
        """The command."""
        return Host(self.command)

    def after(self, state: State) -> State:
        """The file is there."""
        return replace(state, files=state.files | {PurePosixPath(self.path)})

    def __str__(self) -> str:
        return f"makes {self.path}"
