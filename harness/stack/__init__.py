"""What is under test: a libvirt and QEMU pair, in a sandbox of its own."""
