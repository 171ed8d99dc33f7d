"""The client of tests/engine/cases/tls_resume.gd: Python's own TLS, and a WebSocket handshake by hand."""

import socket
import ssl

from case import TIMEOUT, PORT, check, check_equal, run

UPGRADE = (
    "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# One text message.
WELCOME = b"\x81\x07welcome"
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def context_for(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def visit(context, path, session=None):
    """Returns whether the session was resumed, and the one that can be resumed next."""
    plain = socket.create_connection(("127.0.0.1", PORT), timeout=TIMEOUT)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as stream:
        stream.sendall(UPGRADE.format(path).encode())
        answer = b""
        while WELCOME not in answer:
            part = stream.recv(4096)
            check(part, f"the connection ended after {answer!r}")
            answer += part
        check(answer.startswith(b"HTTP/1.1 101 "), f"answer {answer!r}")
        check_equal(stream.selected_alpn_protocol(), "http/1.1", "ALPN")
        # With TLS 1.3 what resumes it comes after the handshake, and has been read by now.
        return stream.session_reused, stream.session


def main():
    for version in VERSIONS:
        context = context_for(version)
        reused, session = visit(context, "/")
        check(not reused, f"{version}: the first connection resumes nothing")
        for _ in range(2):
            reused, session = visit(context, "/", session)
            check(reused, f"{version}: the session is resumed")
        reused, session = visit(context, "/replace", session)
        check(reused, f"{version}: the session is resumed for the last time")
        reused, session = visit(context, "/", session)
        check(not reused, f"{version}: a new certificate has to be looked at")
    visit(context, "/end")


run(main)
