#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lets several programs open one swtpm, as several can open /dev/tpmrm0.

swtpm serves one connection at a time, and a daemon that keeps its connection open would lock out
everybody else, the lab's simulated measured boot included. One command and its response are the
unit; handles are not virtualised, so this is a TPM *without* resource manager.
Usage: tpmmux.py LISTEN_PATH SWTPM_PATH
"""
import os
import socket
import struct
import sys
import threading


def read_exactly(sock: socket.socket, length: int) -> bytes:
    """Reads length bytes; EOFError if the other side goes away."""
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_frame(sock: socket.socket) -> bytes:
    """A TPM command or response: tag (2), size (4, the whole frame), code (4), body."""
    head = read_exactly(sock, 10)
    size = struct.unpack(">I", head[2:6])[0]
    if not 10 <= size <= 65536:
        raise EOFError
    return head + read_exactly(sock, size - 10)


def serve(client: socket.socket, tpm: socket.socket, turn: threading.Lock) -> None:
    """Passes one client's commands on until it leaves; the TPM leaving ends the program."""
    with client:
        while True:
            try:
                command = read_frame(client)
            except (EOFError, OSError):
                return
            try:
                with turn:
                    tpm.sendall(command)
                    response = read_frame(tpm)
            except (EOFError, OSError):
                os._exit(1)
            try:
                client.sendall(response)
            except OSError:
                return


def main() -> None:
    """Listens for ever."""
    listen_path, tpm_path = sys.argv[1:3]
    tpm = socket.socket(socket.AF_UNIX)
    tpm.connect(tpm_path)
    listener = socket.socket(socket.AF_UNIX)
    os.umask(0o117)
    listener.bind(listen_path)
    listener.listen(16)
    os.chmod(listen_path, 0o660)
    import grp
    os.chown(listen_path, 0, grp.getgrnam("tss").gr_gid)
    turn = threading.Lock()
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, tpm, turn), daemon=True).start()


if __name__ == "__main__":
    main()
