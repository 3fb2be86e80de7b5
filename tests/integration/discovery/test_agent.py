#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kithd in the lab: discovery, pairing, sessions, and what strangers and crashes do to it.

Real policyd, TPM and Avahi; the mover is a stand-in. Prints TAP. Needs root and a build of
kith-policyd and kithd ($KITH_BUILD).
"""
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import lab as lablib        # noqa: E402
import kithlab              # noqa: E402
import wireproto as wire    # noqa: E402
from shell import wait_for  # noqa: E402

VM = bytes(range(16))
OTHER_VM = bytes(range(1, 17))
START, CONN, CANCEL = 1, 2, 3
DIAL, PROGRESS = 64, 65
COPYING, SWITCHING, FAILED = 3, 5, 7
KITHD_MAX_RSS_GROWTH = 8 * 1024     # KiB, P2
# kithd is not dumpable, so the leak check cannot look at it.
SANITIZER = os.environ.get("ASAN_OPTIONS", "detect_leaks=0")
TESTS = []


class Host:
    """One device with its sockets at hand."""

    def __init__(self, device):
        self.device = device
        self.policyd = wire.Policyd(self.path("/run/kith/policyd/policyd.sock"))
        self.mover = None

    def path(self, inside: str) -> str:
        """A socket's path on this side of the namespaces."""
        return str(self.device.host_path(inside))

    def control(self) -> wire.Control:
        """A new connection to kithd."""
        return wire.Control(self.path("/run/kith/kithd/control.sock"))

    def ask(self, op: str, **members) -> dict:
        """One request on a connection of its own."""
        return self.control().call(op, **members)

    def result(self, op: str, **members) -> dict:
        """The result of a request that has to succeed."""
        reply = self.ask(op, **members)
        assert reply["ok"], reply
        return reply["result"]

    def sees(self, name: str) -> dict | None:
        """The row of a device in sight, by name or the beginning of its id."""
        rows = self.result("devices")["devices"]
        return next((r for r in rows if r["nearby"] and (r["name"] == name
                                                         or r["id"].startswith(name))), None)

    def start_mover(self) -> None:
        """A mover for this device."""
        self.mover = wire.Mover(self.path("/run/kith/mover/mover.sock"))
        wait_for("kithd to find the mover", lambda: self.result("status")["mover"], 15)

    @property
    def id(self) -> str:
        """The device id in hex."""
        return self.result("status")["id"]

    def rss(self) -> int:
        """Resident memory of kithd in KiB."""
        text = pathlib.Path(f"/proc/{self.device.pids('kithd')[0]}/status").read_text()
        return int(next(li for li in text.splitlines() if li.startswith("VmRSS")).split()[1])


def test(function):
    """Registers a test; its docstring is its name."""
    TESTS.append(function)
    return function


def job(host: Host, hid: bytes) -> dict | None:
    """The job of a hand-off."""
    return next((j for j in host.result("jobs")["jobs"] if j["hid"] == hid.hex()), None)


def ended(host: Host, hid: bytes) -> dict:
    """Waits until the job has ended and returns it."""
    wait_for("the job's end", lambda: (job(host, hid) or {}).get("state") == "ended", 40)
    return job(host, hid)


def request_move(source: Host, dest: Host, vm: bytes = VM) -> bytes:
    """A hand-off as the owner asks policyd for it, on any rung."""
    return source.policyd.call("move-request", vm + bytes.fromhex(dest.id) + bytes(1)).take(16)


@test
def t_sight(a: Host, b: Host) -> None:
    """devices come in sight of each other, without names"""
    a.policyd.call("init", wire.text("tom"))
    b.policyd.call("pair-open", struct.pack("<BIB", 2, 120, 0))     # makes its keys
    b.policyd.call("pair-close")
    wait_for("a to have its id", lambda: a.result("status")["id"], 15)
    wait_for("b to have its id", lambda: b.result("status")["id"], 15)
    wait_for("b in sight of a", lambda: a.sees(b.id[:16]), 15)
    row = a.sees(b.id[:16])
    assert row["name"] == "device-" + b.id[:8] and row["role"] == "desktop", row
    assert not row["paired"] and row["address"] == b.device.ip and row["age_ms"] == 0, row


