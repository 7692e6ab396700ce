#!/bin/sh
# A pull (block-stream) that has completed lets go of the backing file before what it has copied is on disk: if QEMU
# dies then, the data is lost. Needs qemu-img, qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Prints
# what the overlay shows before the pull, and after a SIGKILL at its end. Exit status: 1 if the bug shows, 0 if not.
# From QEMU 10.0 on the moment at which it must be killed is a short one, which this does not hit: see the text beside.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill -KILL $daemon 2>/dev/null || :; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-io -f qcow2 -c 'write -q -P 17 0 1M' "$here/base"
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/top"

look() {
    if qemu-io -r -f qcow2 -c 'read -q -P 17 0 1M' "$here/top" >"$here/io" 2>&1 && [ ! -s "$here/io" ]; then
        echo "$1 top shows what was written to base"
    else
        echo "$1 top does not show what was written to base: $(head -n 1 "$here/io")"
        return 1
    fi
}
look before

mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=top-file,filename="$here/top" \
    --blockdev qcow2,node-name=top,file=top-file,backing=base <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"
printf '%s\n' '{"execute": "qmp_capabilities"}' \
    '{"execute": "block-stream", "arguments": {"job-id": "j", "device": "top"}}' >&3
timeout 20 sh -c "until grep -q BLOCK_JOB_COMPLETED '$here/out'; do sleep 0.05; done" || { cat "$here/out"; exit 2; }
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || :
look after
