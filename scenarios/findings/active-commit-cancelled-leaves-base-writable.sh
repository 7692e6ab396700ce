#!/bin/sh
# An active commit that is cancelled at READY leaves its base open for writing. Needs python3, and qemu-img, qemu-io and
# qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [FORCE], how it is cancelled: false (as by libvirt, and
# if nothing is given) or true. Prints whether the base's node is read-only before the commit and after the cancel, and
# whether another QEMU may use the base. Exit status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill $daemon; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/top"

mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on,discard=unmap \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=top-file,filename="$here/top" \
    --blockdev qcow2,node-name=top,file=top-file,backing=base <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
await() { timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { tail -n 3 "$here/out"; exit 2; }; }
look() {
    say "{\"execute\": \"query-named-block-nodes\", \"arguments\": {\"flat\": true}, \"id\": \"$1\"}"
    await "\"id\": \"$1\""
    grep "\"id\": \"$1\"" "$here/out" | python3 -c '
import json, sys
for node in json.load(sys.stdin)["return"]:
    if node["node-name"] == "base":
        print(sys.argv[1], "the node of base is", "read-only" if node["ro"] else "writable")
' "$1"
    if qemu-io -r -f qcow2 -c 'read -q 0 512' "$here/base" >"$here/io" 2>&1; then
        echo "$1 another QEMU may use base"
    else
        echo "$1 another QEMU may not use base: $(head -n 1 "$here/io")"
        return 1
    fi
}

say '{"execute": "qmp_capabilities"}'
look before
say '{"execute": "block-commit", "arguments": {"job-id": "j", "device": "top", "base-node": "base"}}'
await BLOCK_JOB_READY
say "{\"execute\": \"block-job-cancel\", \"arguments\": {\"device\": \"j\", \"force\": ${1:-false}}}"
await '"status": "null"'
look after
