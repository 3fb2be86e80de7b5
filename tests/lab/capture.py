# SPDX-License-Identifier: Apache-2.0
"""Everything that crosses the switch, kept in a pcap file and searched for what must not be."""
import mmap
import pathlib
import re
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

from netns import BRIDGE, Switch
from shell import LabError, alive, cmdline, kill, wait_for


class Capture:
    """One capture at a time: start(), stop(), then the questions. Frames lost make it void."""

    def __init__(self, switch: Switch, folder: pathlib.Path):
        self.switch, self.folder = switch, folder
        self.pcap, self.log, self.pidfile = (folder / n for n in ("lab.pcap", "log", "pid"))

    def start(self) -> None:
        """Starts tcpdump on the bridge and waits until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            # -B: a 256 MiB ring, since guests move at memory speed here; -Z: no user of its own.
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.switch.name, "tcpdump", "-i", BRIDGE, "-n", "-Z",
                 "root", "-s", "0", "-B", "262144", "-w", str(self.pcap)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pidfile.write_text(str(process.pid))
        self._process = process
        wait_for("tcpdump", lambda: "listening" in self.log.read_text(errors="replace"))

    def _pid(self) -> int:
        try:
            pid = int(self.pidfile.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return pid if alive(pid) and "tcpdump" in cmdline(pid) else 0

    def stop(self) -> int:
        """Ends the capture; returns the number of frames. LabError if the kernel lost any."""
        pid = self._pid()
        if not pid:
            raise LabError("no capture is running")
        time.sleep(1.3)     # tcpdump gets its frames in blocks that are at most 1 s old
        kill(pid, signal.SIGINT)
        if process := getattr(self, "_process", None):
            process.wait(60)
        wait_for("tcpdump's end", lambda: not alive(pid), 60)
        self.pidfile.unlink()
        text = self.log.read_text(errors="replace")
        lost = int(re.search(r"(\d+) packets? dropped by kernel", text).group(1))
        if lost:
            raise LabError(f"the capture is incomplete: {lost} frames lost")
        return int(re.search(r"(\d+) packets? captured", text).group(1))

    def forget(self) -> None:
        """Ends a running capture without ceremony."""
        if pid := self._pid():
            kill(pid)
        if process := getattr(self, "_process", None):
            process.wait(10)

    def contains(self, needles: dict[str, bytes]) -> dict[str, int]:
        """How often each named byte string occurs in the raw file (only those that do).

        Canaries fill whole pages, so any 63 bytes of a canary page hold one in full: segment
        borders and stream headers cannot hide them.
        """
        found = {}
        with open(self.pcap, "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for name, needle in needles.items():
                    if count := sum(1 for _ in re.finditer(re.escape(needle), data)):
                        found[name] = count
        return found

    def tcp(self) -> Iterator[tuple[float, int, int, int]]:
        """(time.time() of arrival, source port, destination port, payload bytes) of TCP frames."""
        with open(self.pcap, "rb") as file:
            magic = struct.unpack("<I", file.read(24)[:4])[0]
            unit = 1e-9 if magic == 0xA1B23C4D else 1e-6
            while len(head := file.read(16)) == 16:
                seconds, fraction, length, _ = struct.unpack("<IIII", head)
                if row := _tcp_of(file.read(length)):
                    yield (seconds + fraction * unit, *row)

    def bytes_by_port(self, before: float | None = None) -> Counter:
        """TCP payload bytes by service port, all or those seen before time.time() == before.

        The service port of a segment is the lower one where the other is ephemeral (32768 and up).
        """
        total: Counter = Counter()
        for when, source, target, payload in self.tcp():
            if before is None or when < before:
                total[min(source, target) if max(source, target) >= 32768 else target] += payload
        return total

    bytes_before = bytes_by_port


def _tcp_of(frame: bytes) -> tuple[int, int, int] | None:
    """Ports and payload length of an Ethernet frame that carries TCP over IPv4 or IPv6."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and len(frame) >= 34 and frame[23] == 6:
        start = 14 + (frame[14] & 15) * 4
        # A length of 0 marks segments joined by offload beyond 64 KiB.
        end = 14 + (int.from_bytes(frame[16:18], "big") or len(frame) - 14)
    elif kind == b"\x86\xdd" and len(frame) >= 54 and frame[20] == 6:
        start = 54
        end = 54 + (int.from_bytes(frame[18:20], "big") or len(frame) - 54)
    else:
        return None
    if len(frame) < start + 20:
        return None
    source, target = struct.unpack(">HH", frame[start:start + 4])
    return source, target, max(0, end - start - (frame[start + 12] >> 4) * 4)
