"""The harness's own tests: no VM, no root, seconds."""
