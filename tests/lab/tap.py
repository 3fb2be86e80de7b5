# SPDX-License-Identifier: Apache-2.0
"""The Test Anything Protocol, which automake's driver reads."""
import sys
import threading
import traceback


class Tap:
    """`with Tap() as tap: tap.ok(...)`: prints a line for each check, the plan at the end.

    A check that fails makes the exit code 1; an exception is a failed check, not silence. Threads
    may check side by side.
    """

    def __init__(self) -> None:
        self.count = self.failed = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "Tap":
        return self

    def ok(self, good: object, name: str, detail: str = "") -> bool:
        """One check; detail is shown when it fails."""
        with self._lock:
            self.count += 1
            print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
            if not good:
                self.failed += 1
                for line in (detail or "no detail").splitlines():
                    print(f"#   {line}", flush=True)
        return bool(good)

    def equal(self, got: object, wanted: object, name: str) -> bool:
        """A check that two values are the same."""
        return self.ok(got == wanted, name, f"got {got!r}\nwanted {wanted!r}")

    @staticmethod
    def note(text: str) -> None:
        """A remark, such as a measured time."""
        print(f"# {text}", flush=True)

    def skip(self, name: str, why: str) -> None:
        """A check that cannot be made here; said aloud."""
        with self._lock:
            self.count += 1
            print(f"ok {self.count} - {name} # SKIP {why}", flush=True)

    def __exit__(self, kind, error, trace) -> None:
        if kind and not issubclass(kind, (SystemExit, KeyboardInterrupt)):
            self.ok(False, "no exception", "".join(traceback.format_exception(kind, error, trace)))
        elif kind:
            return
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed or not self.count else 0)
