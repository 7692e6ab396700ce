#!/bin/sh
# A compressed cluster of a qcow2 image that was discarded cannot be read if QEMU is killed before the next flush. Needs
# qemu-img and qemu-io of one QEMU; no libvirt, no guest. Usage: [control], which leaves the cluster uncompressed. Prints
# what a read of the cluster gives after QEMU was killed. Exit status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
compress=-c
[ "${1:-}" != control ] || compress=
head -c 40000 /dev/urandom >"$here/raw"
truncate -s 65536 "$here/raw"
qemu-img convert -q -f raw -O qcow2 $compress "$here/raw" "$here/disk"

# "abort" ends qemu-io as SIGKILL would: nothing is flushed
(ulimit -c 0; qemu-io -f qcow2 -d unmap -c 'discard -q 0 64k' -c abort "$here/disk" || true) 2>/dev/null
qemu-img check "$here/disk"
if read=$(qemu-io -r -f qcow2 -c 'read -q 0 64k' "$here/disk" 2>&1) && [ -z "$read" ]; then
    echo "after a kill of QEMU, the discarded cluster can be read"
    exit 0
fi
echo "after a kill of QEMU, the discarded cluster cannot be read: $read"
exit 1
