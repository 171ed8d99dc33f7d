"""An SDK server of Agones for tests/engine/cases/agones.gd, after the published description of its REST interface: the calls of a
game server's life, and its states. `/test/...` stands for what happens outside: an allocation, and a failing SDK server."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from case import PORT, check, run

# The game server starts before it.
LATE = 1.5
MOVES = {"/ready": "Ready", "/allocate": "Allocated", "/shutdown": "Shutdown"}


class Sdk:
    state = "Scheduled"
    fails = False
    calls = []
    faults = []
    over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/test/calls":
            self.answer(200, {"calls": Sdk.calls, "faults": Sdk.faults, "state": Sdk.state})
        elif self.path == "/gameserver":
            ports = [{"name": "game", "port": 7123}]
            status = {"state": Sdk.state, "address": "192.0.2.7", "ports": ports}
            self.answer(200, {"object_meta": {"name": "game-x1"}, "status": status})
        else:
            self.fault(404, "no such path")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path.startswith("/test/"):
            self.of_the_test()
            return
        if body != b"{}" or self.headers["Content-Type"] != "application/json":
            self.fault(400, f"body {body!r}, type {self.headers['Content-Type']}")
        elif Sdk.fails:
            self.answer(500, {"error": "the sidecar has no connection"})
        elif self.path == "/health" or self.path in MOVES:
            Sdk.calls.append([self.path, time.monotonic()])
            Sdk.state = MOVES.get(self.path, Sdk.state)
            self.answer(200, {})
        else:
            self.fault(404, "no such path")

    def of_the_test(self):
        if self.path == "/test/allocate":
            Sdk.state = "Allocated"
        elif self.path == "/test/over":
            Sdk.over.set()
        else:
            Sdk.fails = self.path == "/test/fail"
        self.answer(200, {})

    def fault(self, status, text):
        Sdk.faults.append(f"{self.command} {self.path}: {text}")
        self.answer(status, {})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    time.sleep(LATE)
    with ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        check(Sdk.over.wait(50), "the case did not end")
        server.shutdown()
    check(not Sdk.faults, f"{Sdk.faults}")


run(main)
