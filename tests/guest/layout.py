# SPDX-License-Identifier: Apache-2.0
"""Where things lie on the test guest's disk and how its canaries are made.

Shared by mkguest, the lab and the oracle; the numbers for the guest itself are in init.c.
"""
import hashlib
import struct

MIB = 1 << 20
PAGE = 4096
SECTOR = 512
BOOT_OFF = 1 * MIB          # FAT partition: syslinux, kernel, initramfs
BOOT_LEN = 64 * MIB
STATE_OFF = 65 * MIB        # configuration, epoch and tick ring: the only part the guest writes
STATE_LEN = 8 * MIB
EPOCH_OFF = STATE_OFF + 4096
RING_OFF = STATE_OFF + 8192
RING_LEN = 4096
DATA_OFF = STATE_OFF + STATE_LEN    # canary and random data, never written by the guest
CANARY_EVERY = 64 * 1024    # one page of canaries at the start of each such piece of data


def canary(kind: str, seed: str) -> bytes:
    """The 32 secret bytes that fill canary pages; kind is "ram" or "disk"."""
    return hashlib.sha256(f"kith-{kind}-canary:{seed}".encode()).digest()


def config_sector(seed: str, **settings: int) -> bytes:
    """The configuration page that init.c reads; settings are its numeric keys (tick_ms, ...)."""
    number = int.from_bytes(hashlib.sha256(f"kith-ram-fill:{seed}".encode()).digest()[:8], "big")
    lines = ["KITHGUEST 1", f"canary={canary('ram', seed).hex()}", f"seed={number}"]
    lines += [f"{key}={value}" for key, value in settings.items()]
    return ("\n".join(lines) + "\n").encode().ljust(PAGE, b"\0")


def partition_table(disk_len: int) -> bytes:
    """The 72 bytes of an MBR from offset 440: three primary partitions, the first one active."""
    def entry(active: int, kind: int, start: int, length: int) -> bytes:
        chs = b"\xfe\xff\xff"   # "too big for CHS": every BIOS that boots us uses LBA
        return struct.pack("<B3sB3sII", active, chs, kind, chs, start // SECTOR, length // SECTOR)
    return (struct.pack("<IH", 0x4B495448, 0) + entry(0x80, 0x0E, BOOT_OFF, BOOT_LEN)
            + entry(0, 0xDA, STATE_OFF, STATE_LEN) + entry(0, 0xDA, DATA_OFF, disk_len - DATA_OFF)
            + bytes(16) + b"\x55\xaa")
