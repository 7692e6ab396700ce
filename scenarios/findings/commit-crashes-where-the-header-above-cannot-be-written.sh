#!/bin/sh
# QEMU crashes at the end of a commit if the header of the image above cannot be written: one EIO is enough. Needs
# qemu-img, qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [control], without the EIO. Prints
# how the storage daemon has ended, or that the job has. Exit status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill $daemon 2>/dev/null || true; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/mid"
qemu-img create -q -f qcow2 -b mid -F qcow2 "$here/top"
qemu-io -f qcow2 -c 'write -q -P 0xee 512k 64k' "$here/mid"

fault='"inject-error": [{"event": "none", "iotype": "write", "errno": 5, "once": true}],'
[ "${1:-}" != control ] || fault=
mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=mid-file,filename="$here/mid",auto-read-only=on \
    --blockdev qcow2,node-name=mid,file=mid-file,backing=base,read-only=on \
    --blockdev "{\"driver\": \"blkdebug\", \"node-name\": \"top-file\", $fault
        \"image\": {\"driver\": \"file\", \"filename\": \"$here/top\"}}" \
    --blockdev qcow2,node-name=top,file=top-file,backing=mid <"$here/in" >"$here/out" 2>"$here/err" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
say '{"execute": "qmp_capabilities"}'
say '{"execute": "block-commit", "arguments": {"job-id": "j", "device": "top", "top-node": "mid", "base-node": "base",
    "backing-file": "base"}}'
timeout 20 sh -c "until grep -q BLOCK_JOB_COMPLETED '$here/out' || ! kill -0 $daemon 2>/dev/null; do sleep 0.05; done"
if grep BLOCK_JOB_COMPLETED "$here/out"; then
    exit 0
fi
status=0
wait $daemon || status=$?
echo "after $(cat "$here/err"): QEMU has ended, with status $status"
exit 1
