"""libguestfs over the images of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.oracle.image import Image
from harness.oracle.state import State
from harness.readers.named import require_inside
from harness.readers.offline import Offline
from harness.stack.appliance import appliance_sandbox, built_appliance
from harness.stack.daemon import Daemon
from harness.stack.run_directory import RunDirectory
from harness.stack.sandbox import IMAGES
from harness.storage.stores import file_name


def appliance(daemon: Daemon, cache: Path, images: Sequence[Image], *, readonly: bool) -> Offline:
    """libguestfs over these images of the daemon's; enter it to launch its appliance, which is kept in `cache`.

    Raises ImageError for an image that leads QEMU out of the images.
    """
    exported = daemon.sandbox.outside(IMAGES)
    for image in images:
        require_inside(image, daemon.sandbox.outside, exported)
    work = daemon.directory.parent  # where all run directories are
    built = built_appliance(cache, daemon.guest, work)
    sandbox = appliance_sandbox(RunDirectory(work), exported, built, readonly=readonly, kvm=daemon.kvm)
    return Offline(sandbox, images, readonly=readonly)


def written_together(state: State, place: str) -> Sequence[Image]:
    """The images that libguestfs may open for writing with the one at `place`: those in no chain, or it alone."""
    images: dict[str, Image] = {}
    alone: set[str] = set()
    for name, vm in state.vms.items():
        for target, content in vm.known.items():
            below = {layer.backing for layer in content.layers.values()}
            for image in (
                state.image(name, target, each) for each in content.files() if not content.is_encrypted(each)
            ):
                images[file_name(image.store)] = image
                if content.layer(image.name).backing is None and image.name not in below:
                    alone.add(file_name(image.store))
    return [image for at, image in images.items() if at in (alone if place in alone else {place})]
