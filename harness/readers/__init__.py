"""What an image really holds, by independent eyes: our own reader, QEMU over NBD, libguestfs, qemu-img."""
