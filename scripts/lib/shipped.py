"""What making packages (bundle.py) and checking them (check_package.py) have in common."""

import hashlib
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


def digest(path):
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def full_name(version, target):
    """Of the tarball and of the folder in it."""
    return "mote-%s-linux-%s" % (version, target)
