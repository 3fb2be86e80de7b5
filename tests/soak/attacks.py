#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a stranger can do in the network, and another user on the same device.

arena.py starts this file as a program inside a lab device: attacks.py NAME JSON. It attacks until
its standard input ends and prints what it did as JSON. Nothing here knows a key of Kith's.
"""
import json
import os
import pathlib
import random
import selectors
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

PORT = 4747
MDNS = ("224.0.0.251", 5353)
SERVICE = "_kith._tcp.local"
IPC = struct.Struct("<IHHIII")      # base/ipc.h
IPC_MAGIC = 0x4854494B


class Order:
    """What to do: the JSON words of the command line as attributes."""

    def __init__(self, words: dict):
        self.target = ""
        self.addresses: list[str] = [""]    # our own; "" lets the kernel choose
        self.control = self.policyd = self.hids = self.id = ""
        self.live: list[str] = []
        self.__dict__.update(words)
        self.dice = random.Random(7)
        self._over = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        sys.stdin.read()
        self._over.set()

    def going(self) -> bool:
        """True until somebody says that it is enough."""
        return not self._over.is_set()


# -- TCP ------------------------------------------------------------------------------------------


def dial(o: Order, number: int, timeout: float | None = None) -> socket.socket:
    """A connection from one of our addresses; without a timeout it is still being made."""
    sock = socket.socket()
    source = o.addresses[number % len(o.addresses)]
    sock.settimeout(timeout)
    if source:
        # The port is chosen at connect(), so that thousands can share an address.
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)   # IP_BIND_ADDRESS_NO_PORT
        sock.bind((source, 0))
    if timeout is None:
        sock.setblocking(False)
        sock.connect_ex((o.target, PORT))
    else:
        sock.connect((o.target, PORT))
    return sock


def hold(o: Order, count: int, greet: Callable[[int], bytes], drip: bool = False) -> dict:
    """Keeps `count` connections that begin with greet(); whoever is hung up on comes again."""
    ready = selectors.DefaultSelector()
    made, cut, left = 0, 0, {}
    while o.going():
        while len(left) < count and o.going():
            sock = dial(o, made)
            left[sock] = greet(made)
            ready.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            made += 1
        for key, events in ready.select(0.05):
            sock = key.fileobj
            try:
                if events & selectors.EVENT_READ and not sock.recv(65536):
                    raise ConnectionError
                if events & selectors.EVENT_WRITE:
                    size = 1 if drip else len(left[sock])
                    left[sock] = left[sock][sock.send(left[sock][:size]) if size else 0:]
                    if not left[sock]:
                        ready.modify(sock, selectors.EVENT_READ)
            except BlockingIOError:
                continue
            except OSError:
                ready.unregister(sock)
                sock.close()
                del left[sock]
                cut += 1
        if drip:
            time.sleep(0.02)
    return {"connects": made, "cut": cut, "held": len(left)}


def client_hello() -> bytes:
    """The first flight of a real client."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="kith")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def idle(o: Order) -> dict:
    """500 connections that say nothing."""
    return hold(o, 500, lambda _: b"")


def slow_hello(o: Order) -> dict:
    """200 that say a ClientHello, byte by byte."""
    hello = client_hello()
    return hold(o, 200, lambda _: hello, drip=True)


def whole_hello(o: Order) -> dict:
    """200 that say a whole ClientHello, then nothing."""
    hello = client_hello()
    return hold(o, 200, lambda _: hello)


def garbage(o: Order) -> dict:
    """Noise, HTTP, broken TLS."""
    kinds = (o.dice.randbytes(900), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
             b"\x16\x03\x01\x40\x00" + bytes(500), b"KITHDATA" + bytes(40))
    return hold(o, 40, lambda n: kinds[n % len(kinds)])


def connect_close(o: Order) -> dict:
    """As many connections as can be made, each closed at once."""
    made = 0
    while o.going():
        try:
            dial(o, made, 2).close()
        except OSError:
            pass
        made += 1
    return {"connects": made}


def _handshakes(o: Order, context: ssl.SSLContext) -> dict:
    done, lock = {"connects": 0, "refused": 0}, threading.Lock()

    def work(number: int) -> None:
        while o.going():
            refused = 0
            try:
                with dial(o, number, 5) as plain, context.wrap_socket(plain) as tls:
                    tls.sendall(b"x")
                    refused = not tls.recv(100)
            except OSError:
                refused = 1
            with lock:
                done["connects"] += 1
                done["refused"] += refused
            number += 4
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def no_certificate(o: Order) -> dict:
    """TLS handshakes without a certificate, four at a time."""
    return _handshakes(o, _tls())


