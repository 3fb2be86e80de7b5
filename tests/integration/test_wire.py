#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile input against the live daemons: local sockets, the peer port, TLS, WebSocket, messages.

The hostile peer knows its own real device key (taken from its kith-policyd's memory), so it gets as
far as a paired but malicious device can. Afterwards all daemons are the same processes, and a
hand-off works.
"""
import array
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from lab import REPOSITORY, Lab     # noqa: E402  (sets the module path)
import kithlab  # noqa: E402
import hostile  # noqa: E402
from config import DAEMONS  # noqa: E402
from device import Device   # noqa: E402
from kithlab import Move, kith  # noqa: E402
from shell import as_user   # noqa: E402
from tap import Tap     # noqa: E402

MAGIC, VERSION = 0x4854494B, 1
CODES = re.findall(r'\[KCODE_\w+\] = "([a-z-]+)"', (REPOSITORY / "base/kerr.c").read_text())


# -- SEQPACKET ------------------------------------------------------------------------------------


def frame(op: int, body: bytes = b"", magic: int = MAGIC, version: int = VERSION, flags: int = 0,
          length: int | None = None) -> bytes:
    """One message of base/ipc.h."""
    return struct.pack("<IHHIII", magic, version, op, flags, 7,
                       len(body) if length is None else length) + body


def ask(path: pathlib.Path, record: bytes, fds: int = 0) -> str:
    """Sends one record; "ok", the refusal's code, or "hung up"."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        try:
            files = [os.open("/dev/null", os.O_RDONLY) for _ in range(fds)]
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] * bool(fds)
            sock.sendmsg([record], control)
            for fd in files:
                os.close(fd)
            reply = sock.recv(65536)
        except ConnectionError:
            return "hung up"
        if not reply:
            return "hung up"
        flags = struct.unpack("<IHHIII", reply[:20])[3]
        return CODES[struct.unpack("<H", reply[20:22])[0]] if flags & 2 else "ok"


def ipc_socket(tap: Tap, path: pathlib.Path, user: str, good: tuple[int, bytes], other_op: int,
               name: str) -> None:
    """`good` is answered before and after everything that is not; other_op is not this user's."""
    op, body = good
    cases = [
        ("an empty record", b"", "hung up"), ("half a header", frame(op)[:9], "hung up"),
        ("a wrong magic", frame(op, body, magic=1), "hung up"),
        ("a wrong version", frame(op, body, version=2), "hung up"),
        ("a length beyond the record", frame(op, body, length=len(body) + 1), "hung up"),
        ("a huge length", frame(op, body, length=0xFFFFFFFF), "hung up"),
        ("bytes behind the body", frame(op, body) + b"x", "hung up"),
        ("a record of 64 KiB and more", frame(op, bytes(65536)), "hung up"),
        ("a reply that nobody asked for", frame(op, body, flags=1), "hung up"),
        ("an unknown request", frame(999, body), "bad-message"),
        ("a body that is too long", frame(op, bytes(60000)), "bad-message"),
        ("another's request", frame(other_op, body), "not-allowed"),
    ]
    tap.equal(as_user(user, lambda: ask(path, frame(op, body))), "ok", f"{name}: a good request")
    for what, record, wanted in cases:
        got = as_user(user, lambda r=record: ask(path, r))
        tap.equal(got, wanted, f"{name}: {what}: {wanted}")
    got = as_user(user, lambda: ask(path, frame(op, body), 1))
    tap.equal(got, "bad-message", f"{name}: a descriptor that is not wanted: bad-message")
    got = as_user(user, lambda: ask(path, frame(op, body), 3))
    tap.equal(got, "hung up", f"{name}: three descriptors: hung up")

    def noise() -> set[str]:
        dice = random.Random(name)
        return {ask(path, frame(dice.choice((op, 16, 24, 28, 64, 65, 128, 129, 192)),
                                dice.randbytes(dice.randrange(200)))) for _ in range(300)}
    got = as_user(user, noise)
    tap.ok(got <= {*CODES, "ok"}, f"{name}: 300 random bodies are all answered", str(got))
    tap.note(f"{name}: random bodies: {sorted(got)}")
    tap.equal(as_user(user, lambda: ask(path, frame(op, body))), "ok", f"{name}: still there")


