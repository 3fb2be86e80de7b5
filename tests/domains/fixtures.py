# SPDX-License-Identifier: Apache-2.0
"""The domains of libvirt's own tests, from Debian's source."""
import pathlib
import re
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def fetch_fixtures(folder: pathlib.Path) -> list[pathlib.Path]:
    """Debian's libvirt source by apt, without a change to this machine's lists."""
    (folder / "lists").mkdir()
    (folder / "cache").mkdir()
    (folder / "sources.list").write_text(
        f"deb-src [signed-by={KEYRING}] http://deb.debian.org/debian bookworm main\n")
    options = ["-o", f"Dir::Etc::sourcelist={folder}/sources.list",
               "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={folder}/lists",
               "-o", f"Dir::Cache={folder}/cache", "-o", "APT::Sandbox::User=root", "-qq"]
    for words in (["update"], ["source", "--download-only", "libvirt"]):
        subprocess.run(["apt-get", *options, *words], cwd=folder, check=True)
    [tarball] = folder.glob("libvirt_*.orig.tar.xz")
    subprocess.run(["tar", "-xf", tarball, "--wildcards", "*/tests/*.xml"], cwd=folder, check=True)
    return sorted(path for path in folder.glob("libvirt-*/tests/**/*.xml") if path.is_file()
                  and re.search(rb"^<domain[ >]", path.read_bytes(), re.MULTILINE))