def other_certificate(o: Order) -> dict:
    """The same with a self-signed RSA certificate (made by hostile.prepare())."""
    context = _tls()
    context.load_cert_chain("/tmp/rsa.pem", "/tmp/rsa.key")
    return _handshakes(o, context)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def syn_flood(o: Order) -> dict:
    """SYN packets with sources that do not answer."""
    sent, to = 0, socket.inet_aton(o.target)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        while o.going():
            source = socket.inet_aton(f"10.77.0.{o.dice.randrange(150, 250)}")
            tcp = struct.pack(">HHIIBBHHH", o.dice.randrange(1024, 65536), PORT,
                              o.dice.getrandbits(32), 0, 5 << 4, 2, 64240, 0, 0)
            check = _checksum(source + to + struct.pack(">HH", 6, len(tcp)) + tcp)
            tcp = tcp[:16] + struct.pack(">H", check) + tcp[18:]
            head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 6, 0, source, to)
            try:
                raw.sendto(head + tcp, (o.target, 0))
            except OSError:
                pass
            sent += 1
            time.sleep(0.002)
    return {"packets": sent}


def early_preface(o: Order) -> dict:
    """Data connections of hand-offs whose numbers somebody gave away, before and during the copy.

    They are read from a file that grows.
    """
    made, socks = 0, []
    while o.going():
        try:
            words = pathlib.Path(o.hids).read_text().split()
        except OSError:
            words = []
        if not words:
            time.sleep(0.001)
            continue
        for channel in (0, 0, 0, 1, 2):
            try:
                sock = dial(o, made, 2)
                sock.sendall(b"KITHDATA" + struct.pack("<HH", 1, channel)
                             + bytes.fromhex(words[-1]) + (b"" if made % 2 else b"\x16\x03" * 50))
                socks.append(sock)
            except OSError:
                pass
            made += 1
        while len(socks) > 200:
            socks.pop(0).close()
    return {"connects": made}


# -- mDNS -----------------------------------------------------------------------------------------


def _name(text: str) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in
                    (word.encode() for word in text.split("."))) + b"\0"


def _record(owner: str, kind: int, data: bytes, ttl: int, flush: bool = True) -> bytes:
    return _name(owner) + struct.pack(">HHIH", kind, 0x8001 if flush else 1, ttl, len(data)) + data


def announcement(instance: str, host: str, address: str, txt: list[bytes], ttl: int = 120) -> bytes:
    """An mDNS answer: PTR, SRV, TXT and A of one service."""
    full = f"{instance}.{SERVICE}"
    text = b"".join(bytes([len(word)]) + word for word in txt)
    records = [_record(SERVICE, 12, _name(full), ttl, False),
               _record(full, 33, struct.pack(">HHH", 0, 0, PORT) + _name(host), ttl),
               _record(full, 16, text, ttl), _record(host, 1, socket.inet_aton(address), ttl)]
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def words_of(identity: str, name: bytes = b"", role: bytes = b"laptop") -> list[bytes]:
    """A TXT record as Kith makes it."""
    return [b"txtvers=1", b"v=1", b"id=" + identity.encode(), b"role=" + role] \
        + ([b"name=" + name] if name else [])


def _shout(o: Order, packets: Iterator[bytes], pause: float = 0.0004) -> dict:
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        sock.bind(("", MDNS[1]))
        while o.going():
            try:
                sock.sendto(next(packets), MDNS)
            except OSError:
                pass
            sent += 1
            time.sleep(pause)
    return {"packets": sent}


def _fake(number: int) -> tuple[str, str, str]:
    return f"kith-f{number}", f"f{number}.local", f"10.77.0.{150 + number % 90}"


def many_services(o: Order) -> dict:
    """3,000 devices."""
    def packets() -> Iterator[bytes]:
        while True:
            for n in range(3000):
                yield announcement(*_fake(n), words_of(f"{n:016x}"))
    return _shout(o, packets())


def hostile_text(o: Order) -> dict:
    """TXT records with escape sequences, direction controls, junk, and much of it."""
    names = [b"\x1b[2Jgone", b"\xc2\x9b31m", b"a\0b", b"\xff\xfe", "a\u202egnp.exe".encode(),
             "lap\u200btop".encode(), b"a" + "\u0301".encode() * 40, b"x" * 200, b"\n\n\r"]

    def packets() -> Iterator[bytes]:
        while True:
            for n in range(200):
                words = words_of(f"{n:016x}", names[n % len(names)])
                if n % 5 == 0:
                    words = [o.dice.randbytes(200) for _ in range(6)]
                yield announcement(*_fake(n), words)
    return _shout(o, packets())


def flapping(o: Order) -> dict:
    """500 devices that come and go."""
    def packets() -> Iterator[bytes]:
        while True:
            for ttl in (120, 0):
                for n in range(500):
                    yield announcement(*_fake(n), words_of(f"{n:016x}"), ttl)
    return _shout(o, packets(), 0.0001)