def changes(tap: Tap, laptop: Device) -> None:
    """The one request of kith-policyd that may wait for its answer."""
    path, op, head = laptop.host_path("/run/kith/policyd/policyd.sock"), 40, 20

    def talk() -> list[str]:
        said = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(path))
            sock.settimeout(5)
            sock.send(frame(op, bytes(32)))
            mark = sock.recv(65536)[head:]
            sock.send(frame(op, mark))
            sock.settimeout(1)
            try:
                said.append(f"{len(sock.recv(65536))} bytes too early")
            except TimeoutError:
                said.append("waits")
            ask(path, frame(1))
            kith(laptop, "--yes", "recovery")
            sock.settimeout(5)
            said.append("told" if sock.recv(65536)[head:] not in (mark, b"") else "the same mark")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            sock.send(frame(op, bytes(32)))
            sock.send(frame(op, sock.recv(65536)[head:]))
            sock.send(frame(1))
            try:
                said.append("answered" if sock.recv(65536) else "hung up")
            except ConnectionError:
                said.append("hung up")
        return said
    tap.equal(as_user("root", talk), ["waits", "told", "hung up"],
              "changes: it waits until there is one, and whoever asks meanwhile is hung up on")
    tap.equal(as_user("daemon", lambda: ask(path, frame(op, bytes(32)))), "not-allowed",
              "changes: strangers are told nothing")
    for what, size in (("a short mark", 31), ("a long mark", 33)):
        tap.equal(as_user("root", lambda n=size: ask(path, frame(op, bytes(n)))), "bad-message",
                  f"changes: {what}: bad-message")


def ipc(tap: Tap, laptop: Device) -> None:
    """kith-policyd and kith-mover."""
    run = laptop.host_path("/run/kith")
    hid = bytes(16)
    ipc_socket(tap, run / "policyd/policyd.sock", "root", (1, b""), 128, "policyd.sock")
    ipc_socket(tap, run / "policyd/policyd.sock", "kith", (1, b""), 24, "policyd.sock as kithd")
    ipc_socket(tap, run / "policyd/policyd.sock", "kith-mover", (1, b""), 64,
               "policyd.sock as kith-mover")
    for user in ("kith", "kith-mover", "daemon"):
        got = as_user(user, lambda: [ask(run / "policyd/policyd.sock", frame(op, bytes(48)))
                                     for op in (16, 17, 18, 21, 25, 26, 29)])
        tap.equal(set(got), {"not-allowed"}, f"{user} has none of a person's rights")
    got = as_user("kith", lambda: ask(run / "mover/mover.sock", frame(4)))
    tap.equal(got, "ok", "mover.sock: a good request")
    wanted = {"a wrong magic": (frame(4, magic=2), "hung up"),
              "half a header": (frame(4)[:7], "hung up"),
              "an unknown request": (frame(77), "bad-message"),
              "a hand-off that is none": (frame(3, hid), "not-found"),
              "a short body": (frame(1, hid[:5] + b"\1"), "bad-message"),
              "a start without a grant": (frame(1, os.urandom(16) + b"\1"), "not-found")}
    for what, (record, code) in wanted.items():
        got = as_user("kith", lambda r=record: ask(run / "mover/mover.sock", r))
        tap.equal(got, code, f"mover.sock: {what}: {code}")
    try:
        got = as_user("daemon", lambda: ask(run / "mover/mover.sock", frame(4)))
    except EOFError:
        got = "no connection"
    tap.ok(got in ("no connection", "hung up"), "mover.sock: other users are hung up on", got)
    tap.equal(as_user("kith", lambda: ask(run / "mover/mover.sock", frame(4))), "ok",
              "mover.sock: still there")


# -- JSON -----------------------------------------------------------------------------------------


