"""libguestfs: write marker blocks into a layer offline, and read layers back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Protocol, Self

from harness.errors import ChainproofError, Unusable, WaitTimeout
from harness.oracle.image import Image
from harness.process import PIPE, Child, kill, read_until
from harness.storage.stores import file_name
from harness.waiting import scaled

LAUNCH_TIMEOUT = 180.0
CALL_TIMEOUT = 60.0
WORKER = PurePosixPath("/chainproof/guestfs_worker.py")


class GuestfsError(ChainproofError):
    """libguestfs refused something; carries its words."""


class Enclosure(Protocol):
    """What is needed of a sandbox that libguestfs can work in (harness.stack.appliance makes one)."""

    directory: Path

    def spawn(self, command: Sequence[str], *, stdout: int | IO[bytes], stderr: int | IO[bytes]) -> Child:
        """Start a command inside."""

    def __enter__(self) -> object:
        """Build it."""

    def close(self) -> None:
        """End everything in it."""


class Offline:
    """One libguestfs appliance over `images`, in a sandbox that it owns.

    None of them may be in use by a VM, unless they are `readonly`.
    """

    def __init__(self, sandbox: Enclosure, images: Sequence[Image], *, readonly: bool) -> None:
        self._sandbox = sandbox
        self._images = list(images)
        self._readonly = readonly
        self._child: Child | None = None
        self.version = ""

    def __enter__(self) -> Self:
        """Launch the appliance (12 s or so under TCG; the first time ever, some more to build it)."""
        self._sandbox.__enter__()
        try:
            try:
                self._launch(verbose=False)
            except (GuestfsError, WaitTimeout) as error:
                # its log has no more than this: launch it again, for a log that has everything
                self._end()
                self._launch(verbose=True)
                raise GuestfsError(f"{error}\nLaunched again, it came up:\n{self._log()}") from error
        except BaseException:
            self._close()
            raise
        return self

    def _launch(self, *, verbose: bool) -> None:
        """Start the worker and its appliance; a verbose one takes a sixth longer, and logs all that it does."""
        with (self._sandbox.directory / "guestfs.log").open("wb") as log:
            command = ["/usr/bin/python3", "-I", str(WORKER)]
            self._child = self._sandbox.spawn(command, stdout=PIPE, stderr=log)
        drives = [
            {"path": file_name(image.store), "format": image.format.name, "readonly": self._readonly}
            for image in self._images
        ]
        launch = {"do": "launch", "drives": drives, "verbose": verbose}
        self.version = str(self._ask(launch, LAUNCH_TIMEOUT)["version"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._ask({"do": "shutdown"}, CALL_TIMEOUT)  # flushes what was written; its error must be seen
        finally:
            self._close()

    def write(self, image: Image, blocks: Iterable[tuple[int, bytes]]) -> None:
        """Write (offset, data) blocks into an image that is not read-only."""
        drive = self._images.index(image)
        for offset, data in blocks:
            packed = base64.b64encode(data).decode()
            self._ask({"do": "write", "drive": drive, "offset": offset, "data": packed}, CALL_TIMEOUT)

    def shows(self, image: Image) -> bytes:
        """Every byte that an image shows through its backing chain."""
        drive = self._images.index(image)
        return base64.b64decode(str(self._ask({"do": "read", "drive": drive}, CALL_TIMEOUT)["data"]))

    def _ask(self, command: Mapping[str, object], timeout: float) -> dict[str, object]:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        what = f"libguestfs to {command['do']}"
        try:
            child.stdin.write(json.dumps(command).encode() + b"\n")
            child.stdin.flush()
            line = read_until(child.stdout.fileno(), b"\n", what, seconds=scaled(timeout))
        except WaitTimeout as error:
            raise WaitTimeout(what, error.seconds, self._log()) from None
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise Unusable("libguestfs does not work on this machine", "is python3-guestfs installed?", self._log())
        answer = json.loads(line)
        if "error" in answer:
            raise GuestfsError(f"{what}: {answer['error']}\n{self._log()}")
        return dict(answer)

    def _log(self) -> str:
        return (self._sandbox.directory / "guestfs.log").read_text(errors="replace")[-3000:]

    def _close(self) -> None:
        self._sandbox.close()
        self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            kill(child)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