@test
def t_no_window(a: Host, b: Host) -> None:
    """P7 pairing outside the other's window: refused in the handshake, nothing is asked there"""
    a.policyd.call("pair-open", struct.pack("<BIB", 2, 120, 0))
    for _ in range(20):     # the alert must not be overtaken by a reset
        reply = a.ask("pair", device=b.id[:8])
        assert reply["error"]["code"] == "peer-unknown", reply
    assert b.policyd.pair_status()["error"] == 0
    a.policyd.call("pair-close")


@test
def t_name(a: Host, b: Host, c: Host) -> None:
    """a name is announced while a pairing window is open, and only then; two of one name are none"""
    row = a.sees(b.id[:16])
    assert not row["pairing"] and row["name"].startswith("device-"), row
    b.policyd.call("pair-open", struct.pack("<BIB", 2, 120, 0))
    assert b.result("status")["pairing"]
    wait_for("b by name", lambda: a.sees("desktop"), 5)
    row = a.sees("desktop")
    assert row["pairing"] and not row["paired"] and row["id"] == b.id[:16], row
    fake = ["avahi-publish", "-s", "kith-fake", "_kith._tcp", "4747", "txtvers=1", "v=1",
            "role=desktop"]
    twin = c.device.popen(fake + ["id=fedcba9876543210", "name=desktop"],
                          stdout=subprocess.DEVNULL)
    liar = c.device.popen([*fake[:2], "kith-liar", *fake[3:], "id=ba9876543210fedc",
                           "name=desk\x1b[2Jtop"], stdout=subprocess.DEVNULL)
    try:
        wait_for("the twin", lambda: a.sees("fedcba98"), 10)
        error = a.ask("pair", device="desktop")["error"]
        assert error["code"] == "usage", error
        assert b.id[:16] in error["text"] and "fedcba9876543210" in error["text"], error
        assert not a.sees("ba987654"), "N9 a name with control characters"
    finally:
        for one in (twin, liar):
            os.killpg(one.pid, signal.SIGTERM)
    b.policyd.call("pair-close")
    deadline = time.monotonic() + 8
    while (row := a.sees(b.id[:16])) and row["pairing"]:    # never out of sight meanwhile
        assert time.monotonic() < deadline, row
        time.sleep(0.1)
    assert row and row["name"] == "device-" + b.id[:8], row


@test
def t_pair(a: Host, b: Host) -> None:
    """two devices pair by code"""
    for host in (a, b):
        host.policyd.call("pair-open", struct.pack("<BIB", 2, 120, 0))
    assert a.result("pair", device="device-" + b.id[:8])["started"]
    wait_for("the codes", lambda: all(h.policyd.pair_status()["waiting"] for h in (a, b)), 15)
    assert a.policyd.pair_status()["code"] == b.policyd.pair_status()["code"]
    for host in (b, a):
        host.policyd.call("pair-confirm", host.policyd.pair_status()["hash"] + b"\1")
    wait_for("the pairing", lambda: all(h.policyd.pair_status()["done"] for h in (a, b)), 15)
    wait_for("b by name", lambda: a.sees("desktop"), 5)
    row = a.sees("desktop")
    assert row["paired"] and row["own"] and row["id"] == b.id and row["verdict"] == "trusted", row
    wait_for("the name to be withdrawn", lambda: not a.sees("desktop")["pairing"], 8)