def lines(path: pathlib.Path, data: bytes) -> list[dict]:
    """What control.sock answers to these bytes."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    return [json.loads(line) for line in answer.splitlines()]


def control(tap: Tap, laptop: Device) -> None:
    """Malformed requests on kithd's control socket; each is answered, and the next one too."""
    path = laptop.host_path("/run/kith/kithd/control.sock")
    good = b'{"id":5,"op":"jobs"}\n'
    deep = b"[" * 5000 + b"]" * 5000
    cases = {
        b"": "bad-message", b"nonsense": "bad-message", b"[1,2]": "bad-message",
        b'"jobs"': "bad-message", b'{"id":1,"id":2,"op":"jobs"}': "bad-message",
        b'{"id":1,"op":"jobs"} trailing': "bad-message", b'{"id":1,"op":"jo\xffbs"}': "bad-message",
        b'{"id":1,"op":"jobs","x":' + deep + b"}": "bad-message",
        b'{"id":1,"op":"jo\\u0000bs"}': "bad-message", b'{"id":1e400,"op":"jobs"}': "bad-message",
        b'{"id":1}': "usage", b'{"op":"jobs"}': "usage", b'{"id":-1,"op":"jobs"}': "usage",
        b'{"id":"1","op":"jobs"}': "usage", b'{"id":1,"op":"format"}': "usage",
        b'{"id":1,"op":"jobs","more":1}': "usage", b'{"id":1,"op":"pair"}': "usage",
        b'{"id":1,"op":"pair","device":["a"]}': "usage",
        b'{"id":1,"op":"cancel","hid":"zz"}': "usage",
        b'{"id":1,"op":"pair","device":"' + b"x" * 300 + b'"}': "usage",
        b'{"id":1,"op":"cancel","hid":"' + b"0" * 32 + b'"}': "not-found",
    }
    for request, code in cases.items():
        answers = lines(path, request + b"\n" + good)
        shown = request[:60].decode(errors="replace")
        tap.ok(len(answers) == 2 and not answers[0]["ok"] and answers[0]["error"]["code"] == code
               and answers[1] .get("ok") and answers[1]["id"] == 5, f"control.sock: {shown!a}: "
               f"{code}, and the next request is answered", str(answers)[:500])
    tap.equal(lines(path, b"x" * 70000 + b"\n" + good), [], "a line without end is hung up on")
    many = lines(path, good * 500)
    tap.ok(many and all(a["ok"] or a["error"]["code"] == "busy" for a in many),
           "500 requests at once are answered or `busy`", str(many[:2]))


# -- the peer port --------------------------------------------------------------------------------


def peer_port(tap: Tap, laptop: Device, bob: Device, stranger: Device) -> None:
    """TLS, WebSocket and messages as a stranger and as the paired but malicious Bob."""
    wrong = hostile.prepare(stranger, "own", hostile.device_seed(stranger))
    hostile.prepare(bob, "own", hostile.device_seed(bob))
    forged = hostile.prepare(stranger, "forged", hostile.device_seed(bob), forge=True)
    tests = [
        (stranger, {"chain": wrong}, "TLS alert unknown ca", "an unpaired device"),
        (stranger, {"chain": forged}, "TLS alert unknown ca", "Bob's certificate, not his key"),
        (stranger, {"chain": None}, "TLS", "no certificate"),
        (stranger, {"chain": "rsa"}, "TLS", "some other certificate"),
        (stranger, {"chain": wrong, "tls12": True}, "TLS alert protocol version", "TLS 1.2"),
        (bob, {}, "open", "the paired device itself"),
        (bob, {"path": "/"}, "not upgraded", "another path"),
        (bob, {"protocol": "chat"}, "not upgraded", "another subprotocol"),
    ]
    for device, how, wanted, name in tests:
        got = hostile.run(device, laptop.ip, [how])[0]
        tap.ok(got["outcome"].startswith(wanted), f"TLS: {name}: {wanted}", str(got))
    messages(tap, laptop, bob)
    raw_port(tap, laptop, stranger)


def messages(tap: Tap, laptop: Device, bob: Device) -> None:
    """Frames and messages behind a good handshake: each ends its connection, with a code."""
    # Without this word no session message of Bob's device is read at all (H4).
    kith(laptop, "trust", "receive", "bob", "on")
    hid, dice = bytes(range(1, 17)), random.Random(1)
    link = hostile.link_message
    cases = [
        ("a text frame", {"text": "hello"}, {"closed"}),
        ("an oversized message", {"binary": bytes(70000)}, {"closed"}),
        ("an oversized message in pieces", {"pieces": [bytes(9000)] * 9}, {"closed"}),
        # libwebsockets takes it, against RFC 6455 5.1; inside TLS that does no harm.
        ("an unmasked frame", {"unmasked": link(2, hid, b"x")}, {"closed", "an answer of kind 2"}),
        ("the start of a frame of 2^63 bytes",
         {"raw": b"\x82\xff" + b"\x7f" * 8 + bytes(70000)}, {"closed"}),
        ("noise", {"binary": dice.randbytes(500)}, {"bad-message", "closed"}),
        ("an empty message", {"binary": b""}, {"bad-message", "closed"}),
        ("kind 0", {"binary": link(0, hid, b"x")}, {"bad-message"}),
        ("kind 77", {"binary": link(77, hid, b"x")}, {"bad-message"}),
        ("another version", {"binary": link(2, hid, b"x", version=9)}, {"bad-message"}),
        ("reserved bits", {"binary": link(2, hid, b"x", reserved=1)}, {"bad-message"}),
        ("a session without an id", {"binary": link(2, bytes(16), b"x")}, {"bad-message"}),
        ("a length beyond the end", {"binary": link(2, hid, b"x")[:-1]}, {"bad-message"}),
        ("a session message that is noise", {"binary": link(2, hid, dice.randbytes(300))},
         {"an answer of kind 2"}),      # kith-policyd's own refusal, for its peer's
        ("pairing without a window", {"binary": link(1, bytes(16), b"x" * 40)}, {"pairing"}),
        ("a custody statement that is noise", {"binary": link(4, bytes(16), dice.randbytes(185))},
         {"bad-message", "not-found", "closed"}),
        ("a goodbye at once", {"binary": link(5, bytes(16), b"")}, {"bad-message", "closed"}),
    ]
    got = hostile.run(bob, laptop.ip, [how for _, how, _ in cases])
    seen = set()
    for (name, _, wanted), result in zip(cases, got):
        end = CODES[result["code"]] if "code" in result else result["outcome"]
        seen.add(end)
        tap.ok(end in wanted, f"message: {name}: {' or '.join(sorted(wanted))}", str(result))
    tap.ok(len(seen) >= 3, "different faults have different codes", str(seen))


