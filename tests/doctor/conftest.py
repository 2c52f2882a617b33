"""The doctor as a person runs it, and servers on this machine that are not Azure."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.__main__ import main
from dev.emulator import Emulators
from tests.told import TOKEN_START


@dataclass(frozen=True)
class Visit:
    """What the doctor said: its exit code, and its document."""

    code: int
    document: dict[str, Any]

    def rung(self, name: str, of: str | None = None) -> dict[str, Any]:
        """The rung of this name, which there must be once."""
        (rung,) = (one for one in self.document["rungs"] if one["name"] == name and of in (None, one["of"]))
        return dict(rung)

    @property
    def broken(self) -> dict[str, Any]:
        """The one broken rung."""
        (rung,) = (one for one in self.document["rungs"] if one["state"] == "failed")
        return dict(rung)

    @property
    def states(self) -> dict[str, str]:
        """How each rung stands, where there is one of a name."""
        return {one["name"]: one["state"] for one in self.document["rungs"]}

    @property
    def commands(self) -> list[str]:
        """What mends the broken rung."""
        return [mend["command"] for mend in self.broken["mend"]]


Doctor = Callable[..., Visit]


@pytest.fixture
def laptop(azure: Emulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings of its own, in a shell whose environment points at the emulators."""
    monkeypatch.chdir(tmp_path)
    for name, value in azure.environ().items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def doctor(laptop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs it with these settings over those of the emulators; an empty one counts as absent."""

    def run(*words: str, **environ: str) -> Visit:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", "--json", "--no-emulators", *words])
        out, error = capsys.readouterr()
        assert error == ""
        assert TOKEN_START not in out
        return Visit(code, json.loads(out))

    return run


@contextmanager
def served(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on this machine that does this with each connection; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                handle(self.request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def answering() -> Iterator[Callable[..., str]]:
    """Starts servers that give every request the same answer; returns their address."""
    with ExitStack() as running:

        def start(status: int, body: str = "{}", **headers: str) -> str:
            lines = [f"HTTP/1.1 {status} Said", "content-type: application/json", f"content-length: {len(body)}"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            answer = "\r\n".join([*lines, "connection: close", "", body]).encode()

            def handle(connection: socket.socket) -> None:
                if connection.recv(65_536):
                    connection.sendall(answer)

            return f"http://127.0.0.1:{running.enter_context(served(handle))}"

        yield start


@dataclass(frozen=True)
class Certified:
    """A TLS server, and the file with its own certificate."""

    url: str
    certificate: Path


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Callable[..., Certified]]:
    """Starts servers with a certificate that they signed themselves; they shake hands and say no more."""
    with ExitStack() as running:

        def start(*, address: str = "127.0.0.1", days: int = 1) -> Certified:
            path, key = _certificate(tmp_path, address, days)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path, key)

            def handle(connection: socket.socket) -> None:
                connection.settimeout(5)
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)

            return Certified(f"https://127.0.0.1:{running.enter_context(served(handle))}", path)

        yield start


def _certificate(folder: Path, address: str, days: int) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=5))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path, key_path
