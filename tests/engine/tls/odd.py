"""Makes the keys and self-signed certificates in odd/, with `openssl`: what is out in the world and not what webpki or ring take.

RSA keys of unusual sizes, and a certificate of X.509 version 1, which has no extensions at all. For tests only: the keys are public.
"""

import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "odd"
DAYS = "26000"


def openssl(*args):
    subprocess.run(["openssl", *args], cwd=FOLDER, check=True, capture_output=True)


FOLDER.mkdir(exist_ok=True)
for bits in (1024, 2056, 8192):
    name = f"rsa{bits}"
    openssl("req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-days", DAYS, "-subj", "/CN=localhost",
            "-keyout", f"{name}.key", "-out", f"{name}.crt")
openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
        "-keyout", "version1.key", "-out", "version1.csr")
openssl("x509", "-req", "-in", "version1.csr", "-signkey", "version1.key", "-days", DAYS, "-out", "version1.crt")
(FOLDER / "version1.csr").unlink()
