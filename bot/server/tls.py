"""A certificate in, `POST /admission/validate` over TLS out: API servers speak to webhooks in no other way.

The certificate is read again when its file changes, as it does where cert-manager renews it.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from bot.errors import UsageError
from bot.server.admission import LARGEST

PATH = "/admission/validate"
SECONDS = 30.0
MOST = 64
Answer = Callable[[bytes], tuple[int, dict[str, Any]]]


def serve(listen: tuple[str, int], certificate: tuple[str, str], answer: Answer) -> Listener:
    """Answer reviews there from now on. `certificate`: files of the chain and of the key. Raises UsageError."""
    host, port = listen
    try:
        listener = Listener((host, port), certificate, answer)
    except ssl.SSLError as error:
        raise UsageError(f"NETREACH_TLS_CERT_FILE, NETREACH_TLS_KEY_FILE: {error.reason or error}") from None
    except OSError as error:
        raise UsageError(f"NETREACH_ADMISSION_LISTEN: {error.filename or f'{host}:{port}'}: {error.strerror or error}") from None
    threading.Thread(target=listener.serve_forever, name="admission", daemon=True).start()
    return listener


class Listener(ThreadingHTTPServer):
    """The server; one thread for each connection, and no more of these than MOST."""

    daemon_threads = True

    def __init__(self, listen: tuple[str, int], certificate: tuple[str, str], answer: Answer) -> None:
        self.answer = answer
        self._certificate = certificate
        self._free = threading.BoundedSemaphore(MOST)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._read: tuple[float, ...] = ()
        self._renew()
        super().__init__(listen, _Handler)

    def _renew(self) -> None:
        times = tuple(os.stat(file).st_mtime for file in self._certificate)
        if times != self._read:
            self._context.load_cert_chain(*self._certificate)
            self._read = times

    def get_request(self) -> tuple[socket, Any]:
        """The next connection; its handshake is left to its thread, so that nobody waits for a slow one."""
        connection, address = super().get_request()
        with suppress(OSError):  # in the middle of a renewal: the earlier one is still good
            self._renew()
        connection.settimeout(SECONDS)
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is one left."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The whole connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a connection that breaks off is the business of who broke it off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "netreach", ""
    server: Listener
    timeout = SECONDS

    def do_GET(self) -> None:  # noqa: N802
        self._say(200, {"status": "ok"}) if self.path == "/healthz" else self._say(404, {"error": "not here"})

    def do_POST(self) -> None:  # noqa: N802
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or self.headers.get("Transfer-Encoding"):
            return self._refuse(411, "say how long the body is")
        if len(length) > 12 or int(length) > LARGEST:
            return self._refuse(413, "too large")
        body = self.rfile.read(int(length))
        if self.path.partition("?")[0] != PATH:
            return self._say(404, {"error": "not here"})
        if self.headers.get_content_type() != "application/json":
            return self._say(415, {"error": "the content type is not application/json"})
        return self._say(*self.server.answer(body))

    def _refuse(self, status: int, words: str) -> None:
        # The body is not read, so nothing more can be understood on this connection.
        self.close_connection = True
        self._say(status, {"error": words})

    def _say(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        return