def raw_port(tap: Tap, laptop: Device, stranger: Device) -> None:
    """Bytes that are neither TLS nor a data preface, and connections that say nothing."""
    preface = b"KITHDATA" + struct.pack("<HH", 1, 0)
    cases = {
        "noise": random.Random(2).randbytes(2000), "plain HTTP": b"GET / HTTP/1.1\r\n\r\n" * 5,
        "a preface of another version": b"KITHDATA" + struct.pack("<HH", 9, 0) + bytes(16),
        "channel 999": b"KITHDATA" + struct.pack("<HH", 1, 999) + bytes(16),
        "a hand-off that is none": preface + os.urandom(16) + b"x" * 500,
        "TLS with a broken hello": b"\x16\x03\x01\x00\x40" + bytes(64),
    }
    for name, data in cases.items():
        result = hostile.run(stranger, laptop.ip, [{"bytes": data}])[0]
        tap.ok(result["outcome"] == "closed" and result["seconds"] < 7,
               f"peer port: {name}: closed", str(result))
    result = hostile.run(stranger, laptop.ip, [{"bytes": preface}])[0]
    tap.ok(result["outcome"] == "closed" and result["seconds"] < 15,
           "peer port: half a preface and silence: closed", str(result))
    result = hostile.run(stranger, laptop.ip, [{"silent": 100}])[0]
    tap.note(f"100 silent connections of one address: {result}")
    tap.ok(result["refused"] >= 50, "one address cannot keep 100 silent connections", str(result))


def body(tap: Tap, lab: Lab) -> None:
    """All in one lab."""
    laptop, desktop, bob, stranger = kithlab.start(lab, "laptop", "desktop", "bob:laptop",
                                                   "stranger:laptop")
    for device, owner in ((laptop, "Tom"), (bob, "Bob"), (stranger, "Somebody")):
        kith(device, "init", owner)
    kithlab.pair(laptop, desktop)
    kithlab.pair(laptop, bob)
    before = {name: laptop.pids(name) for name in DAEMONS}
    records = len(kith(laptop, "log")["records"])
    begin = time.monotonic()
    for test in (ipc, changes, control):
        test(tap, laptop)
        tap.equal({name: laptop.pids(name) for name in DAEMONS}, before, "all daemons live")
    peer_port(tap, laptop, bob, stranger)
    tap.note(f"{time.monotonic() - begin:.0f} s of hostile input")
    tap.equal({name: laptop.pids(name) for name in DAEMONS}, before, "all daemons live")
    size = sum((laptop.log_dir / f"{name}.log").stat().st_size for name in DAEMONS)
    tap.ok(size < 2 << 20, "and did not fill their logs", f"{size} bytes")
    kinds = {r["action"] for r in kith(laptop, "log")["records"][records:]}
    tap.ok(not any(kind.startswith("custody") for kind in kinds), "no custody changed", str(kinds))
    guest = kithlab.small_guest("work", memory_mib=128)
    kithlab.run_guest(guest, laptop)
    tap.equal(Move(laptop, guest.name, desktop).done()["phase"], "done", "and a hand-off works")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    kithlab.run_tests("wire", body)
