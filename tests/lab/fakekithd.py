# SPDX-License-Identifier: Apache-2.0
"""A kithd that only talks: it answers what `kith` on the full screen asks with facts that a test
makes up, so that no lab is needed to look at a screen."""
import json
import os
import pathlib
import socket
import threading

WORK = "00112233445566778899aabbccddeeff"


def vm(number: int, name: str | None = None, **more: object) -> dict:
    """A virtual machine in Kith's care, which runs here."""
    return {"uuid": f"{number:032x}", "name": name or f"vm {number}", "known": True,
            "defined": True, "policy_version": 1, "here": True, "state": "running",
            "memory_bytes": 1 << 30, "hid": None, **more}


def device(number: int, name: str | None = None, **more: object) -> dict:
    """A paired device of the owner's, trusted and in sight."""
    return {"id": f"{number:064x}", "name": name or f"device {number}", "role": "desktop",
            "paired": True, "own": True, "person": "Tom", "person_role": "owner",
            "verdict": "trusted", "tier": "software", "reason": None, "nearby": True,
            "age_ms": 10, "receive": False, **more}


class FakeKithd:
    """Listens below RUN/kithd; change `vms` and `devices` at any time."""

    def __init__(self, run: pathlib.Path):
        self.vms: list[dict] = []
        self.devices: list[dict] = []
        self.jobs: list[dict] = []
        self.asked: list[str] = []
        self._path = run / "kithd" / "control.sock"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._clients: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Begins to listen."""
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def stop(self) -> None:
        """Goes away, with all connections."""
        for end in [self._listener, *self._clients]:
            try:
                if end:
                    # Also what a thread waits for on it ends by that.
                    end.shutdown(socket.SHUT_RDWR)
                    end.close()
            except OSError:
                pass
        self._listener, self._clients = None, []
        self._path.unlink(missing_ok=True)

    def tell(self, event: str, **members: object) -> None:
        """An event to whoever listens."""
        for client in list(self._clients):
            client.sendall(json.dumps({"event": event, **members}).encode() + b"\n")

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            for line in client.makefile():
                request = json.loads(line)
                self.asked.append(request["op"])
                reply = {"id": request["id"], "ok": True, "result": self._answer(request["op"])}
                client.sendall(json.dumps(reply).encode() + b"\n")
        except (OSError, ValueError):
            pass
        if client in self._clients:
            self._clients.remove(client)

    def _answer(self, op: str) -> dict:
        return {"status": {"name": "laptop", "role": "laptop", "owner": "Tom", "state": "ready",
                           "detail": "", "error": None, "mover": True},
                "vms": {"vms": self.vms, "error": None, "mover_error": None},
                "devices": {"devices": self.devices, "error": None},
                "jobs": {"jobs": self.jobs}}.get(op, {})
