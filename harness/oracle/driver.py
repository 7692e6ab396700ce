"""How QEMU serves a disk: the attributes of libvirt's <driver>, but for the format."""

from __future__ import annotations

from dataclasses import dataclass

_WRITE_THROUGH = ("writethrough", "directsync")


@dataclass(frozen=True)
class Driver:
    """The attributes in libvirt's words; "" leaves one out, and so do no `queues`.

    With `iothread` the disk has a thread of its own in QEMU. Its `bus` is not among the attributes: "" is virtio, or of
    a disk that is called sdX virtio-scsi.
    """

    cache: str = "none"
    io: str = ""
    discard: str = "unmap"
    detect_zeroes: str = ""
    error_policy: str = ""
    rerror_policy: str = ""
    queues: int = 0
    iothread: bool = False
    bus: str = ""

    @property
    def write_through(self) -> bool:
        """Whether the disk has no write cache: a write is flushed as it ends."""
        return self.cache in _WRITE_THROUGH

    @property
    def passes_discards_on(self) -> bool:
        """Whether what the guest discards reaches the image."""
        return self.discard == "unmap"


DRIVER = Driver()
"""That of every disk that nothing else is said of."""
UNSEEN = ("io", "discard", "detect_zeroes", "error_policy", "rerror_policy")
"""The attributes that make no other device of it for the guest."""
