# SPDX-License-Identifier: Apache-2.0
"""The local protocols spoken by hand: policyd's and the mover's frames, kithd's JSON lines."""
import array
import json
import os
import pathlib
import socket
import struct
import subprocess
import threading

MAGIC = 0x4854494B
HEAD = struct.Struct("<IHHIII")
REPLY, ERROR, EVENT = 1, 2, 4
OP = {"status": 1, "init": 16, "pair-open": 18, "pair-close": 19, "pair-status": 20,
      "pair-confirm": 21, "peers": 22, "policy-set": 26, "move-request": 29,
      "grant-take": 128, "journal": 129, "custody-inbox": 133}
RECORD = {"prep": 0, "released": 1, "done": 3, "recv": 5, "prepared": 6, "own": 7}
STATEMENT = {1: "vote", 2: "release", 3: "abort", 4: "ack", 5: "nack"}


class Refused(Exception):
    """What the other side answered instead: code number and sentence."""

    def __init__(self, code: int, text: str):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Reader:
    """A cursor over little-endian fields."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if self.at + n > len(self.data):
            raise ValueError("message too short")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form: str) -> int:
        """One integer in struct's notation."""
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self) -> str:
        """u16 length and UTF-8."""
        return self.take(self.number("H")).decode()

    def blob(self) -> bytes:
        """u32 length and bytes."""
        return self.take(self.number("I"))


def text(value: str) -> bytes:
    """The wire form of a text."""
    data = value.encode()
    return struct.pack("<H", len(data)) + data


def blob(value: bytes) -> bytes:
    """The wire form of a blob."""
    return struct.pack("<I", len(value)) + value


def frame(op: int, flags: int, serial: int, body: bytes) -> bytes:
    """One SOCK_SEQPACKET record."""
    return HEAD.pack(MAGIC, 1, op, flags, serial, len(body)) + body


def unframe(data: bytes) -> tuple[int, int, int, bytes]:
    """op, flags, serial and body of a record."""
    magic, version, op, flags, serial, length = HEAD.unpack_from(data)
    if magic != MAGIC or version != 1 or length != len(data) - HEAD.size:
        raise ValueError("broken frame")
    return op, flags, serial, data[HEAD.size:]


class Policyd:
    """What a person asks of policyd."""

    def __init__(self, path: str):
        self.path = path
        self._sock: socket.socket | None = None

    def _ask(self, message: bytes) -> bytes:
        """On the connection that there is: a pairing window ends with it."""
        if not self._sock:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._sock.settimeout(60)
            self._sock.connect(self.path)
        self._sock.send(message)
        return self._sock.recv(65536)

    def call(self, name: str, body: bytes = b"") -> Reader:
        """Sends one request and returns the body of its reply."""
        message, reply = frame(OP[name], 0, 1, body), b""
        try:
            reply = self._ask(message)
        except OSError:
            pass
        if not reply:       # policyd was restarted
            self._sock = None
            reply = self._ask(message)
        _, flags, _, reply = unframe(reply)
        reader = Reader(reply)
        if flags & ERROR:
            raise Refused(reader.number("H"), reader.text())
        return reader

    def pair_status(self) -> dict:
        """PAIR_STATUS."""
        r = self.call("pair-status")
        status = {key: bool(r.number("B")) for key in ("open", "waiting", "done")}
        status.update(code=r.text(), peer_name=r.text(), peer_owner=r.text())
        status.update(peer_role=r.number("B"), peer_tier=r.number("B"), seconds=r.number("I"))
        status.update(error=r.number("H"), error_text=r.text(), hash=r.take(32))
        return status


class Worker:
    """What a worker of kith-mover asks of policyd, on one connection and as its user.

    Records go through a small process, as policyd goes by the user id of the one who connects.
    """

    CODE = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
s.connect(sys.argv[1])
for line in sys.stdin:
    s.send(bytes.fromhex(line))
    print(s.recv(65536).hex(), flush=True)
