#!/bin/sh
# The writes to one disk hang while the storage of another one hangs: QEMU starts too few threads for them. Needs root,
# /dev/fuse, and qemu-io and qemu-storage-daemon of one QEMU; no libvirt, no guest. Usage: [control], where one write to the
# other disk hangs in place of two. It tries 12 times: it is a race. Prints how often the write hung. Exit status: 1 if the
# bug shows, 0 if not, 2 if nothing can be exported as a file.
set -u
second="-c 'aio_write -q 1M 4k'"
[ "${1:-}" != control ] || second=
here=$(mktemp -d)
cd "$here"  # the path of a socket must be short
daemons=
end() {
    kill -CONT $daemons; kill -KILL $daemons; umount -l "$here/hangs"; wait
} 2>/dev/null
trap 'end; cd /; rm -rf "$here"' EXIT

# needed STATUS: ends here unless something that is needed is there
needed() { [ "$1" = 0 ] || { echo "cannot be shown here: no file can be exported by FUSE, or no QEMU reads it"; exit 2; }; }

# try: whether a write to `well` hangs while the two writes to `hangs` do
try() {
    rm -f "$here"/*
    truncate -s 4M "$here/stored" "$here/hangs" "$here/well"
    qemu-storage-daemon --blockdev file,node-name=stored,filename="$here/stored" \
        --export fuse,id=hangs,node-name=stored,mountpoint="$here/hangs",writable=on &
    store=$!
    daemons=$store
    timeout 10 sh -c "until grep -q '$here/hangs' /proc/mounts; do sleep 0.02; done"
    needed $?
    qemu-storage-daemon --blockdev file,node-name=hangs,filename="$here/hangs" \
        --blockdev file,node-name=well,filename="$here/well" --nbd-server addr.type=unix,addr.path=nbd \
        --export nbd,id=h,name=hangs,node-name=hangs,writable=on --export nbd,id=w,name=well,node-name=well,writable=on &
    daemons="$! $daemons"
    timeout 10 sh -c "until [ -S nbd ]; do sleep 0.02; done"
    needed $?
    qemu-io -f raw -c 'write -q 0 4k' "nbd+unix:///well?socket=nbd"
    needed $?
    kill -STOP $store
    eval "qemu-io -f raw -c 'aio_write -q 0 4k' $second 'nbd+unix:///hangs?socket=nbd'" >"$here/out" 2>&1 &
    daemons="$! $daemons"
    sleep 0.3
    timeout 1 qemu-io -f raw -c 'write -q 0 4k' "nbd+unix:///well?socket=nbd"
    status=$?
    end
    return $status
}

hung=0
for _ in $(seq 12); do
    try 2>/dev/null || hung=$((hung + 1))
done
echo "after writes to a disk whose storage hangs, a write to another disk hung $hung times of 12"
[ $hung = 0 ]
