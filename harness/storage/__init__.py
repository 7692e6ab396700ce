"""How each format and store of an image is spelt, for QEMU, for qemu-img and for libvirt. Pure functions, no I/O."""
