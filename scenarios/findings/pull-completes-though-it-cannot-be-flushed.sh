#!/bin/sh
# A pull completes, and takes the backing file out of the header, though what it has copied cannot be flushed. Needs
# qemu-img, qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [control], with an image that can
# be flushed. Prints how the job has ended, and what the image shows after QEMU was killed. Exit status: 1 if the bug
# shows, 0 if not. (QEMU 5.2 and 7.2 do not flush at all: there the control shows the bug, too.)
set -eu
here=$(mktemp -d)
daemon=
trap 'kill $daemon 2>/dev/null || true; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/top"
qemu-io -f qcow2 -c 'write -q -P 0xee 512k 64k' "$here/base"
qemu-io -f qcow2 -c 'write -q -P 0xbb 0 64k' "$here/top"  # it has its first L2 table

fault='"inject-error": [{"event": "none", "iotype": "flush", "errno": 5}],'
[ "${1:-}" != control ] || fault=
mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev "{\"driver\": \"blkdebug\", \"node-name\": \"top-file\", $fault
        \"image\": {\"driver\": \"file\", \"filename\": \"$here/top\"}}" \
    --blockdev qcow2,node-name=top,file=top-file,backing=base <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
await() { timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { tail -n 3 "$here/out"; exit 2; }; }
say '{"execute": "qmp_capabilities"}'
say '{"execute": "block-stream", "arguments": {"job-id": "j", "device": "top"}}'
await BLOCK_JOB_COMPLETED
await '"status": "null"'
grep BLOCK_JOB_COMPLETED "$here/out"
kill -KILL $daemon
wait $daemon 2>/dev/null || true
if grep BLOCK_JOB_COMPLETED "$here/out" | grep -q '"error"'; then
    exit 0
fi
if qemu-io -r -f qcow2 -c 'read -q -P 0xee 512k 64k' "$here/top" | grep -q 'verification failed'; then
    echo "after a kill of QEMU, top is alone, and has lost what the pull has copied"
    exit 1
fi
echo "after a kill of QEMU, top shows what the pull has copied"
