"""Certificates for tests of the door, by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificates(folder: Path, server_name: str = "IP:127.0.0.1") -> None:
    """An authority, and certificates by it for a server and a client; and a client by nobody."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    for name in ("server", "client"):
        alternative = ("-addext", f"subjectAltName={server_name}")
        openssl(
            "req", *curve[:-2], "-subj", f"/CN={name}", *alternative, "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy", "-days", "2")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