@test
def t_handoff(a: Host, b: Host) -> None:
    """a hand-off: session, both movers start, data connections arrive with their preface unread"""
    for host in (a, b):
        host.start_mover()
    allow = wire.rule(1, 0x7f, "allow all")
    a.policyd.call("policy-set", VM + wire.text("work") + wire.blob(b"allow all")
                   + wire.blob(allow))
    hid = request_move(a, b)
    watcher = a.control()
    assert watcher.call("watch")["ok"]
    assert a.result("handoff", hid=hid.hex(), device="desktop") == {"started": True}
    assert b.mover.wait(START, 15) == hid + b"\0"
    assert a.mover.wait(START, 15) == hid + b"\1"
    a.mover.event(PROGRESS, wire.progress(hid, True, COPYING))
    wait_for("the job to move", lambda: job(a, hid)["state"] == "moving", 5)
    a.mover.event(DIAL, hid + struct.pack("<H", 1))
    assert a.mover.wait(CONN) == hid + struct.pack("<H", 1)
    assert b.mover.wait(CONN) == hid + struct.pack("<H", 1)
    out, back = a.mover.fds.pop(), b.mover.fds.pop()
    out.setblocking(True)
    back.setblocking(True)
    out.sendall(b"first bytes")
    preface = back.recv(28, socket.MSG_WAITALL)
    assert preface == b"KITHDATA" + struct.pack("<HH", 1, 1) + hid, preface
    assert back.recv(100) == b"first bytes"
    a.mover.event(PROGRESS, wire.progress(hid, True, 6))
    wait_for("the job's end", lambda: job(a, hid)["state"] == "ended", 5)
    assert job(a, hid)["phase"] == "done" and job(a, hid)["error"] is None
    watcher.call("status")
    phases = [e["job"]["phase"] for e in watcher.events if e["event"] == "progress"]
    assert phases[0] == "checking" and "attesting" in phases and phases[-1] == "done", phases


@test
def t_dest_refuses(a: Host, b: Host) -> None:
    """the destination's mover refuses: the same code and sentence reach the asker"""
    b.mover.refuse[START] = (22, "There is not enough disk here.")
    hid = new_session(a, b)
    error = ended(a, hid)["error"]
    del b.mover.refuse[START]
    assert error["code"] == "room" and error["text"] == "There is not enough disk here.", error


def new_session(a: Host, b: Host) -> bytes:
    """Another hand-off of the same VM, for which the former has to be out of policyd's way."""
    a.device.restart("kith-policyd")
    b.device.restart("kith-policyd")
    wait_for("policyd", lambda: a.result("status")["state"] == "ready", 15)
    wait_for("policyd", lambda: b.result("status")["state"] == "ready", 15)
    hid = request_move(a, b)
    assert a.result("handoff", hid=hid.hex(), device=b.id[:12])["started"]
    return hid


@test
def t_unknown_hid(a: Host, b: Host) -> None:
    """a hand-off that policyd does not know ends with its refusal"""
    hid = bytes(15) + b"\7"
    assert a.result("handoff", hid=hid.hex(), device="desktop")["started"]
    assert ended(a, hid)["error"]["code"] not in ("failed", "interrupted")


@test
def t_unreachable(a: Host, b: Host) -> None:
    """a peer that vanished: unreachable within the connect time-outs"""
    b.device.cut()
    hid = bytes(15) + b"\x08"
    started = time.monotonic()
    try:
        assert a.result("handoff", hid=hid.hex(), device="desktop")["started"]
        error = ended(a, hid)["error"]
    finally:
        b.device.heal()
    assert error["code"] == "unreachable", error
    assert time.monotonic() - started < 25


