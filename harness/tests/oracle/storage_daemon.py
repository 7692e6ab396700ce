"""qemu-storage-daemon for tests: QEMU's block jobs on real images, with no VM; the guest is qemu-io over NBD."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen  # noqa: TID251 - the type alone; processes are started by harness.process
from types import TracebackType
from typing import Self

from harness.process import end, run, spawn
from harness.waiting import watchdog

Arguments = Mapping[str, object]


class StorageDaemon:
    """Images in `directory` as nodes that are called as the images are; the guest's disk is an NBD export."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "nbd"
        self.events: list[dict[str, object]] = []
        self.process: Popen[bytes]

    def __enter__(self) -> Self:
        with (self.directory / "log").open("wb") as log:
            self.process = spawn(["qemu-storage-daemon", "--chardev", "stdio,id=m", "--monitor", "m"], stderr=log)
        try:
            self._read()  # the greeting
            self.command("qmp_capabilities")
            self.command("nbd-server-start", {"addr": {"type": "unix", "data": {"path": str(self.socket)}}})
        except BaseException:
            end(self.process, timeout=10)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self.process, timeout=10)

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.qcow2"

    def open(self, name: str, backing: str | None = None) -> None:
        """Add the image as a node over the node `backing`."""
        file = {"driver": "file", "filename": str(self.path(name)), "discard": "unmap"}
        node: Arguments = {"driver": "qcow2", "node-name": name, "discard": "unmap", "backing": backing, "file": file}
        self.command("blockdev-add", node)

    def attach(self, name: str) -> None:
        """Give the node to the guest."""
        export: Arguments = {"type": "nbd", "id": "disk", "node-name": name, "name": "disk", "writable": True}
        self.command("block-export-add", export)

    def guest(self, *commands: str) -> None:
        """The guest does `commands` of qemu-io, and flushes."""
        typed = [word for command in [*commands, "flush"] for word in ("-c", command)]
        done = run(["qemu-io", "-f", "raw", *typed, f"nbd+unix:///disk?socket={self.socket}"], timeout=30).check()
        assert "failed" not in done.output, done.output

    def job(self, command: str, arguments: Arguments, until: str) -> None:
        """Start a job, and wait for its event `until`."""
        self.command(command, {"job-id": "job", **arguments})
        self.wait(until)

    def finish(self, *, cancel: bool = False) -> None:
        """Pivot, or cancel, the job that is ready."""
        self.command("block-job-cancel" if cancel else "block-job-complete", {"device": "job"})
        self.wait("BLOCK_JOB_COMPLETED")

    def wait(self, name: str) -> None:
        """Wait for an event of this name, and forget those up to it."""
        while True:
            while self.events:
                event = self.events.pop(0)
                data = event["data"]
                assert isinstance(data, dict)
                assert "error" not in data, data
                if event["event"] == name:
                    return
            self.events.append(self._read())

    def command(self, name: str, arguments: Arguments | None = None) -> None:
        """Run a QMP command; it must succeed."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"execute": name, "arguments": arguments or {}}).encode() + b"\n")
        self.process.stdin.flush()
        while "event" in (answer := self._read()):
            self.events.append(answer)
        assert "return" in answer, (name, arguments, answer)

    def _read(self) -> dict[str, object]:
        assert self.process.stdout is not None
        with watchdog("an answer of qemu-storage-daemon", 20, self.process.kill):
            line = self.process.stdout.readline()
        assert line, (self.directory / "log").read_text()
        answer: dict[str, object] = json.loads(line)
        return answer