"""

    def __init__(self, path: str, hid: bytes, source: bool):
        self.hid = hid
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", self.CODE, path], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        user="kith-mover", group="kith-mover", extra_groups=[],
                                        cwd="/")
        self.call("grant-take", hid + bytes([source]))

    def call(self, name: str, body: bytes) -> Reader:
        """One request and the body of its reply."""
        self.process.stdin.write(frame(OP[name], 0, 1, body).hex() + "\n")
        self.process.stdin.flush()
        _, flags, _, reply = unframe(bytes.fromhex(self.process.stdout.readline()))
        reader = Reader(reply)
        if flags & ERROR:
            raise Refused(reader.number("H"), reader.text())
        return reader

    def journal(self, record: str, proof: bytes = b"", copy_gone: bool = False) -> bytes:
        """Writes a custody record; returns the statement that it obliges to."""
        return self.call("journal", self.hid + bytes([RECORD[record]]) + blob(proof)
                         + bytes([copy_gone])).blob()

    def inbox(self) -> bytes:
        """The other device's statement that came by way of kithd, or nothing."""
        answer = self.call("custody-inbox", self.hid)
        answer.take(1)      # its kind, which the statement says too
        return answer.blob()

    def stop(self) -> None:
        """As if it ended."""
        self.process.stdin.close()
        self.process.wait(10)


def kind(statement: bytes) -> str:
    """What a custody statement says."""
    return STATEMENT[statement[16]]


class Control:
    """kithd's control socket."""

    def __init__(self, path: str):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.file = self.sock.makefile("rwb")
        self.last, self.events = 0, []

    def call(self, op: str, **members) -> dict:
        """The whole reply; events that come before it are kept."""
        self.last += 1
        self.file.write(json.dumps({"id": self.last, "op": op, **members}).encode() + b"\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "event" in reply:
                self.events.append(reply)
            elif reply["id"] == self.last:
                return reply

    def close(self) -> None:
        """Hangs up."""
        self.file.close()
        self.sock.close()

    def raw(self, line: bytes) -> dict:
        """Sends bytes as they are, returns the next object that is no event."""
        self.file.write(line)
        self.file.flush()
        while "event" in (reply := json.loads(self.file.readline())):
            self.events.append(reply)
        return reply


class Mover(threading.Thread):
    """A stand-in for kith-mover: agrees to everything (or refuses one op), keeps descriptors."""

    def __init__(self, path: str):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pathlib.Path(path).unlink(missing_ok=True)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(8)
        self.sock, self.calls, self.fds, self.refuse = None, [], [], {}
        self.arrived = threading.Condition()
        self.start()

    def run(self) -> None:
        """Serves one connection after the other."""
        try:
            while True:
                self.sock, _ = self.listener.accept()
                while self._serve():
                    pass
        except OSError:
            pass

    def _serve(self) -> bool:
        data, ancillary, _, _ = self.sock.recvmsg(65536, 256)
        if not data:
            return False
        op, _, serial, body = unframe(data)
        with self.arrived:
            for level, kind, raw in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(raw)
                    self.fds.extend(socket.socket(fileno=fd) for fd in fds)
            self.calls.append((op, body))
            self.arrived.notify_all()
        if op in self.refuse:
            code, why = self.refuse[op]
            answer = struct.pack("<H", code) + text(why)
            self.sock.send(frame(op, REPLY | ERROR, serial, answer))
        else:
            self.sock.send(frame(op, REPLY, serial, b"\0\0" if op in (4, 5) else b""))
        return True

    def wait(self, op: int, seconds: float = 10) -> bytes:
        """The body of the next request of this kind; it is taken out of the list."""
        def found() -> tuple | None:
            return next((call for call in self.calls if call[0] == op), None)
        with self.arrived:
            if not self.arrived.wait_for(found, seconds):
                raise TimeoutError(f"the mover was not asked for {op}")
            call_ = found()
            self.calls.remove(call_)
            return call_[1]

    def event(self, op: int, body: bytes) -> None:
        """Sends an unsolicited message."""
        self.sock.send(frame(op, EVENT, 0, body))

    def stop(self) -> None:
        """As if it crashed."""
        for sock in (self.sock, self.listener):
            if sock:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                sock.close()


def progress(hid: bytes, source: bool, phase: int, error: tuple[int, str] = (0, ""),
             peer: bytes = bytes(32)) -> bytes:
    """A mover_progress record."""
    return (hid + bytes(16) + peer + text("work") + text("desktop") + bytes([source, False, phase])
            + struct.pack("<8Q", 1, 2, 3, 4, 5, 6, 2**64 - 1, 0)
            + struct.pack("<H", error[0]) + text(error[1]))


def rule(effect: int, actions: int, line: str) -> bytes:
    """A compiled policy of one rule for everybody and everything."""
    return (struct.pack("<BHB", 1, 1, effect) + struct.pack("<4I", 0, actions, 0, 0) + text("")
            + struct.pack("<IBI", 0, 0, 0) + text(line))