@test
def t_impostor(a: Host, b: Host, c: Host) -> None:
    """P1 a device that announces another's id gets no data, and its key is named as the reason"""
    wait_for("b in sight again", lambda: a.sees("desktop"), 20)
    c.policyd.call("init", wire.text("eve"))
    wait_for("c to have its id", lambda: c.result("status")["id"], 15)
    fake = c.device.popen(["avahi-publish", "-s", "kith-fake", "_kith._tcp", "4747", "txtvers=1",
                           "v=1", "id=" + b.id[:16], "role=desktop"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(2)
        b.device.cut()
        hid = bytes(15) + b"\x09"
        assert a.result("handoff", hid=hid.hex(), device="desktop")["started"]
        error = ended(a, hid)["error"]
    finally:
        os.killpg(fake.pid, signal.SIGTERM)
        b.device.heal()
    assert error["code"] == "peer-key", error


@test
def t_pair_alone(a: Host, _b: Host, c: Host) -> None:
    """two people type `kith pair`, no name, no id: the devices find each other"""
    wait_for("c in sight", lambda: a.sees(c.id[:16]), 20)
    pairs = [kithlab.Kith(host.device, "pair") for host in (a, c)]
    codes = [one.wait_document(lambda d: d.get("event") == "code", "a code")["code"]
             for one in pairs]
    assert codes[0] == codes[1], codes
    for one in pairs:
        one.answer("yes")
    for one in pairs:
        assert one.result()["event"] == "paired"
    assert [d["event"] for d in pairs[0].documents] == ["open", "code", "paired"]
    assert a.sees("stranger")["paired"]


@test
def t_avahi_crash(a: Host, b: Host) -> None:
    """P3 avahi-daemon killed, stopped: kithd answers, nothing is forgotten, recovery under 10 s"""
    wait_for("b in sight", lambda: a.sees("desktop"), 20)
    a.device.kill("avahi-daemon")
    time.sleep(0.5)
    rows = {r["name"]: r for r in a.result("devices")["devices"]}
    assert "desktop" in rows and rows["desktop"]["address"], rows
    assert not rows["desktop"]["nearby"]
    a.device.restart("avahi-daemon")
    started = time.monotonic()
    wait_for("b in sight", lambda: a.sees("desktop"), 10)
    print(f"# back {time.monotonic() - started:.1f} s after the daemon")
    a.device.kill("avahi-daemon", signal.SIGSTOP)
    started = time.monotonic()
    for _ in range(5):
        assert a.result("status")
    assert time.monotonic() - started < 1
    a.device.kill("avahi-daemon", signal.SIGCONT)
    wait_for("b in sight", lambda: a.sees("desktop"), 10)


@test
def t_dbus_crash(a: Host, b: Host) -> None:
    """P3 the system bus restarts: kithd finds Avahi again"""
    a.device.kill("dbus-daemon")
    a.device.kill("avahi-daemon")
    time.sleep(0.5)
    for name in ("run/dbus/pid", "run/dbus/system_bus_socket", "run/avahi-daemon/pid"):
        (a.device.base / name).unlink(missing_ok=True)
    a.device.spawn("dbus", ["dbus-daemon", "--system", "--nofork", "--nopidfile"])
    wait_for("the bus", (a.device.base / "run/dbus/system_bus_socket").exists)
    a.device.start_avahi()
    wait_for("b in sight", lambda: a.sees("desktop"), 15)


@test
def t_flood(a: Host, b: Host, c: Host) -> None:
    """P2 a flood of services: bounded memory, kithd answers fast, the real peer is still found"""
    wait_for("b in sight", lambda: a.sees("desktop"), 15)
    before = a.rss()
    directory = c.device.base / "tmp"
    script = directory / "flood.py"
    script.write_text(FLOOD)
    flood = c.device.popen(["python3", "/tmp/flood.py"], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    slowest = 0.0
    try:
        for _ in range(40):
            started = time.monotonic()
            rows = a.result("devices")["devices"]
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.2)
        assert len(rows) > 20, f"the flood did not arrive: {len(rows)}"
        assert len(rows) <= 257, len(rows)
        assert a.sees("desktop")
        b.device.restart("avahi-daemon")
        wait_for("the real peer", lambda: a.sees("desktop"), 5)
        print(f"# {len(rows)} rows, slowest answer {slowest * 1000:.0f} ms, "
              f"memory +{a.rss() - before} KiB")
        assert slowest < 0.5
        # The sanitizer keeps freed memory in quarantine.
        if b"libasan" not in pathlib.Path(f"/proc/{a.device.pids('kithd')[0]}/maps").read_bytes():
            assert a.rss() - before < KITHD_MAX_RSS_GROWTH
    finally:
        os.killpg(flood.pid, signal.SIGKILL)


# Raw multicast answers: an Avahi of one's own would not publish that many.
FLOOD = r'''
import socket, struct, random, time
def name(*labels):
    return b"".join(bytes([len(l)]) + l for l in labels) + b"\0"
SERVICE = name(b"_kith", b"_tcp", b"local")
def rr(owner, kind, data, ttl=120):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("", 5353))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
n = 0
while True:
    n += 1
    me = b"kith-%08x" % n
    owner = bytes([len(me)]) + me + SERVICE
    host = name(b"h%08x" % n, b"local")
    txt = b"".join(bytes([len(t)]) + t for t in
                   (b"txtvers=1", b"v=1", b"id=%016x" % random.getrandbits(64), b"role=laptop"))
    if n % 5 == 0:
        txt += (b"\xffx=" + b"A" * 253) * 30
    packet = struct.pack(">HHHHHH", 0, 0x8400, 0, 4, 0, 0) + rr(SERVICE, 12, owner) \
        + rr(owner, 33, struct.pack(">HHH", 0, 0, 4747) + host) + rr(owner, 16, txt[:8000]) \
        + rr(host, 1, bytes([10, 77, 1, n % 250]))
    try:
        s.sendto(packet, ("224.0.0.251", 5353))
    except OSError:
        pass
    time.sleep(0.005)
'''


@test
def t_policyd_restart(a: Host, b: Host) -> None:
    """policyd gone: said so, strangers and peers alike are kept out; back: everything works"""
    a.device.kill("kith-policyd")
    time.sleep(0.3)
    error = a.result("status")["error"]
    assert error and error["code"] == "not-ready", error
    a.device.restart("kith-policyd")
    wait_for("policyd", lambda: a.result("status")["state"] == "ready", 10)
    wait_for("b by name", lambda: a.sees("desktop"), 10)


@test
def t_mover_restart(a: Host, b: Host) -> None:
    """the mover gone: open jobs end as interrupted when it is back without them"""
    hid = new_session(a, b)
    a.mover.wait(START, 15)
    a.mover.event(PROGRESS, wire.progress(hid, True, COPYING))
    wait_for("the job to move", lambda: job(a, hid)["state"] == "moving", 5)
    a.mover.stop()
    wait_for("kithd to notice", lambda: not a.result("status")["mover"], 5)
    a.start_mover()
    assert ended(a, hid)["error"]["code"] == "interrupted"


@test
def t_cancel(a: Host, b: Host) -> None:
    """cancel reaches the mover of a hand-off that moves"""
    hid = new_session(a, b)
    a.mover.wait(START, 15)
    a.mover.event(PROGRESS, wire.progress(hid, True, COPYING))
    wait_for("the job to move", lambda: job(a, hid)["state"] == "moving", 5)
    assert a.result("cancel", hid=hid.hex()) == {"cancelling": True}
    assert a.mover.wait(CANCEL) == hid
    a.mover.event(PROGRESS, wire.progress(hid, True, 7, (25, "The owner cancelled.")))
    assert ended(a, hid)["error"]["code"] == "cancelled"
    reply = a.ask("cancel", hid=hid.hex())
    assert reply["error"]["code"] == "not-found", reply


def knock(host: Host, data: bytes, timeout: float = 8) -> bytes:
    """What the peer port answers to these bytes until it hangs up."""
    code = ("import socket,sys\n"
            f"s=socket.create_connection(('{host.device.ip}',4747)); s.settimeout({timeout})\n"
            f"s.sendall({data!r}); got=b''\n"
            "try:\n"
            "  while d:=s.recv(4096): got+=d\n"
            "except ConnectionResetError: pass\n"
            "except TimeoutError: got=b'HELD OPEN'\n"
            "sys.stdout.buffer.write(got)\n")
    proc = host.stranger.popen(["python3", "-c", code], stdout=subprocess.PIPE)
    return proc.communicate()[0]


@test
def t_strangers(a: Host, b: Host, c: Host) -> None:
    """P10 B11 scanners, old TLS, prefaces without a hand-off: closed, nothing told, kithd fine"""
    a.stranger = c.device
    assert knock(a, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 40) == b""
    assert knock(a, b"KITHDATA" + struct.pack("<HH", 1, 0) + bytes(16)) == b""
    assert knock(a, b"KITHDATA" + struct.pack("<HH", 9, 0) + bytes(16)) == b""
    assert knock(a, b"KITH", timeout=8) == b""
    assert knock(a, b"") == b""
    for old in ("-tls1_2", "-tls1_1"):
        out = c.device.run(["openssl", "s_client", "-connect", f"{a.device.ip}:4747", old],
                           check=False, input="").stdout
        assert "Cipher is (NONE)" in out, out
    out = c.device.run(["openssl", "s_client", "-connect", f"{a.device.ip}:4747", "-tls1_3"],
                       check=False, input="").stdout
    assert "laptop" not in out.replace(a.device.ip, "") and "tom" not in out, out
    assert a.result("status")["state"] == "ready"


@test
def t_exhaustion(a: Host, b: Host, c: Host) -> None:
    """N3 hundreds of idle connections: kithd stays up, and a peer gets through afterwards"""
    code = ("import socket,time\nh=[]\n"
            "for i in range(600):\n"
            " try:\n"
            f"  s=socket.socket(); s.settimeout(2); s.connect(('{a.device.ip}',4747)); h.append(s)\n"
            " except OSError: pass\n"
            "time.sleep(2)\n")
    c.device.run(["python3", "-c", code], timeout=120)
    assert a.result("status")["state"] == "ready"
    fds = len(os.listdir(f"/proc/{a.device.pids('kithd')[0]}/fd"))
    assert fds < 250, fds
    wait_for("the guests' end", lambda: len(os.listdir(
        f"/proc/{a.device.pids('kithd')[0]}/fd")) < 60, 15)
    hid = bytes(15) + b"\x0a"
    assert b.result("handoff", hid=hid.hex(), device="laptop")["started"]
    assert ended(b, hid)["error"]["code"] != "unreachable"


def answers(host: Host) -> bool:
    """kithd has room for one more client."""
    try:
        return host.ask("status")["ok"]
    except ConnectionError:
        return False


@test
def t_malformed(a: Host, _b: Host) -> None:
    """N1 the control socket refuses what is no request, and goes on"""
    c = a.control()
    for line in (b"\n", b"{}\n", b"[]\n", b'{"id":1}\n', b"\xff\xfe\n", b'{"id":1,"id":2,"op":"status"}\n',
                 b'{"id":1,"op":"status","more":1}\n', b'{"id":-1,"op":"status"}\n',
                 b'{"id":1,"op":"nothing"}\n', b"[" * 5000 + b"\n", b'{"id":1,"op":"pair"}\n',
                 b'{"id":1,"op":"cancel","hid":"zz"}\n', b'{"id":1,"op":"pair","device":"a\\u0000b"}\n'):
        reply = c.raw(line)
        assert not reply["ok"] and reply["error"]["code"] in ("usage", "bad-message"), (line, reply)
    assert c.call("status")["ok"]
    d = a.control()
    d.sock.sendall(b"x" * 70000)
    try:
        assert d.file.readline() == b""
    except ConnectionResetError:
        pass
    assert a.result("status")
    many = []
    for _ in range(40):
        many.append(a.control())
    assert many[-1].file.readline().find(b'"busy"') > 0
    for one in many:
        one.close()
    wait_for("room", lambda: answers(a), 5)


@test
def t_other_user(a: Host, b: Host) -> None:
    """N10 another local user may look, but not act"""
    code = ("import sys,json,socket\n"
            "s=socket.socket(socket.AF_UNIX); s.connect('/run/kith/kithd/control.sock')\n"
            "f=s.makefile('rwb')\n"
            "for r in json.loads(sys.argv[1]):\n"
            " f.write(json.dumps(r).encode()+b'\\n'); f.flush(); print(f.readline().decode(),end='')\n")
    hid = "11" * 16
    requests = [{"id": 1, "op": "status"}, {"id": 2, "op": "devices"}, {"id": 3, "op": "jobs"},
                {"id": 4, "op": "pair", "device": b.id}, {"id": 5, "op": "cancel", "hid": hid},
                {"id": 6, "op": "handoff", "hid": hid, "device": b.id}, {"id": 7, "op": "vms"}]
    out = a.device.run(["python3", "-c", code, json.dumps(requests)], user="kith-mover").stdout
    replies = [json.loads(line) for line in out.splitlines()]
    assert [r["ok"] for r in replies] == [True] * 2 + [False] * 5, replies
    assert all(r["error"]["code"] == "not-allowed" for r in replies[2:]), replies


def mail_lines(host: Host) -> list[str]:
    """What kithd logged about statements that a peer has to hear."""
    log = (host.device.log_dir / "kithd.log").read_text(errors="replace")
    return [line for line in log.splitlines() if "has to hear" in line]


class Switching(threading.Thread):
    """A worker that switches over, as kithd hears of it."""

    def __init__(self, host: Host, hid: bytes, source: bool, peer: str):
        super().__init__(daemon=True)
        self.host, self.hid, self.source, self.peer = host, hid, source, bytes.fromhex(peer)
        self.over = threading.Event()
        self.start()

    def say(self, phase: int) -> None:
        """One progress event."""
        self.host.mover.event(PROGRESS, wire.progress(self.hid, self.source, phase,
                                                      peer=self.peer))

    def run(self) -> None:
        """Until die()."""
        while not self.over.is_set():
            self.say(SWITCHING)
            self.over.wait(1)

    def die(self) -> None:
        """The worker ends without having settled anything."""
        self.over.set()
        self.join()
        self.say(FAILED)


@test
def t_mail(a: Host, b: Host) -> None:
    """W7 W11 a released source says RELEASE again until the other answers ACK"""
    wait_for("b in sight", lambda: a.sees("desktop"), 20)
    a.policyd.call("policy-set", OTHER_VM + wire.text("mail") + wire.blob(b"allow all")
                   + wire.blob(wire.rule(1, 0x7f, "allow all")))
    hid = request_move(a, b, OTHER_VM)
    assert a.result("handoff", hid=hid.hex(), device="desktop")["started"]
    b.mover.wait(START, 15)
    a.mover.wait(START, 15)
    source = wire.Worker(a.path("/run/kith/policyd/policyd.sock"), hid, True)
    dest = wire.Worker(b.path("/run/kith/policyd/policyd.sock"), hid, False)
    workers = [Switching(a, hid, True, b.id), Switching(b, hid, False, a.id)]
    source.journal("prep")
    dest.journal("recv")
    vote = dest.journal("prepared")
    assert wire.kind(vote) == "vote" and wire.kind(source.journal("released", vote)) == "release"
    time.sleep(8)
    assert not dest.inbox() and not mail_lines(a), "kithd speaks while the workers do"
    workers[0].die()
    wait_for("RELEASE", dest.inbox, 12)
    assert wire.kind(dest.inbox()) == "release" and not source.inbox()
    b.device.cut()
    wait_for("a to notice", lambda: "heard -> unheard" in "".join(mail_lines(a)), 25)
    workers[1].die()
    assert wire.kind(dest.journal("own", dest.inbox())) == "ack"
    b.device.heal()
    started = time.monotonic()
    wait_for("ACK", source.inbox, 40)
    print(f"# ACK {time.monotonic() - started:.1f} s after the link")
    assert wire.kind(source.inbox()) == "ack"
    source.journal("done", source.inbox(), copy_gone=True)
    wait_for("a to be silent", lambda: "no hand-off any more" in "".join(mail_lines(a)), 10)
    print("# " + "\n# ".join(mail_lines(a)))
    assert len(mail_lines(a)) <= 5, mail_lines(a)
    for worker in (source, dest):
        worker.stop()


@test
def t_end(a: Host, b: Host) -> None:
    """kithd ends in order on SIGTERM, and its logs hold no complaint of a library"""
    for host in (a, b):
        host.device.stop_kith("kithd")
        log = (host.device.log_dir / "kithd.log").read_text(errors="replace")
        for word in ("CRITICAL", "WARNING **", "Sanitizer", "runtime error", "assert"):
            assert word not in log, [li for li in log.splitlines() if word in li][:5]


def main() -> int:
    """Runs what is registered, in order: the tests build on each other."""
    wanted = sys.argv[1:]
    failed = 0
    root = os.environ.get("KITH_LAB") or "/var/tmp/kith-lab-agent"
    with lablib.Lab(root, keep=bool(os.environ.get("KITH_KEEP")), fresh=True) as lab:
        hosts = [Host(device) for device in lab.up("laptop", "desktop", "stranger")]
        for host in hosts:
            host.device.start_kith("kith-policyd", "kithd",
                                   env={"KITH_DEBUG": "1", "ASAN_OPTIONS": SANITIZER})
        print(f"1..{len(TESTS)}")
        for number, function in enumerate(TESTS, 1):
            if wanted and function.__name__ not in wanted:
                print(f"ok {number} - {function.__doc__} # SKIP not asked for")
                continue
            started = time.monotonic()
            try:
                function(*hosts[:function.__code__.co_argcount])
                print(f"ok {number} - {function.__doc__}")
            except Exception:   # a test may fail in any way
                failed += 1
                print(f"not ok {number} - {function.__doc__}")
                print("# " + traceback.format_exc().replace("\n", "\n# "))
            print(f"# {time.monotonic() - started:.1f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
