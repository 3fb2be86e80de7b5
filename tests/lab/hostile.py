#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A peer that does not keep the rules. The test calls run(); inside the device this file then runs
as a program: attempts come in as a pickle on standard input, outcomes go out as JSON."""
import base64
import ctypes
import hashlib
import json
import pickle
import re
import select
import socket
import sqlite3
import ssl
import struct
import sys
import time

PORT = 4747
SELF = "/run/lab/tests/lab/hostile.py"
HEADER, NONCE, TAG = 48, 24, 16     # of store.db: the header is authenticated with the rest
WAIT = 15


# -- outside: the real key of a device, and certificates made with it -----------------------------


def decrypt_store(box: bytes, key: bytes) -> bytes | None:
    """The SQLite image inside store.db; None if it is not the key."""
    sodium = ctypes.CDLL("libsodium.so.23")
    image = ctypes.create_string_buffer(len(box) - HEADER - TAG)
    wrong = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        image, None, None, box[HEADER:], ctypes.c_ulonglong(len(box) - HEADER), box,
        ctypes.c_ulonglong(HEADER), box[HEADER - NONCE:HEADER], key)
    return None if wrong else image.raw


def memory(pid: int, largest: int = 64 << 20) -> list[bytes]:
    """The private writable memory of a process, guarded pages included."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            area, rights, *rest = line.split()
            start, end = (int(part, 16) for part in area.split("-"))
            if "p" not in rights or "x" in rights or end - start > largest or \
                    (len(rest) > 3 and rest[3].startswith("/")) or rest[-1] == "[vvar]":
                continue
            try:
                mem.seek(start)
                found.append(mem.read(end - start))
            except OSError:
                continue
    return found


def find_database_key(device) -> tuple[bytes, bytes] | None:
    """(key, SQLite image) of a running kith-policyd: the 32 bytes that decrypt its database."""
    box = (device.host_path("/var/lib/kith/policyd") / "store.db").read_bytes()
    seen = set()
    for area in memory(device.pids("kith-policyd")[0]):
        for at in range(0, len(area) - 31, 8):
            key = area[at:at + 32]
            # Keys are random: most of their bytes differ from each other.
            if len(set(key)) < 24 or key in seen:
                continue
            seen.add(key)
            if image := decrypt_store(box, key):
                return key, image
    return None


def keys_in(image: bytes) -> dict[str, bytes]:
    """Every secret of the database by its name."""
    database = sqlite3.connect(":memory:")
    database.deserialize(image)
    return {name: value for name, value in
            database.execute("SELECT key, value FROM meta WHERE key LIKE '%\\_sk' ESCAPE '\\'")}


def device_seed(device) -> bytes:
    """The Ed25519 seed of a running device."""
    return keys_in(find_database_key(device)[1])["device_sk"][:32]


def _pem(kind: str, der: bytes) -> str:
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"


def prepare(device, name: str, seed: bytes, forge: bool = False) -> str:
    """Makes /tmp/NAME.{pem,key} in the device: device certificate of `seed` and a leaf under it.

    forge: the leaf is signed by another key with the same name.
    """
    pkcs8 = bytes.fromhex("302e020100300506032b657004220420")
    device.run(["tee", f"/tmp/{name}.device"], input=_pem("PRIVATE KEY", pkcs8 + seed))
    signer = pkcs8 + (hashlib.sha256(seed).digest() if forge else seed)
    device.run(["tee", f"/tmp/{name}.signer"], input=_pem("PRIVATE KEY", signer))
    device.run(["sh", "-e", "-c", f"""cd /tmp
        for who in device signer; do openssl req -x509 -key {name}.$who -subj /CN=kith-x -days 9 \\
            -addext basicConstraints=critical,CA:TRUE,pathlen:0 -out {name}.$who.pem; done
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kith-leaf \\
            -keyout {name}.key -out {name}.csr
        openssl x509 -req -in {name}.csr -CA {name}.signer.pem -CAkey {name}.signer -days 3 \\
            -CAcreateserial -out {name}.leaf.pem
        cat {name}.leaf.pem {name}.device.pem > {name}.pem
        openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=some -days 3 -keyout rsa.key \\
            -out rsa.pem"""])
    return name


def link_message(kind: int, hid: bytes, blob: bytes, version: int = 1, reserved: int = 0) -> bytes:
    """A message of the peer channel."""
    return struct.pack("<BBH", kind, version, reserved) + hid + struct.pack("<I", len(blob)) + blob


def run(device, address: str, attempts: list[dict]) -> list[dict]:
    """Makes the attempts from inside the device; what came of each."""
    text = base64.b64encode(pickle.dumps(attempts)).decode()
    done = device.run(["python3", "-B", SELF, address], input=text, timeout=120)
    return json.loads(done.stdout)


# -- inside ---------------------------------------------------------------------------------------


