"""libguestfs at work in a process of its own: reads commands as lines of JSON on stdin, answers on stdout.

Runs under the distribution's own python3, which has guestfs, inside a sandbox: an appliance that hangs, or that
outlives a killed harness, goes with it. Imports nothing but guestfs and the standard library.
"""

from __future__ import annotations

import base64
import json
import sys

import guestfs


def main() -> None:
    """Serve until stdin ends. The first command must be "launch"."""
    handle = guestfs.GuestFS(python_return_dict=True)
    devices: list[str] = []
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer: dict[str, object] = {}
            match command["do"]:
                case "launch":
                    for drive in command["drives"]:
                        handle.add_drive_opts(drive["path"], format=drive["format"], readonly=drive["readonly"])
                    handle.set_verbose(command["verbose"])  # it all goes to a log
                    handle.launch()
                    devices = handle.list_devices()
                    answer["version"] = "{major}.{minor}.{release}".format(**handle.version())
                case "write":
                    data = base64.b64decode(command["data"])
                    written = handle.pwrite_device(devices[command["drive"]], data, command["offset"])
                    if written != len(data):
                        raise RuntimeError(f"only {written} of {len(data)} bytes were written")
                case "read":
                    answer["data"] = base64.b64encode(_read(handle, devices[command["drive"]])).decode()
                case "shutdown":
                    handle.shutdown()
        except RuntimeError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


def _read(handle: guestfs.GuestFS, device: str) -> bytes:
    """Every byte of a device, in pieces that fit into one message of the appliance's protocol (4 MiB)."""
    size = handle.blockdev_getsize64(device)
    piece = 2 << 20
    return b"".join(handle.pread_device(device, min(piece, size - at), at) for at in range(0, size, piece))


if __name__ == "__main__":
    main()
