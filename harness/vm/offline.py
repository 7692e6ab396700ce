"""Writes into images that no VM uses: one libguestfs appliance for many writes, launched when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from harness.oracle.image import Image
from harness.readers.offline import Offline
from harness.storage.stores import file_name


class OfflineWriter:
    """Writes blocks into images; `launch` makes an appliance over images, and `together` says which go with one.

    QEMU lets no appliance write to all layers of a chain at once: those that have no backing file go together.
    """

    def __init__(
        self,
        launch: Callable[[Sequence[Image]], Offline],
        together: Callable[[str], Sequence[Image]],
    ) -> None:
        self._launch = launch
        self._together = together
        self._open: tuple[Offline, dict[str, Image]] | None = None
        self._stack = ExitStack()

    def write(self, place: str, blocks: Sequence[tuple[int, bytes]]) -> None:
        """Write (offset, bytes) blocks into the image whose file name is `place`; it is there once `settle` returns."""
        if self._open is None or place not in self._open[1]:
            self.settle()
            images = {file_name(image.store): image for image in self._together(place)}
            self._open = self._stack.enter_context(self._launch(list(images.values()))), images
        appliance, images = self._open
        appliance.write(images[place], blocks)

    def settle(self) -> None:
        """Shut the appliance down, which flushes; raises GuestfsError if that fails."""
        self._open = None
        self._stack.close()

    def __enter__(self) -> OfflineWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.settle()
