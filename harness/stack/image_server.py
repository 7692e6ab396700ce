"""An NBD server for images of a trial that do not simply lie in files: what QEMU opens over the network."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.oracle.image import File, Raw
from harness.stack.sandbox import Sandbox
from harness.stack.storage_daemon import StorageDaemon
from harness.storage.formats import node as node_of
from harness.storage.stores import protocol_node

_PACE = "pace"


class ImageServer:
    """Serves raw images to the VMs in `sandbox`, through the socket at `socket`, each under the name of its file.

    It is there from the first image on until it is closed.
    """

    def __init__(self, sandbox: Sandbox, socket: PurePosixPath) -> None:
        self._daemon = StorageDaemon(sandbox, socket, ("--object", f"throttle-group,id={_PACE}"))
        self._served: dict[str, str] = {}  # the node of each image; its name may be too long for one
        self._nodes = 0

    def serve(self, file: PurePosixPath) -> None:
        """Serve the file, which nobody else may write to as long as it is. Raises QmpError."""
        self._nodes += 1
        node = f"served{self._nodes}"
        file_node = {**protocol_node(File(file)), "discard": "unmap"}
        below = {"driver": "throttle", "throttle-group": _PACE, "file": file_node, "discard": "unmap"}
        image = {**node_of(Raw(), below), "node-name": node, "discard": "unmap"}
        export = {"id": node, "type": "nbd", "node-name": node, "name": file.name, "writable": True}
        self._daemon.execute([("blockdev-add", image), ("block-export-add", export)])
        self._served[file.name] = node

    def pace(self, rate: int) -> None:
        """Let `rate` bytes a second pass, of all images together; 0: as many as come. Raises QmpError."""
        limits = {"path": _PACE, "property": "limits", "value": {"bps-total": rate}}
        self._daemon.execute([("qom-set", limits)])

    def let_go(self, name: str) -> None:
        """Serve the image of this name no longer. Raises QmpError while somebody has it open."""
        node = self._served.pop(name)
        self._daemon.execute([("block-export-del", {"id": node})])
        self._daemon.wait_event("BLOCK_EXPORT_DELETED", 1)
        self._daemon.execute([("blockdev-del", {"node-name": node})])

    def close(self) -> None:
        """End at once."""
        self._served.clear()
        self._daemon.close()
