#!/bin/sh
# A stream (pull) that has completed writes into the overlay's header that it has no backing file, before the L2 tables
# that map what it has pulled are in the file: a QEMU that is killed then loses all that was pulled. Needs qemu-img,
# qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [BASE], what is pulled onto: nothing (if
# nothing is given) or base. Prints what the overlay's header says after the kill, and whether the data is there. Exit
# status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill -9 $daemon 2>/dev/null || true; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/mid"
qemu-io -f qcow2 -c 'write -q -P 0xab 0 256k' "$here/mid"
qemu-img create -q -f qcow2 -b mid -F qcow2 "$here/top"
qemu-io -r -f qcow2 -c 'read -q -P 0xab 0 256k' "$here/top" >"$here/io"
[ -s "$here/io" ] || echo "before the stream, top shows what was written"

mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on,discard=unmap \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=mid-file,filename="$here/mid",auto-read-only=on,discard=unmap \
    --blockdev qcow2,node-name=mid,file=mid-file,read-only=on,backing=base \
    --blockdev file,node-name=top-file,filename="$here/top" \
    --blockdev qcow2,node-name=top,file=top-file,backing=mid <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
await() { timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { tail -n 3 "$here/out"; exit 2; }; }

say '{"execute": "qmp_capabilities"}'
onto=${1:+", \"base-node\": \"$1\", \"backing-file\": \"base\""}
say "{\"execute\": \"block-stream\", \"arguments\": {\"job-id\": \"j\", \"device\": \"top\"$onto}}"
await BLOCK_JOB_COMPLETED
await '"status": "null"'
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
exec 3>&-

qemu-img info "$here/top" | grep '^backing file:' || echo "top has no backing file any more"
if qemu-io -r -f qcow2 -c 'read -q -P 0xab 0 256k' "$here/top" >"$here/io" 2>&1 && [ ! -s "$here/io" ]; then
    echo "the data is there"
else
    echo "the data is lost: $(head -n 1 "$here/io")"
    exit 1
fi
