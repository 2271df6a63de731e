"""The world outside, on loopback: a mail server, a gateway, and somebody who never answers."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.installation import free_ports

PASSWORD = "mail-password"


class Mailbox:
    """What a mail server took, and how it is to refuse."""

    def __init__(self, rcpt: str = "250 OK", data: str = "250 OK") -> None:
        self.rcpt, self.data = rcpt, data
        self.envelopes: list[Envelope] = []
        self.encrypted: list[bool] = []

    @property
    def mails(self) -> list[EmailMessage]:
        return [
            message_from_bytes(cast(bytes, e.content), policy=policy.default)
            for e in self.envelopes
        ]

    async def handle_RCPT(  # noqa: N802 - the server's own name for it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(  # noqa: N802 - the same
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.data.startswith("250"):
            self.envelopes.append(envelope)
            transport = server.transport
            self.encrypted.append(bool(transport and transport.get_extra_info("ssl_object")))
        return self.data


def _knows(server: SMTP, session: Session, envelope: Envelope, how: str, given: Any) -> AuthResult:
    login = cast(LoginPassword, given)
    return AuthResult(success=login.password == PASSWORD.encode(), handled=False)


@contextmanager
def mail_server(
    box: Mailbox, *, certificate: Path | None = None, tls: bool = False, auth: bool = False
) -> Iterator[int]:
    """A mail server; with a certificate it encrypts: by STARTTLS, or from the start."""
    (port,) = map(int, free_ports(1))
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    more: dict[str, Any] = {"ssl_context" if tls else "tls_context": context}
    if auth:
        more |= {"authenticator": _knows, "auth_required": True, "require_starttls": True}
    server = Controller(box, hostname="127.0.0.1", port=port, **more)
    server.start()
    try:
        yield port
    finally:
        server.stop()


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


class Calls:
    """What a gateway was sent, and what it answers."""

    def __init__(self, status: int = 200, answer: Any = None, **headers: str) -> None:
        self.status, self.answer, self.headers = status, answer, headers
        self.bodies: list[bytes] = []
        self.sent_headers: list[dict[str, str]] = []
        self.lock = threading.Lock()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]


@contextmanager
def gateway(calls: Calls) -> Iterator[str]:
    """A gateway for text messages; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with calls.lock:
                calls.bodies.append(body)
                calls.sent_headers.append({k.lower(): v for k, v in self.headers.items()})
            content = json.dumps(calls.answer).encode()
            self.send_response(calls.status)
            for name, value in calls.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/send"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@contextmanager
def silence() -> Iterator[int]:
    """A port on which somebody listens and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield int(listening.getsockname()[1])
