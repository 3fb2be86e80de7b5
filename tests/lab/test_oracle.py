#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle must catch what it exists for: each fault made by hand, with its positive twin."""
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import lab      # noqa: E402,F401  (sets the module path)
import guestimage   # noqa: E402
import layout   # noqa: E402
import oracle   # noqa: E402
from guest import Guest     # noqa: E402
from tap import Tap     # noqa: E402

MS = 1_000_000


def host_ticks(first: int, last: int, start_ms: int, epoch: int = 1) -> list[tuple[int, bytes]]:
    """Serial output of one host: a tick each 20 ms."""
    return [((start_ms + 20 * i) * MS, b"TICK %d %d %d\n" % (epoch, n, 20 * n))
            for i, n in enumerate(range(first, last + 1))]


def good() -> oracle.Events:
    """A clean hand-off with 80 ms of downtime after tick 100."""
    return {"laptop": host_ticks(1, 100, 0), "desktop": host_ticks(101, 200, 2080)}


def serial_tests(tap: Tap) -> None:
    """Faults of the running copies."""
    route = ["laptop", "desktop"]
    report = oracle.judge(good(), route)
    tap.ok(report.ok and report.ticks == 200, "a clean hand-off is accepted", report.sentence())
    tap.equal(report.downtime_ms, [80], "downtime is the silence less one period")

    events = good()
    events["laptop"] = host_ticks(1, 110, 0)
    report = oracle.judge(events, route)
    tap.ok(report.overlap and "twice" in report.sentence(), "a double run is caught",
           report.sentence())

    events = {"laptop": host_ticks(1, 200, 0), "desktop": host_ticks(101, 150, 60000)}
    report = oracle.judge(events)
    tap.ok(report.overlap and report.step_back, "a stale copy resumed much later is caught",
           report.sentence())

    events = {"laptop": host_ticks(1, 100, 0) + host_ticks(151, 160, 3100),
              "desktop": host_ticks(101, 150, 2080) + host_ticks(161, 200, 3400)}
    report = oracle.judge(events, route)
    tap.ok(report.overlap, "changing hosts more often than told is caught", report.sentence())

    events = {"laptop": host_ticks(1, 100, 0), "desktop": host_ticks(91, 200, 2080)}
    report = oracle.judge(events, route)
    tap.ok(report.step_back, "a step back is caught", report.sentence())

    events = {"laptop": host_ticks(1, 100, 0), "desktop": host_ticks(104, 200, 2080)}
    report = oracle.judge(events, route)
    tap.ok(not report.ok and report.ticks_lost == 3, "a hole is caught and counted",
           report.sentence())
    tap.ok(oracle.judge(events, route, may_lose=3).ok, "a hole that was allowed is accepted")

    events = {"laptop": host_ticks(1, 100, 0), "desktop": host_ticks(1, 100, 4000, epoch=2)}
    report = oracle.judge(events, route)
    tap.ok("rebooted" in report.sentence(), "a reboot is not a move", report.sentence())
    tap.ok(oracle.judge(events, route, reboots=1).ok, "a reboot that was expected is accepted")

    report = oracle.judge({"laptop": host_ticks(1, 100, 0), "desktop": []}, route)
    tap.ok(not report.ok, "a guest that stayed has not moved", report.sentence())
    report = oracle.judge({"laptop": [], "desktop": []})
    tap.ok(not report.ok, "a guest that never ran is no success", report.sentence())


def line_tests(tap: Tap) -> None:
    """Lines that the switch-over cut, and what the guest says itself."""
    route = ["laptop", "desktop"]
    events = good()
    for cut in (1, 4, 5, 9, 13):
        line = b"TICK 1 101 2020\n"
        events["laptop"] = host_ticks(1, 100, 0) + [(2000 * MS, line[:cut])]
        events["desktop"] = [(2080 * MS, line[cut:])] + host_ticks(102, 200, 2100)
        report = oracle.judge(events, route)
        tap.ok(report.ok and report.ticks == 200, f"a line cut after {cut} bytes is joined",
               report.sentence())
    events["laptop"] = host_ticks(1, 100, 0) + [(2000 * MS, b"TICK 1 1")]
    events["desktop"] = host_ticks(101, 200, 2080)
    report = oracle.judge(events, route)
    tap.ok("torn" in report.sentence(), "output that vanished in the middle is caught",
           report.sentence())
    events = good()
    events["desktop"].append((9000 * MS, b"BAD ram page 7\n"))
    report = oracle.judge(events, route)
    tap.ok("BAD ram page 7" in report.sentence(), "damage that the guest saw is reported",
           report.sentence())
    events = good()
    events["laptop"].insert(0, (0, b"SeaBIOS\r\n\x1b[2J\nBOOT 1\nREADY 64 300\n"))
    tap.ok(oracle.judge(events, route).ok, "firmware chatter does not disturb")


class HostFolder:
    """Stands for a Device where only a disk image is asked for."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def host_path(self, inside: str) -> pathlib.Path:
        """The image, whatever it is called inside."""
        return self.path / pathlib.Path(inside).name


def small_disk(path: pathlib.Path, ticks: int) -> None:
    """A disk image with data and a tick ring but no boot partition."""
    with open(path, "wb") as disk:
        disk.truncate(96 * layout.MIB)
        disk.seek(layout.DATA_OFF)
        for piece in guestimage._data("oracle", 8 * layout.MIB):
            disk.write(piece)
        for sequence in range(1, ticks + 1):
            disk.seek(layout.RING_OFF + sequence % layout.RING_LEN * layout.SECTOR)
            disk.write(b"TICK 1 %d %d\n" % (sequence * 5, sequence))


def disk_tests(tap: Tap) -> None:
    """Faults of a disk, in real images."""
    with tempfile.TemporaryDirectory() as folder:
        device, vm = HostFolder(pathlib.Path(folder)), Guest("work")
        small_disk(pathlib.Path(folder, "a.img"), 100)

        def problems(at: int, new: bytes, ticks: int = 120) -> list[str]:
            target = pathlib.Path(folder, "b.img")
            small_disk(target, ticks)
            with open(target, "r+b") as disk:
                disk.seek(at)
                disk.write(new)
            return oracle.judge_disk(
                vm.disk_digest(device, "a.img"), vm.disk_digest(device, "b.img"),
                vm.disk_ring(device, "a.img"), vm.disk_ring(device, "b.img"), 5)

        ring = layout.RING_OFF
        tap.equal(problems(0, b""), [], "a disk that only ticked on is accepted")
        for where, at in (("boot area", 5), ("before the state area", layout.STATE_OFF - 1),
                          ("after it", layout.DATA_OFF), ("data", layout.DATA_OFF + 5 * layout.MIB),
                          ("the last byte", 96 * layout.MIB - 1)):
            found = problems(at, b"\xa5")
            tap.ok(any("differ" in p for p in found), f"a changed byte is caught: {where}",
                   str(found))
        found = problems(ring + 50 * layout.SECTOR, bytes(layout.SECTOR))
        tap.ok(any("missing" in p for p in found), "a lost record is caught", str(found))
        found = problems(ring + 50 * layout.SECTOR, b"TICK 1 245 50\n")
        tap.ok(found, "an old record in place of a new one is caught", str(found))
        found = problems(0, b"", ticks=90)
        tap.ok(any("not on the target" in p for p in found), "lost last writes are caught",
               str(found))


if __name__ == "__main__":
    with Tap() as suite:
        serial_tests(suite)
        line_tests(suite)
        disk_tests(suite)
