#!/bin/sh
# A VM that is paused while a commit of a layer that is not active is held back by its speed limit ends by a crash. Needs
# qemu-img, qemu-io and qemu-system-x86_64 of one QEMU; no libvirt, no guest. Prints how QEMU ended. Exit status: 1 if the
# bug shows, 0 if not.
set -eu
here=$(mktemp -d)
qemu=
trap 'kill -KILL $qemu 2>/dev/null || :; rm -rf "$here"' EXIT
qemu-img create -q -f qcow2 "$here/base" 384k
qemu-img create -q -f qcow2 -b base -F qcow2 "$here/mid"
qemu-io -f qcow2 -c 'write -q -P 17 64k 64k' -c 'write -q -P 18 192k 64k' "$here/mid"
qemu-img create -q -f qcow2 -b mid -F qcow2 "$here/top"

mkfifo "$here/in"
qemu-system-x86_64 -machine q35,accel=tcg -nodefaults -display none -qmp stdio \
    -blockdev file,node-name=base-file,filename="$here/base",auto-read-only=on \
    -blockdev qcow2,node-name=base,file=base-file,read-only=on \
    -blockdev file,node-name=mid-file,filename="$here/mid",auto-read-only=on \
    -blockdev qcow2,node-name=mid,file=mid-file,read-only=on,backing=base \
    -blockdev file,node-name=top-file,filename="$here/top" \
    -blockdev qcow2,node-name=top,file=top-file,backing=mid \
    -device virtio-blk-pci,drive=top <"$here/in" >"$here/out" 2>"$here/err" &
qemu=$!
exec 3>"$here/in"
job='"job-id": "j", "device": "top", "top-node": "mid", "base-node": "base", "speed": 1048576'
printf '%s\n' '{"execute": "qmp_capabilities"}' "{\"execute\": \"block-commit\", \"arguments\": {$job}}" >&3
timeout 20 sh -c "until grep -q '\"status\": \"running\", \"id\": \"j\"' '$here/out'; do sleep 0.05; done"
echo "before the pause, the job runs"
printf '%s\n' '{"execute": "stop"}' '{"execute": "query-status", "id": "after"}' >&3
if timeout 20 sh -c "until grep -q '\"id\": \"after\"' '$here/out' || ! kill -0 $qemu 2>/dev/null; do sleep 0.05; done" &&
    kill -0 "$qemu" 2>/dev/null; then
    echo "after the pause, QEMU goes on"
    exit 0
fi
status=0
wait "$qemu" || status=$?
echo "after the pause, QEMU has ended with status $status: $(tail -n 1 "$here/err")"
exit 1