def goodbyes(o: Order) -> dict:
    """Goodbyes in the name of devices that are there (their instances)."""
    def packets() -> Iterator[bytes]:
        while True:
            for instance in o.live:
                yield announcement(instance, "gone.local", "10.77.0.250", words_of(o.id), 0)
    return _shout(o, packets(), 0.05)


def poison(o: Order) -> dict:
    """Thirty addresses at which nobody is, for the public id of a paired device."""
    def packets() -> Iterator[bytes]:
        while True:
            for n in range(30):
                yield announcement(f"kith-p{n}", f"p{n}.local", f"10.77.0.{150 + n}",
                                   words_of(o.id))
    return _shout(o, packets(), 0.01)


def namesakes(o: Order) -> dict:
    """20 strangers with the name of a paired device, who want to pair."""
    def packets() -> Iterator[bytes]:
        while True:
            for n in range(20):
                yield announcement(*_fake(n), words_of(f"{n + 1:016x}", b"desktop", b"desktop"))
    return _shout(o, packets(), 0.005)


# -- another user of the device -------------------------------------------------------------------


def _unix(path: str, kind: int, count: int, say: bytes, read: bool = False) -> dict:
    """Keeps `count` connections that say something, as often as they are taken."""
    o, made, refused, socks = _unix.order, 0, 0, []
    while o.going():
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.settimeout(0.2)
        try:
            sock.connect(path)
            if say:
                sock.send(say)
            if read:
                sock.recv(65536)
            socks.append(sock)
        except OSError:
            refused += 1
            sock.close()
        made += 1
        if len(socks) >= count:
            for old in socks[:count // 10]:
                old.close()
            del socks[:count // 10]
    return {"connects": made, "refused": refused}


def local_json(o: Order) -> dict:
    """Deep, giant and broken JSON."""
    kinds = [b"[" * 5000, b'{"id":1,"op":"status","x":' + b"[" * 3000 + b"]" * 3000 + b"}\n",
             b"x" * 70000, b'{"id":1e999,"op":"devices"}\n' * 100, o.dice.randbytes(5000) + b"\n"]
    done = 0
    while o.going():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(0.2)
            try:
                sock.connect(o.control)
                sock.sendall(kinds[done % len(kinds)])
                sock.recv(65536)
            except OSError:
                pass
        done += 1
    return {"requests": done}


def local_unread(o: Order) -> dict:
    """20 clients that ask for the devices and never read."""
    done, socks = 0, []
    while o.going():
        socks = socks[-19:]
        try:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            sock.connect(o.control)
            socks.append(sock)
        except OSError:
            pass
        for sock in socks:
            try:
                sock.send(b'{"id":1,"op":"devices"}\n' * 16)
                done += 16
            except OSError:
                pass
        time.sleep(0.005)
    return {"requests": done}


def local_control(o: Order) -> dict:
    """1,000 connections to kithd's socket."""
    return _unix(o.control, socket.SOCK_STREAM, 1000, b"")


def local_policyd(o: Order) -> dict:
    """1,000 connections to kith-policyd's socket."""
    return _unix(o.policyd, socket.SOCK_SEQPACKET, 1000, b"")


def local_both(o: Order) -> dict:
    """1,000 to each of them at once."""
    found = {}
    threads = [threading.Thread(target=lambda f=f: found.update({f.__name__: f(o)["connects"]}))
               for f in (local_control, local_policyd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def local_noise(o: Order) -> dict:
    """Random records to kith-policyd."""
    done, sock = 0, None
    while o.going():
        try:
            if not sock:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                sock.settimeout(0.2)
                sock.connect(o.policyd)
            body = o.dice.randbytes(o.dice.randrange(300))
            sock.send(IPC.pack(IPC_MAGIC, 1, o.dice.randrange(200), 0, 7, len(body)) + body)
            if not sock.recv(65536):
                raise ConnectionError
        except OSError:
            if sock:
                sock.close()
            sock = None
        done += 1
    return {"records": done}


ATTACKS = {f.__name__: f for f in (
    idle, slow_hello, whole_hello, garbage, connect_close, no_certificate, other_certificate,
    syn_flood, early_preface, many_services, hostile_text, flapping, goodbyes, poison, namesakes,
    local_json, local_unread, local_control, local_policyd, local_both, local_noise)}


def main() -> None:
    """The program inside the device."""
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    order = Order(json.loads(sys.argv[2]))
    _unix.order = order
    print(json.dumps(ATTACKS[sys.argv[1]](order)))
    sys.stdout.flush()
    os._exit(0)     # thousands of sockets go faster this way


if __name__ == "__main__":
    main()
