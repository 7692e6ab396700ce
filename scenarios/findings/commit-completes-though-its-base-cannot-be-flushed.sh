#!/bin/sh
# A commit completes though its base can neither be flushed nor have its tables written. Needs qemu-img, qemu-io and
# qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [control], with a base that can be flushed. Prints how
# the job has ended, and what the chain shows after QEMU was killed. Exit status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill $daemon 2>/dev/null || true; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/mid"
qemu-img create -q -f qcow2 -b mid -F qcow2 "$here/top"
qemu-io -f qcow2 -c 'write -q -P 0xbb 0 64k' "$here/base"  # it has its first L2 table
qemu-io -f qcow2 -c 'write -q -P 0xee 512k 64k' -c flush "$here/mid"

fault='"inject-error": [{"event": "none", "iotype": "flush", "errno": 5}],'
[ "${1:-}" != control ] || fault=
mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev "{\"driver\": \"blkdebug\", \"node-name\": \"base-file\", $fault
        \"image\": {\"driver\": \"file\", \"filename\": \"$here/base\"}}" \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=mid-file,filename="$here/mid",auto-read-only=on \
    --blockdev qcow2,node-name=mid,file=mid-file,backing=base,read-only=on \
    --blockdev file,node-name=top-file,filename="$here/top" \
    --blockdev qcow2,node-name=top,file=top-file,backing=mid <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
await() { timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { tail -n 3 "$here/out"; exit 2; }; }
say '{"execute": "qmp_capabilities"}'
say '{"execute": "block-commit", "arguments": {"job-id": "j", "device": "top", "top-node": "mid", "base-node": "base",
    "backing-file": "base"}}'
await BLOCK_JOB_COMPLETED
await '"status": "null"'
grep BLOCK_JOB_COMPLETED "$here/out"
kill -KILL $daemon
wait $daemon 2>/dev/null || true
if grep BLOCK_JOB_COMPLETED "$here/out" | grep -q '"error"'; then
    exit 0
fi
if qemu-io -r -f qcow2 -c 'read -q -P 0xee 512k 64k' "$here/top" | grep -q 'verification failed'; then
    echo "after a kill of QEMU, the chain top, base has lost what the commit has copied"
    exit 1
fi
echo "after a kill of QEMU, the chain top, base shows what the commit has copied"
