# SPDX-License-Identifier: Apache-2.0
"""What `kith --json` prints, held against docs/kith.schema.json: strictly, so that a member which
is not documented is found too. Every lab test does so with every document that it reads."""
import json
import pathlib

try:
    import jsonschema
except ImportError:     # ./bootstrap check installs it
    jsonschema = None

FILE = pathlib.Path(__file__).resolve().parents[2] / "docs/kith.schema.json"
TAKES_VALUE = {"--config", "-c", "--color", "--timeout", "--rung", "--devices", "--lines", "-n",
               "--since", "--vm", "--device"}


def _strict(part: object) -> object:
    """The same schema that takes no member which it does not name."""
    if isinstance(part, list):
        return [_strict(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: _strict(value) for key, value in part.items()}
    if part.get("type") == "object" and "properties" in part:
        made.setdefault("additionalProperties", False)
    return made


class Contract:
    """The schemas by command; remembers what broke them, and which commands were seen."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.seen: set[str] = set()
        whole = json.loads(FILE.read_text())
        self.commands: dict = whole["commands"]
        self.possible = jsonschema is not None
        self._checks = {}
        for name, schema in self.commands.items() if self.possible else ():
            self._checks[name] = jsonschema.Draft202012Validator(
                {**_strict(schema), "$defs": _strict(whole["$defs"])})

    def command_of(self, words: list[str]) -> list[str]:
        """The commands whose documents these words bring; bare `kith` brings three."""
        plain, skip, ended = [], False, False
        for number, word in enumerate(words):
            if skip:
                skip = False
            elif word == "--" and not ended:
                ended = True
            elif word.startswith("-") and word != "-" and not ended:
                # -n is --no-input before `log`, and takes a number behind it.
                skip = word in TAKES_VALUE and (word != "-n" or "log" in words[:number])
            else:
                plain.append(word)
        if "--help" in words or "-h" in words:
            return ["help"]
        if not plain:
            return ["status", "devices", "vms"]
        two = " ".join(plain[:2])
        return [two if two in self.commands else plain[0]]

    def check(self, words: list[str], document: dict) -> None:
        """One document of the command with these words."""
        if not self.possible:
            return
        names = ["error"] if set(document) == {"error", "schema"} else self.command_of(words)
        found = []
        for name in names:
            if name not in self._checks:
                found.append(f"kith {' '.join(words)}: no schema for {name!r}")
                continue
            errors = list(self._checks[name].iter_errors(document))
            if not errors:
                self.seen.add(name)
                return
            best = jsonschema.exceptions.best_match(errors)
            found.append(f"kith {' '.join(words)}: {best.json_path}: {best.message[:300]}")
        self.broken += found[:1]
