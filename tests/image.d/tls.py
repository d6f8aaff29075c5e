"""Servers with a certificate of a CA that nobody knows, in the place of Amazon's and of a database's."""

import pathlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable

from pod import enter, within

AMAZON = "agcod-v2-gamma.amazon.com"
DATABASE = "database.example"
GATEWAY_PORT = 8081
# The protocol's request for TLS: length 8, code 80877103. The server answers with one letter.
TLS_REQUEST = struct.pack("!ii", 8, 80877103)


def make_certificates(folder: pathlib.Path) -> None:
    """A CA, and a certificate of it for both names, good for two days. The keys are thrown away with the folder."""
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "names").write_text(f"subjectAltName=DNS:{AMAZON},DNS:{DATABASE}\n")
    for command in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=Noshi's test CA"],
        ["req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        + ["-extfile", "names", "-out", "server.crt"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, capture_output=True, timeout=30, check=True)


class Server:
    """Listens in the network of a process, and counts who believed its certificate."""

    def __init__(self, pid: int, port: int, certificates: pathlib.Path, speak: Callable[["Server", socket.socket], None]):
        self.pid = pid
        self.speak = speak
        self.believed: list[str | None] = []
        self.refused: list[str] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
        self.context.sni_callback = self.hear_name
        self.listener = within(pid, lambda: socket.create_server(("127.0.0.1", port)))
        threading.Thread(target=self.accept, daemon=True).start()

    def hear_name(self, connection: ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        connection.asked_for = name

    def accept(self) -> None:
        while True:
            connection, _address = self.listener.accept()
            threading.Thread(target=self.speak, args=(self, connection), daemon=True).start()

    def secure(self, connection: socket.socket) -> ssl.SSLSocket | None:
        """The handshake. It is over for us when the client has said that it is content, or why it is not."""
        try:
            secured = self.context.wrap_socket(connection, server_side=True)
        except (ssl.SSLError, OSError) as error:
            self.refused.append(str(error))
            return None
        self.believed.append(getattr(secured, "asked_for", None))
        return secured


def speak_as_amazon(server: Server, connection: socket.socket) -> None:
    """Hands everything on to the gateway in the same network."""
    enter(server.pid)
    secured = server.secure(connection)
    if secured is None:
        return
    plain = socket.create_connection(("127.0.0.1", GATEWAY_PORT))
    back = threading.Thread(target=pump, args=(plain, secured), daemon=True)
    back.start()
    pump(secured, plain)


def pump(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def speak_as_database(server: Server, connection: socket.socket) -> None:
    """Agrees to TLS, and hangs up after it: what follows is no matter of the image."""
    if connection.recv(8) == TLS_REQUEST:
        connection.sendall(b"S")
        if secured := server.secure(connection):
            secured.close()
    connection.close()
