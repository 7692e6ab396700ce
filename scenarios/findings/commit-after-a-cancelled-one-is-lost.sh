#!/bin/sh
# What a commit has folded into its base is lost if QEMU is killed, where an active commit into that base was cancelled at
# READY before. Needs qemu-img, qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [control], which
# leaves the cancelled commit out. Prints what the chain shows after QEMU was killed. Exit status: 1 if the bug shows, 0
# if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill $daemon 2>/dev/null || true; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/mid"
qemu-img create -q -f qcow2 -b mid -F qcow2 "$here/top"

mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on,discard=unmap \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=mid-file,filename="$here/mid",auto-read-only=on \
    --blockdev qcow2,node-name=mid,file=mid-file,backing=base \
    --nbd-server addr.type=unix,addr.path="$here/nbd" \
    --export nbd,id=disk,name=disk,node-name=mid,writable=on <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
await() { timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { tail -n 3 "$here/out"; exit 2; }; }

say '{"execute": "qmp_capabilities"}'
await '"return"'
if [ "${1:-}" != control ]; then
    say '{"execute": "block-commit", "arguments": {"job-id": "given-up", "device": "mid", "base-node": "base"}}'
    await BLOCK_JOB_READY
    say '{"execute": "block-job-cancel", "arguments": {"device": "given-up"}}'
    await '"status": "null", "id": "given-up"'
fi
# the guest writes, and flushes; then its disk gets another layer, and the one below is committed into the base
qemu-io -f raw -c 'write -q -P 0xee 512k 64k' -c flush "nbd+unix:///disk?socket=$here/nbd"
say "{\"execute\": \"blockdev-add\", \"arguments\": {\"driver\": \"qcow2\", \"node-name\": \"top\", \"backing\": null,
    \"file\": {\"driver\": \"file\", \"filename\": \"$here/top\"}}}"
say '{"execute": "blockdev-snapshot", "arguments": {"node": "mid", "overlay": "top"}}'
say '{"execute": "block-commit", "arguments": {"job-id": "done", "device": "top", "top-node": "mid", "base-node": "base",
    "backing-file": "base"}}'
await BLOCK_JOB_COMPLETED
await '"status": "null", "id": "done"'
kill -KILL $daemon
wait $daemon 2>/dev/null || true
if qemu-io -r -f qcow2 -c 'read -q -P 0xee 512k 64k' "$here/top" | grep -q 'verification failed'; then
    echo "after a kill of QEMU, the chain top, base has lost what the guest had flushed, and the commit had copied"
    exit 1
fi
echo "after a kill of QEMU, the chain top, base shows what the guest had flushed"
