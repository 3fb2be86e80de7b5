# SPDX-License-Identifier: Apache-2.0
"""Builds the test guest: a Debian kernel, a small initramfs, a disk that boots by itself.

The guest boots from its disk, not by <kernel>, because a destination must never accept host paths
of kernels from another device. Nothing is installed and nothing is mounted: the kernel comes out
of its package by dpkg, the FAT file system is written by mtools and syslinux.
"""
import fcntl
import gzip
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

from layout import (BOOT_LEN, BOOT_OFF, CANARY_EVERY, DATA_OFF, MIB, PAGE,
                    STATE_OFF, canary, config_sector, partition_table)

HERE = pathlib.Path(__file__).resolve().parent
KERNEL_META = "linux-image-cloud-amd64"
MODULES = ["virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_legacy_dev",
           "virtio/virtio_pci_modern_dev", "virtio/virtio_pci", "block/virtio_blk",
           "acpi/button", "input/evdev"]
CFLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-static"]
CMDLINE = ("console=ttyS0 quiet loglevel=0 panic=1 tsc=unstable nokaslr mitigations=off "
           "random.trust_cpu=on cryptomgr.notests no_timer_check")


def default_cache() -> pathlib.Path:
    """$KITH_BUILD/guest, or build/guest at the top of the repository."""
    return pathlib.Path(os.environ.get("KITH_BUILD") or HERE.parents[1] / "build") / "guest"


def _run(*args: object, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, **kwargs)


def _fetch_kernel(cache: pathlib.Path) -> pathlib.Path:
    """The unpacked kernel package; downloaded once, kept in the cache."""
    tree = cache / "kernel"
    if next(tree.glob("boot/vmlinuz-*"), None):
        return tree
    depends = _run("apt-cache", "depends", KERNEL_META, text=True).stdout.split()
    package = next(word for word in depends if word.startswith("linux-image-6."))
    if not next(cache.glob(f"{package}_*.deb"), None):
        _run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package, cwd=cache)
    partial = cache / "kernel.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _run("dpkg", "-x", next(cache.glob(f"{package}_*.deb")), partial)
    partial.rename(tree)
    return tree


def _initramfs(work: pathlib.Path, kernel: pathlib.Path) -> pathlib.Path:
    """A cpio of our init, the virtio modules in load order and busybox for curious people."""
    root = work / "root"
    for folder in ("dev", "proc", "sys", "modules", "bin"):
        (root / folder).mkdir(parents=True)
    drivers = next(kernel.glob("lib/modules/*/kernel/drivers"))
    for name in MODULES:
        shutil.copy(drivers / f"{name}.ko", root / "modules")
    (root / "modules/order").write_text(
        "".join(f"{pathlib.Path(name).name}.ko\n" for name in MODULES))
    _run("gcc", *CFLAGS, HERE / "init.c", HERE / "tpm.c", "-o", root / "init")
    _run("strip", root / "init")
    shutil.copy("/bin/busybox", root / "bin/sh")
    names = "\n".join(sorted(str(p.relative_to(root)) for p in root.rglob("*"))) + "\n"
    archive = _run("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", cwd=root,
                   input=names.encode()).stdout
    out = work / "initrd.gz"
    out.write_bytes(gzip.compress(archive, 6))
    return out


