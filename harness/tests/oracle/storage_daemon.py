"""qemu-storage-daemon for tests: QEMU's block jobs on real images, with no VM; the guest is an NBD client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from subprocess import Popen  # noqa: TID251 - the type alone; processes are started by harness.process
from types import TracebackType
from typing import Self

import nbd

from harness.process import end, spawn
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

    def open(self, path: Path, form: str = "qcow2", backing: str | None = None) -> None:
        """Add the image as a node, called as the file is, over the node `backing`."""
        file = {"driver": "file", "filename": str(path), "discard": "unmap"}
        node = {"driver": form, "node-name": path.stem, "discard": "unmap", "file": file}
        self.command("blockdev-add", {**node, "backing": backing} if form == "qcow2" else node)

    def attach(self, name: str) -> None:
        """Give the node to the guest."""
        export: Arguments = {"type": "nbd", "id": "disk", "node-name": name, "name": "disk", "writable": True}
        self.command("block-export-add", export)

    @cached_property
    def guest(self) -> nbd.NBD:
        """The guest's disk: an NBD client, which flushes nothing unless it is to."""
        client = nbd.NBD()
        client.set_export_name("disk")
        client.connect_unix(str(self.socket))
        return client

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def wait(self, *names: str) -> None:
        """Wait for an event of one of these names, and forget those up to it."""
        while True:
            while self.events:
                event = self.events.pop(0)
                data = event["data"]
                assert isinstance(data, dict)
                assert "error" not in data, data
                if event["event"] in names:
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