def _context(attempt: dict) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    chain = attempt.get("chain", "own")
    if chain:
        context.load_cert_chain(f"/tmp/{chain}.pem", f"/tmp/{chain}.key")
    if attempt.get("tls12"):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _frame(opcode: int, payload: bytes, final: bool = True, masked: bool = True) -> bytes:
    head = bytes([opcode | (0x80 if final else 0)])
    if len(payload) < 126:
        head += bytes([len(payload) | (0x80 if masked else 0)])
    elif len(payload) < 65536:
        head += bytes([126 | (0x80 if masked else 0)]) + struct.pack(">H", len(payload))
    else:
        head += bytes([127 | (0x80 if masked else 0)]) + struct.pack(">Q", len(payload))
    return head + (bytes(4) if masked else b"") + payload     # a mask of zeros changes nothing


def _bytes_of(attempt: dict) -> bytes:
    if "text" in attempt:
        return _frame(1, attempt["text"].encode())
    if "binary" in attempt:
        return _frame(2, attempt["binary"])
    if "unmasked" in attempt:
        return _frame(2, attempt["unmasked"], masked=False)
    if "pieces" in attempt:
        first, *middle = attempt["pieces"]
        return _frame(2, first, final=False) + b"".join(_frame(0, p, final=False) for p in middle)
    return attempt["raw"]


def _upgrade(sock: ssl.SSLSocket, attempt: dict) -> bytes:
    """What the server answers to the WebSocket handshake."""
    key = base64.b64encode(bytes(16)).decode()
    sock.sendall(f"GET {attempt.get('path', '/peer')} HTTP/1.1\r\nHost: kith\r\nUpgrade: websocket"
                 f"\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13"
                 f"\r\nSec-WebSocket-Protocol: {attempt.get('protocol', 'kith-peer')}\r\n\r\n"
                 .encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(4096)
        if not piece:
            break
        answer += piece
    return answer


def _read_end(sock: ssl.SSLSocket, rest: bytes) -> dict:
    """Reads to the end of the connection; the code of a refusal that came before it."""
    data = rest
    try:
        while piece := sock.recv(65536):
            data += piece
    except (ssl.SSLError, ConnectionError):
        pass
    result = {"outcome": "closed", "bytes": len(data)}
    if len(data) > 30 and data[0] == 0x82:
        start = 2 if data[1] < 126 else 4
        result["outcome"] = f"an answer of kind {data[start]}"
        if data[start] == 3:    # REFUSED: its blob starts with the code
            result["code"] = struct.unpack("<H", data[start + 24:start + 26])[0]
    return result


def _alert(error: ssl.SSLError) -> str:
    match = re.search(r"alert ([a-z0-9 ]+)", str(error))
    return f"TLS alert {match[1].strip()}" if match else f"TLS: {error}"


def _tls(address: str, attempt: dict) -> dict:
    with socket.create_connection((address, PORT), 5) as plain:
        plain.settimeout(WAIT)
        try:
            with _context(attempt).wrap_socket(plain) as sock:
                answer = _upgrade(sock, attempt)
                if b" 101 " not in answer.split(b"\r\n")[0]:
                    return {"outcome": "not upgraded", "answer": repr(answer[:60])}
                if not set(attempt) & {"text", "binary", "unmasked", "pieces", "raw"}:
                    return {"outcome": "open"}
                try:
                    sock.sendall(_bytes_of(attempt))
                except (ssl.SSLError, ConnectionError):
                    pass    # it may hang up before it has read everything
                return _read_end(sock, answer.split(b"\r\n\r\n", 1)[1])
        except ssl.SSLError as error:
            return {"outcome": _alert(error)}


def _plain(address: str, data: bytes) -> dict:
    with socket.create_connection((address, PORT), 5) as sock:
        sock.settimeout(WAIT)
        try:
            sock.sendall(data)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    return {"outcome": "closed"}


def _silent(address: str, count: int) -> dict:
    socks = [socket.create_connection((address, PORT), 5) for _ in range(count)]
    time.sleep(1)
    gone = select.select(socks, [], [], 0)[0]
    for sock in socks:
        sock.close()
    return {"outcome": "closed", "refused": len(gone)}


def _attempt(address: str, attempt: dict) -> dict:
    begin = time.monotonic()
    try:
        if "bytes" in attempt:
            result = _plain(address, attempt["bytes"])
        elif "silent" in attempt:
            result = _silent(address, attempt["silent"])
        else:
            result = _tls(address, attempt)
    except TimeoutError:
        result = {"outcome": "stays open"}
    except OSError as error:
        result = {"outcome": f"closed at once: {error}"}
    return {**result, "seconds": round(time.monotonic() - begin, 2)}


def main() -> None:
    """The program inside the device."""
    attempts = pickle.loads(base64.b64decode(sys.stdin.read()))
    print(json.dumps([_attempt(sys.argv[1], attempt) for attempt in attempts]))


if __name__ == "__main__":
    main()
