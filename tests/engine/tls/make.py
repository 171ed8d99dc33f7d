"""Makes the certificates and keys of tests/engine/cases/tls_certificates.gd, with the package `cryptography`.

A root, an intermediate authority, and a leaf of it for "localhost" for each kind of key. They are for tests only: their keys are
public, and nobody trusts the root.
"""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
FORMATS = {"pkcs8": PrivateFormat.PKCS8, "traditional": PrivateFormat.TraditionalOpenSSL}
KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
}
START, END = datetime(2020, 1, 1), datetime(2100, 1, 1)


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate(subject, key, issuer, issuer_key, start=START, end=END, authority=False):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .public_key(key.public_key())
        .issuer_name(name(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if not authority:
        names = x509.SubjectAlternativeName([x509.DNSName(subject)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)


root_key, middle_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
files = {
    "root.crt": certificate("Test root", root_key, "Test root", root_key, authority=True),
    "intermediate.crt": certificate("Test middle", middle_key, "Test root", root_key, authority=True),
}
for kind, key in KEYS.items():
    files[f"{kind}.crt"] = certificate("localhost", key, "Test middle", middle_key)
    files[f"{kind}.chain.crt"] = files[f"{kind}.crt"] + files["intermediate.crt"]
    for form, private_format in FORMATS.items():
        files[f"{kind}.{form}.key"] = key.private_bytes(Encoding.PEM, private_format, NoEncryption())
past, future = datetime(2021, 1, 1), datetime(2099, 1, 1)
leaf = ("localhost", KEYS["p256"], "Test middle", middle_key)
files["expired.crt"] = certificate(*leaf, START, past)
files["future.crt"] = certificate(*leaf, future, END)
for file, content in files.items():
    (HERE / file).write_bytes(content)
