"""libguestfs: write marker blocks into a layer offline, and read layers back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from harness.errors import ChainproofError, Unusable, WaitTimeout
from harness.layers import guestfs_worker
from harness.process import PIPE, Child, read_until
from harness.stack.sandbox import Isolation, Sandbox
from harness.waiting import scaled

LAUNCH_TIMEOUT = 180.0
CALL_TIMEOUT = 60.0
_APPLIANCE = PurePosixPath("/appliance")
_GUEST = PurePosixPath("/guest")
_WORKER = PurePosixPath("/chainproof/guestfs_worker.py")


class GuestfsError(ChainproofError):
    """libguestfs refused something; carries what it said."""


class Offline:
    """One libguestfs appliance over `drives`, in a sandbox of its own around `directory`; images as the stack sees them.

    `images` is where /export lies outside. `guest` is the built guest's directory: its kernel runs the appliance.
    `cache` keeps the appliance. No image may be in use by a VM, unless read-only.
    """

    def __init__(
        self,
        directory: Path,
        images: Path,
        guest: Path,
        cache: Path,
        *,
        kvm: bool,
        drives: Mapping[PurePosixPath, bool],
    ) -> None:
        self.directory = directory
        self._drives = dict(drives)
        cache.mkdir(parents=True, exist_ok=True)
        release = next((guest / "modules").iterdir()).name
        environment = {
            "LIBGUESTFS_BACKEND": "direct",
            "LIBGUESTFS_CACHEDIR": str(_APPLIANCE),
            "LIBGUESTFS_DEBUG": "1",
            "LIBGUESTFS_MEMSIZE": "512",
            "SUPERMIN_KERNEL": str(_GUEST / "vmlinuz"),
            "SUPERMIN_KERNEL_VERSION": release,
            "SUPERMIN_MODULES": str(_GUEST / "modules" / release),
            "TMPDIR": "/tmp",
            **({} if kvm else {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}),
        }
        binds = (
            (images, PurePosixPath("/export"), True),
            (guest, _GUEST, False),
            (cache, _APPLIANCE, True),
            (Path(guestfs_worker.__file__), _WORKER, False),
        )
        self._sandbox = Sandbox(directory, Isolation(kvm=kvm, whole=True, binds=binds, environment=environment))
        self._child: Child | None = None
        self.version = ""

    def __enter__(self) -> Self:
        """Launch the appliance (12 s or so under TCG; the first time ever, some more to build it)."""
        self._sandbox.__enter__()
        try:
            with (self.directory / "guestfs.log").open("wb") as log:
                command = ["/usr/bin/python3", "-I", str(_WORKER)]
                self._child = self._sandbox.spawn(command, stdout=PIPE, stderr=log)
            drives = [{"path": str(path), "readonly": readonly} for path, readonly in self._drives.items()]
            self.version = str(self._ask({"do": "launch", "drives": drives}, LAUNCH_TIMEOUT)["version"])
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._ask({"do": "shutdown"}, CALL_TIMEOUT)  # flushes what was written; its error must be seen
        finally:
            self._close()

    def write(self, image: PurePosixPath, blocks: Iterable[tuple[int, bytes]]) -> None:
        """Write (offset, data) blocks into an image that is not read-only."""
        drive = list(self._drives).index(image)
        for offset, data in blocks:
            packed = base64.b64encode(data).decode()
            self._ask({"do": "write", "drive": drive, "offset": offset, "data": packed}, CALL_TIMEOUT)

    def shows(self, image: PurePosixPath) -> bytes:
        """Every byte that an image shows through its backing chain."""
        drive = list(self._drives).index(image)
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
        return (self.directory / "guestfs.log").read_text(errors="replace")[-3000:]

    def _close(self) -> None:
        self._sandbox.close()
        child = self._child
        if child is not None:
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
