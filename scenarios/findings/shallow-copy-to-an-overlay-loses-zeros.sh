#!/bin/sh
# A mirror of the top layer into an overlay that is opened without its backing file (as libvirt opens the target of
# `blockcopy --shallow --reuse-external`) loses zeros that are written while it is ready. Needs qemu-img, qemu-io and
# qemu-storage-daemon of one QEMU; no libvirt, no guest. Prints what source and target show, in the end with the backing
# file below the target. Exit status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill -KILL $daemon 2>/dev/null || :; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-io -f qcow2 -c 'write -q -P 17 0 1M' "$here/base"
for overlay in source target; do qemu-img create -q -f qcow2 -b base -F qcow2 "$here/$overlay"; done

look() {
    if qemu-io -r -U -f qcow2 -c 'read -q -P 0 0 64k' "$here/$2" >"$here/io" 2>&1 && [ ! -s "$here/io" ]; then
        echo "$1 $2 shows zeros"
    else
        echo "$1 $2 does not show zeros: $(head -n 1 "$here/io")"
        return 1
    fi
}

mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --nbd-server addr.type=unix,addr.path="$here/nbd" \
    --blockdev file,node-name=base-file,filename="$here/base" \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=source-file,filename="$here/source" \
    --blockdev qcow2,node-name=source,file=source-file,backing=base,discard=unmap \
    --export nbd,id=e,node-name=source,name=source,writable=on \
    <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"
say() { printf '%s\n' "$1" >&3; }
await() {
    timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { cat "$here/out"; exit 2; }
}
say '{"execute": "qmp_capabilities"}'
say "{\"execute\": \"blockdev-add\", \"arguments\": {\"driver\": \"file\", \"node-name\": \"target-file\", \"filename\": \"$here/target\"}}"
say '{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "target", "file": "target-file", "backing": null, "discard": "unmap"}}'
say '{"execute": "blockdev-mirror", "arguments": {"job-id": "j", "device": "source", "target": "target", "sync": "top"}}'
await BLOCK_JOB_READY
qemu-io -f raw -c 'write -q -z 0 64k' -c flush "nbd+unix:///source?socket=$here/nbd"
say '{"execute": "block-job-cancel", "arguments": {"device": "j"}}'
await BLOCK_JOB_COMPLETED
say '{"execute": "quit"}'
wait "$daemon" || :
look "before" source
look "after the job," target
