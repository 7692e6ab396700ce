"""Certificates for a server that asks for TLS, made for one run: an authority of its own, and the server's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from harness.process import run

PLACE = PurePosixPath("/export/pki")
"""Where QEMU looks for those of backups (qemu.conf, backup_tls_x509_cert_dir)."""
NAME = "chainproof"
"""What the server calls itself."""
_TIMEOUT = 60.0
_NEW = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-sha256")


def certify(directory: Path) -> None:
    """Make them, valid for two days, under the names that QEMU wants. Raises CommandFailed."""
    directory.mkdir(exist_ok=True)
    ca, key = directory / "ca-cert.pem", directory / "ca-key.pem"
    constraints = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    authority = ("-x509", "-days", "2", "-subj", f"/CN={NAME} authority", "-keyout", str(key), "-out", str(ca))
    run([*_NEW, *authority, *constraints], timeout=_TIMEOUT).check()
    request, extensions = directory / "server.csr", directory / "server.ext"
    extensions.write_text(
        f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
        f"extendedKeyUsage=serverAuth\nsubjectAltName=DNS:{NAME}\n"
    )
    asked = ("-subj", f"/CN={NAME}", "-keyout", str(directory / "server-key.pem"), "-out", str(request))
    run([*_NEW, *asked], timeout=_TIMEOUT).check()
    signed = ("-in", str(request), "-CA", str(ca), "-CAkey", str(key), "-CAcreateserial", "-days", "2", "-sha256")
    cert = ("-extfile", str(extensions), "-out", str(directory / "server-cert.pem"))
    run(["openssl", "x509", "-req", *signed, *cert], timeout=_TIMEOUT).check()
