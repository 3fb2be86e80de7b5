#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Notes when each piece of a guest's serial output arrived at this host.

QEMU writes serial ports to plain files (nothing is lost when no one reads); this watches the
folder by inotify and appends to EVENTS one line per piece:
	<CLOCK_MONOTONIC in ns> <file name> <base64 of the new bytes>
All devices of a lab share one kernel, so these clocks can be compared between "hosts". QEMU writes
byte by byte; bytes that come within GATHER of the first are one piece and carry the first's time.
Usage: serialwatch.py FOLDER EVENTS
"""
import base64
import ctypes
import os
import pathlib
import sys
import time

IN_MODIFY, IN_CREATE, IN_MOVED_TO = 0x2, 0x100, 0x80
PREFIX = "qemu-serial-"
GATHER = 0.002


def drain(folder: pathlib.Path, offsets: dict[str, int], events: int, now: int) -> None:
    """Records what has been added to each file since the last call, as arrived at `now`."""
    for path in folder.glob(PREFIX + "*"):
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                at = offsets.get(path.name, 0)
                if size < at:       # QEMU opened the file anew
                    at = 0
                file.seek(at)
                data = file.read()
        except FileNotFoundError:
            continue
        offsets[path.name] = at + len(data)
        if data:
            line = f"{now} {path.name} {base64.b64encode(data).decode()}\n"
            os.write(events, line.encode())


def main() -> None:
    """Watches until killed. Files that are there at the start count from their current end."""
    folder, events_path = pathlib.Path(sys.argv[1]), sys.argv[2]
    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(0o2000000)     # IN_CLOEXEC
    mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO
    if inotify < 0 or libc.inotify_add_watch(inotify, str(folder).encode(), mask) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    events = os.open(events_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    offsets = {path.name: path.stat().st_size for path in folder.glob(PREFIX + "*")}
    while True:
        os.read(inotify, 65536)
        now = time.monotonic_ns()
        time.sleep(GATHER)
        drain(folder, offsets, events, now)


if __name__ == "__main__":
    main()
