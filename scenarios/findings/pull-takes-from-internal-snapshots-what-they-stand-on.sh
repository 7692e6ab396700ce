#!/bin/sh
# A snapshot inside an image loses what it shows of the backing file once that is pulled into the image. Needs qemu-img,
# qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [control], which leaves the pull out. Prints
# what the snapshot shows afterwards. Exit status: 1 if the bug shows, 0 if not.
set -eu
here=$(mktemp -d)
daemon=
trap 'kill $daemon 2>/dev/null || true; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 1M
qemu-io -f qcow2 -c 'write -q -P 0xaa 0 64k' "$here/base"
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/cur"
qemu-img snapshot -c s1 "$here/cur"

mkfifo "$here/in"
qemu-storage-daemon --chardev stdio,id=m --monitor chardev=m \
    --blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on \
    --blockdev qcow2,node-name=base,file=base-file,read-only=on \
    --blockdev file,node-name=cur-file,filename="$here/cur",auto-read-only=on \
    --blockdev qcow2,node-name=cur,file=cur-file,backing=base <"$here/in" >"$here/out" &
daemon=$!
exec 3>"$here/in"

say() { printf '%s\n' "$1" >&3; }
await() { timeout 20 sh -c "until grep -q '$1' '$here/out'; do sleep 0.05; done" || { tail -n 3 "$here/out"; exit 2; }; }

say '{"execute": "qmp_capabilities"}'
await '"return"'
if [ "${1:-}" != control ]; then
    say '{"execute": "block-stream", "arguments": {"job-id": "pull", "device": "cur"}}'
    await '"status": "null", "id": "pull"'
fi
exec 3>&-
kill $daemon
wait $daemon || true
daemon=
qemu-img convert -l snapshot.name=s1 -f qcow2 -O raw "$here/cur" "$here/then"
if qemu-io -f raw -c 'read -q -P 0xaa 0 64k' "$here/then" >/dev/null 2>&1; then
    echo "after the pull, the snapshot shows what it did"
    exit 0
fi
echo "after the pull, the snapshot shows zeros where it showed the backing file's data"
exit 1
