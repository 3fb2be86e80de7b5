#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Process 1 of a lab device: arranges the mounts, says so, then reaps orphans until it is killed.

Started as `unshare -m -u -i -p -f --mount-proc ... holder.py DIRECTORY NAME BUILD TESTS` in the
device's network namespace. When it dies, the kernel kills everything in the device and drops its
mounts with the namespace: that is the whole teardown. Its arguments name the lab's folder, which
is how a later `lab down` finds a device whose maker crashed.
"""
import os
import pathlib
import signal
import socket
import subprocess
import sys

# Overlays give a device its own version of these trees without copying them ...
OVERLAYS = {"etc": "/etc", "varlib": "/var/lib"}
# ... and these are the device's own plain folders (file locks, sockets, disk images, big files).
FOLDERS = {
    "libvirt": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log/libvirt": "/var/log/libvirt",
    "log/swtpm": "/var/log/swtpm",
    "etc-libvirt": "/etc/libvirt",
    "etc-kith": "/etc/kith",
    "kith": "/var/lib/kith",
    "swtpm": "/var/lib/swtpm",
    "tmp": "/tmp",
    "run": "/run",
}


def mount(*args: str) -> None:
    """mount(8), which knows overlay options better than a raw system call."""
    subprocess.run(["/usr/bin/mount", *args], check=True)


def arrange(base: pathlib.Path, build: str, tests: str) -> None:
    """Mounts everything. /run comes last, since the lab's own folder may lie below it."""
    base_fd = os.open(base, os.O_PATH | os.O_DIRECTORY)     # survives the mounts below
    build_fd = os.open(build, os.O_PATH | os.O_DIRECTORY)
    tests_fd = os.open(tests, os.O_PATH | os.O_DIRECTORY)
    os.chdir(base)
    for name, target in OVERLAYS.items():
        for part in ("upper", "work"):
            (base / "overlay" / name / part).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={target},upperdir=overlay/{name}/upper,workdir=overlay/{name}/work"
        mount("-t", "overlay", "kith-lab", "-o", options, target)
    os.makedirs(f"/proc/self/fd/{base_fd}/run/lab/build", exist_ok=True)
    os.makedirs(f"/proc/self/fd/{base_fd}/run/lab/tests", exist_ok=True)
    for name, target in FOLDERS.items():
        os.makedirs(f"/proc/self/fd/{base_fd}/{name}", exist_ok=True)
        os.makedirs(target, exist_ok=True)
        mount("--bind", "-c", f"/proc/{os.getpid()}/fd/{base_fd}/{name}", target)
    mount("--bind", "-c", f"/proc/{os.getpid()}/fd/{build_fd}", "/run/lab/build")
    mount("--bind", "-c", f"/proc/{os.getpid()}/fd/{tests_fd}", "/run/lab/tests")
    for fd in (base_fd, build_fd, tests_fd):
        os.close(fd)


def main() -> None:
    """Sets up, writes one byte to standard output, then waits for children for ever."""
    directory, name, build, tests = sys.argv[1:5]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)
    socket.sethostname(name)
    arrange(pathlib.Path(directory), build, tests)
    os.chdir("/")
    pathlib.Path("/etc/hostname").write_text(name + "\n")
    pathlib.Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n")
    os.write(1, b"!")
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.sigwait([signal.SIGCHLD])


if __name__ == "__main__":
    main()
