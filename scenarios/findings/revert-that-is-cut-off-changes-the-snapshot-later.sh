#!/bin/sh
# A revert to a snapshot inside an image that is cut off, by a power loss, a kill or an I/O error, leaves an image whose next
# write changes that snapshot. Needs qemu-img and qemu-io of one QEMU; no libvirt, no guest. Each write of the revert in
# turn is the first that fails. Prints what the snapshot shows after the guest has written. Exit status: 1 if the bug shows,
# 0 if not.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"
qemu-img create -q -f qcow2 image 1M
qemu-io -f qcow2 -c 'write -q -P 0xaa 0 64k' image
qemu-img snapshot -c s1 image
qemu-io -f qcow2 -c 'write -q -P 0xbb 0 64k' image

changed=
number=1
while [ $number -le 8 ]; do
    at=1
    : >faults
    while [ $at -lt $number ]; do
        printf '[set-state]\nevent = "pwritev"\nstate = "%d"\nnew_state = "%d"\n' $at $((at + 1)) >>faults
        at=$((at + 1))
    done
    printf '[inject-error]\nevent = "pwritev"\nstate = "%d"\nerrno = "5"\nonce = "off"\n' $number >>faults
    cp image cut
    file=file.driver=blkdebug,file.config=faults,file.image.driver=file,file.image.filename=cut
    qemu-img snapshot --image-opts -a s1 driver=qcow2,$file >/dev/null 2>&1 || true
    # the host has started again, and the guest writes
    qemu-io -f qcow2 -c 'write -q -P 0xcc 0 64k' -c 'write -q -P 0xdd 256k 64k' cut
    qemu-img convert -l snapshot.name=s1 -f qcow2 -O raw cut then
    qemu-io -f raw -c 'read -q -P 0xaa 0 64k' -c 'read -q -P 0 64k 960k' then >/dev/null 2>&1 || changed="$changed $number"
    number=$((number + 1))
done
if [ -z "$changed" ]; then
    echo "after a revert that is cut off at any write, the snapshot shows what it did"
    exit 0
fi
echo "after a revert that is cut off at write$changed, the snapshot shows what the guest has written later"
exit 1
