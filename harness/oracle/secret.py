"""Secrets that images are encrypted with, as values: everybody who opens such an image knows them all."""

from __future__ import annotations

import uuid

SECRETS = ("red", "blue")
"""The names of all secrets; an image names the one that it is encrypted with."""


def uuid_of(secret: str) -> str:
    """The UUID by which libvirt knows a secret. Raises ValueError for one that is none of SECRETS."""
    if secret not in SECRETS:
        raise ValueError(f"there is no secret {secret}; there are {', '.join(SECRETS)}")
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"secret {secret}"))


def passphrase(secret: str) -> str:
    """The passphrase that it is."""
    return f"chainproof {secret}"
