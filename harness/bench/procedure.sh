# The documented procedure as a person would write it from the document: virsh and qemu-img, no verification beyond the
# document's own, nothing that sleeps. $1 is the domain XML. Runs inside the sandbox, against the same daemon.
set -e
dir=/export/images
qemu-img create -q -f qcow2 $dir/base.qcow2 786432
virsh -q define "$1" >/dev/null
virsh -q start vm1
until virsh -q qemu-agent-command vm1 '{"execute":"guest-ping"}' >/dev/null 2>&1; do :; done

write() { # label, then a cell and a count for each run of cells
    label=$1
    shift
    script=
    while [ $# -gt 0 ]; do
        script="$script tr '\\\\0' $label </dev/zero | dd of=/dev/vda bs=64k seek=$1 count=$2 iflag=fullblock oflag=direct conv=notrunc,fsync;"
        shift 2
    done
    pid=$(virsh -q qemu-agent-command vm1 \
        '{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c","'"$script"'"]}}' | tr -dc 0-9)
    until virsh -q qemu-agent-command vm1 '{"execute":"guest-exec-status","arguments":{"pid":'"$pid"'}}' |
        grep -q '"exited":true'; do :; done
}

write A 0 4
virsh domblklist vm1
n=0
for layer in 'sn1 B 2 4' 'sn2 C 5 4' 'cur D 0 1 8 2'; do
    set -- $layer
    overlay=$1
    n=$((n + 1))
    shift
    virsh snapshot-create-as --domain vm1 snap$n --diskspec vda,file=$dir/$overlay.qcow2 \
        --disk-only --atomic --no-metadata
    write "$@"
done
qemu-img info -U --backing-chain $dir/cur.qcow2
virsh domblklist vm1
virsh blockcommit vm1 vda --verbose --pivot --active
virsh domblklist vm1
qemu-img info -U --backing-chain $dir/base.qcow2
write E 0 1 10 1
