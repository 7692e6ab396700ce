"""Writes into images that no VM uses: one libguestfs appliance for many writes, launched when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath

from harness.readers.offline import Offline


class OfflineWriter:
    """Writes blocks into images; `launch` makes an appliance over images, and `together` says which go with one.

    QEMU lets no appliance write to all layers of a chain at once: those that have no backing file go together.
    """

    def __init__(
        self,
        launch: Callable[[Sequence[PurePosixPath]], Offline],
        together: Callable[[PurePosixPath], Sequence[PurePosixPath]],
    ) -> None:
        self._launch = launch
        self._together = together
        self._open: tuple[Offline, Sequence[PurePosixPath]] | None = None
        self._stack = ExitStack()

    def write(self, image: PurePosixPath, blocks: Sequence[tuple[int, bytes]]) -> None:
        """Write (offset, bytes) blocks. What was written is in the image once `settle` has returned."""
        if self._open is None or image not in self._open[1]:
            self.settle()
            images = self._together(image)
            self._open = self._stack.enter_context(self._launch(images)), images
        self._open[0].write(image, blocks)

    def settle(self) -> None:
        """Shut the appliance down, which flushes; raises GuestfsError if that fails."""
        self._open = None
        self._stack.close()

    def __enter__(self) -> OfflineWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.settle()
