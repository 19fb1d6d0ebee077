"""Certificates for what others secure their transports with: made for the occasion, never a secret of netstructer's.

Floor: ROOF.  Law: no private key outlives the folder that it is written to.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

__all__ = ["write_certificates"]

AUTHORITY = "netstructer bench authority"
DAYS = 30


def write_certificates(folder: Path) -> dict[str, str]:
    """Make an authority, a certificate for localhost and one for a client, all ECDSA on P-256; return their paths.

    The names are authority, certificate, private_key, client_certificate, client_key.
    """
    authority_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    authority = _builder(AUTHORITY, authority_key)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    authority = authority.add_extension(_usage(signs_certificates=True), critical=True)
    own_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = authority.add_extension(own_id, critical=False)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server = _leaf("localhost", server_key, authority_key, ExtendedKeyUsageOID.SERVER_AUTH)
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    client = _leaf("bench client", client_key, authority_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return {
        "authority": _write(folder, "authority", _signed(authority, authority_key)),
        "certificate": _write(folder, "certificate", _signed(server, authority_key)),
        "private_key": _write(folder, "private_key", _private(server_key)),
        "client_certificate": _write(folder, "client_certificate", _signed(client, authority_key)),
        "client_key": _write(folder, "client_key", _private(client_key)),
    }


def _leaf(
    name: str, key: ec.EllipticCurvePrivateKey, authority_key: ec.EllipticCurvePrivateKey, purpose: ObjectIdentifier
) -> x509.CertificateBuilder:
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = _builder(name, key).add_extension(authority_id, critical=False)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)


def _builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(AUTHORITY))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + DAYS * day)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(folder: Path, name: str, content: bytes) -> str:
    path = folder / f"{name}.pem"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return str(path)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
