"""The workspace's private certificate authority: P-256 keys, one role per certificate, short lives."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from foundation.errors import Invalid
from foundation.identity import ROLES, role_uri, server_name

AUTHORITY_LIFETIME = timedelta(days=5 * 365)
CERTIFICATE_LIFETIME = timedelta(days=7)
CERTIFICATE_LIFETIME_MAX = timedelta(days=397)
"""What browsers still accept; a certificate cannot be revoked, it can only be short-lived."""
_BACKDATED = timedelta(minutes=5)  # clocks of two machines differ
_OWN_NAMES = server_name("")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a certificate says. `role` and `name` are empty in one that is not of ours."""

    role: str
    name: str
    serial: str
    begins_at: datetime
    ends_at: datetime
    fingerprint: str
    """SHA-256 of the whole certificate, hexadecimal, to be compared by eye."""

    def half_life_at(self) -> datetime:
        """When a new one is due."""
        return self.begins_at + (self.ends_at - self.begins_at) / 2


@dataclass(frozen=True, slots=True)
class Authority:
    """The key that signs, and the certificate by which everybody knows its signatures; both as PEM."""

    key: bytes
    certificate: bytes

    @classmethod
    def make(cls, workspace_key: str, *, now: datetime, signer: bytes | None = None) -> Authority:
        """A new authority for one workspace (`Workspace.key12`).

        With the key of one whose certificate was lost as `signer`, a new certificate of that: what it issued stays
        good. Raises Invalid when that is no such key.
        """
        key = ec.generate_private_key(ec.SECP256R1()) if signer is None else _signer(signer)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Quantum authority {workspace_key}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(_pem(key), certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def whole(self) -> bool:
        """Whether the certificate is the one of the key."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate)
        except ValueError:
            return False
        return certificate.public_key() == _signer(self.key).public_key()

    def issue(
        self,
        workspace_key: str,
        role: str,
        name: str,
        *,
        now: datetime,
        hosts: Sequence[str] = (),
        lifetime: timedelta = CERTIFICATE_LIFETIME,
    ) -> bytes:
        """An identity: key, certificate and the authority's certificate in one PEM text.

        `hosts` are names and addresses by which a browser may reach it, beside the role's own name. Raises Invalid for
        an unknown role, a name that is none, or a lifetime that is not between a minute and 397 days.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._certify(workspace_key, role, name, key.public_key(), now=now, hosts=hosts, lifetime=lifetime)
        return _pem(key) + signed

    def answer(
        self,
        workspace_key: str,
        request: bytes,
        role: str,
        name: str,
        *,
        now: datetime,
        lifetime: timedelta = CERTIFICATE_LIFETIME,
    ) -> bytes:
        """The certificate for a key that stays where it was made, and the authority's own, in one PEM text.

        Of the request (PKCS #10, PEM) nothing but the key is taken: who it is, is ours to say. Raises Invalid, as
        `issue` does, and for what is no request, of another kind of key, or not signed with its own key.
        """
        return self._certify(workspace_key, role, name, _requested_key(request), now=now, hosts=(), lifetime=lifetime)

    def _certify(
        self,
        workspace_key: str,
        role: str,
        name: str,
        key: ec.EllipticCurvePublicKey,
        *,
        now: datetime,
        hosts: Sequence[str],
        lifetime: timedelta,
    ) -> bytes:
        _require_issuable(role, name, lifetime)
        signer = _signer(self.key)
        issuer = x509.load_pem_x509_certificate(self.certificate)
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(role_uri(workspace_key, role, name)),
            x509.DNSName(server_name(role)),
            *map(_general_name, hosts),
        ]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{role} {name}")]))
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + self.certificate


def make_key() -> bytes:
    """A new private key, PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def request_for(key: bytes) -> bytes:
    """A request for a certificate of this key: what is sent in its place. Raises Invalid for what is no such key."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(_signer(key), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def describe(pem: bytes) -> Certificate:
    """What the first certificate in a PEM text says; raises Invalid when there is none."""
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError) as error:
        raise Invalid("not_a_certificate", "There is no certificate in that text.") from error
    role, name = _role_and_name(certificate)
    return Certificate(
        role=role,
        name=name,
        serial=f"{certificate.serial_number:x}",
        begins_at=certificate.not_valid_before_utc.astimezone(UTC),
        ends_at=certificate.not_valid_after_utc.astimezone(UTC),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _require_issuable(role: str, name: str, lifetime: timedelta) -> None:
    if role not in ROLES:
        raise Invalid("unknown_role", f"“{role}” is no role.", remedy=f"There are {', '.join(sorted(ROLES))}.")
    if not _NAME.fullmatch(name):
        raise Invalid("bad_name", f"“{name}” is no name: small letters, digits, - and _, at most 64 of them.")
    if not timedelta(minutes=1) <= lifetime <= CERTIFICATE_LIFETIME_MAX:
        raise Invalid("bad_lifetime", f"A certificate lives from a minute to {CERTIFICATE_LIFETIME_MAX.days} days.")


def _signer(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        signer = serialization.load_pem_private_key(key, password=None)
    except ValueError as error:
        raise Invalid("not_a_key", "The authority's key cannot be read.") from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise Invalid("not_a_key", "The authority's key is of another kind.")
    return signer


def _requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    try:
        asked = x509.load_pem_x509_csr(request)
        key = asked.public_key()
        signed = asked.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid("not_a_request", "That is no request for a certificate.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1) or not signed:
        raise Invalid("not_a_request", "A request for a certificate is for a P-256 key, and signed with that key.")
    return key


def _general_name(host: str) -> x509.GeneralName:
    if host.lower().rstrip(".").endswith(_OWN_NAMES):
        raise Invalid("bad_host", f"“{host}” is the name of a role; each certificate has the one of its own.")
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass  # then it is a name
    try:
        return x509.DNSName(host.encode("idna").decode())
    except (UnicodeError, ValueError) as error:
        raise Invalid("bad_host", f"“{host}” is neither a host name nor an address.") from error


def _role_and_name(certificate: x509.Certificate) -> tuple[str, str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "", ""
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        scheme, _, rest = uri.partition("://")
        parts = rest.split("/")
        if scheme == "quantum" and len(parts) == 3:
            return parts[1], parts[2]
    return "", ""


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