def _unified(work: pathlib.Path, vmlinuz: pathlib.Path, initrd: pathlib.Path) -> pathlib.Path:
    """Kernel, initramfs and command line as one program that UEFI firmware starts by its name."""
    cmdline, image = work / "cmdline", work / "guest.efi"
    cmdline.write_text(CMDLINE)
    sections = ((".cmdline", cmdline, 0x30000), (".linux", vmlinuz, 0x2000000),
                (".initrd", initrd, 0x3000000))
    words = []
    for name, source, address in sections:
        words += ["--add-section", f"{name}={source}", "--change-section-vma", f"{name}={address}"]
    _run("objcopy", *words, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub", image)
    return image


def _boot_partition(work: pathlib.Path, vmlinuz: pathlib.Path,
                    initrd: pathlib.Path) -> pathlib.Path:
    """A FAT file system with syslinux, which loads kernel and initramfs without asking."""
    fat = work / "boot.img"
    with open(fat, "wb") as file:
        file.truncate(BOOT_LEN)
    _run("/sbin/mkfs.vfat", "-F", "16", "-h", str(BOOT_OFF // 512), "-n", "KITHGUEST", fat)
    config = work / "syslinux.cfg"
    config.write_text(f"DEFAULT guest\nPROMPT 0\nTIMEOUT 0\nLABEL guest\n  LINUX /vmlinuz\n"
                      f"  INITRD /initrd.gz\n  APPEND {CMDLINE}\n")
    _run("mmd", "-i", fat, "::EFI", "::EFI/BOOT")
    for source, name in ((vmlinuz, "vmlinuz"), (initrd, "initrd.gz"), (config, "syslinux.cfg"),
                         (_unified(work, vmlinuz, initrd), "EFI/BOOT/BOOTX64.EFI")):
        _run("mcopy", "-i", fat, source, f"::{name}")
    _run("syslinux", "--install", fat)
    return fat


def build(cache: pathlib.Path | None = None) -> pathlib.Path:
    """Makes (or finds) the boot partition image in the cache folder and returns its path."""
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    sources = [HERE / name for name in ("init.c", "tpm.c", "tpm.h", "guestimage.py", "layout.py")]
    stamp = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    ready = cache / f"boot-{stamp}.img"
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return ready
        kernel = _fetch_kernel(cache)
        vmlinuz = next(kernel.glob("boot/vmlinuz-*"))
        shutil.copy(vmlinuz, cache / "vmlinuz")     # also what "measured boot" measures
        with tempfile.TemporaryDirectory(dir=cache) as work:
            fat = _boot_partition(pathlib.Path(work), vmlinuz,
                                  _initramfs(pathlib.Path(work), kernel))
            for old in cache.glob("boot-*.img"):
                old.unlink()
            fat.rename(ready)
    return ready


def _data(seed: str, length: int, chunk: int = 4 * MIB):
    """Pieces of random data with a page of disk canaries at each CANARY_EVERY bytes."""
    source = random.Random(f"kith-disk-data:{seed}")
    page = canary("disk", seed) * (PAGE // 32)
    for _ in range(length // chunk):
        piece = bytearray(source.randbytes(chunk))
        for at in range(0, chunk, CANARY_EVERY):
            piece[at:at + PAGE] = page
        yield piece


def make_disk(path: pathlib.Path, seed: str, size_mib: int = 1024, data_mib: int = 512,
              image_format: str = "raw", cache: pathlib.Path | None = None,
              **settings: int) -> None:
    """Writes a bootable guest disk. settings go into the guest's configuration (see init.c)."""
    boot = build(cache)
    raw = path if image_format == "raw" else path.with_suffix(".raw.tmp")
    data_mib = min(data_mib, size_mib - DATA_OFF // MIB)
    with open(raw, "wb") as disk:
        disk.truncate(size_mib * MIB)
        disk.write(pathlib.Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes()[:440])
        disk.write(partition_table(size_mib * MIB))
        disk.seek(BOOT_OFF)
        with open(boot, "rb") as source:
            while piece := source.read(MIB):
                if any(piece):
                    disk.write(piece)
                else:
                    disk.seek(len(piece), os.SEEK_CUR)
        disk.seek(STATE_OFF)
        disk.write(config_sector(seed, **settings))
        disk.seek(DATA_OFF)
        for piece in _data(seed, data_mib * MIB):
            disk.write(piece)
    if raw != path:
        _run("qemu-img", "convert", "-f", "raw", "-O", image_format, raw, path)
        raw.unlink()
