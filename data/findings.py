"""What a look at a data set finds: where, what was expected, what is there, and the mend."""

from dataclasses import dataclass

AGAIN = "delete this file and generate again with the same recipe, which computes what is missing"

SEVERITIES = ("damage", "warning", "note")
"""Numbers lost, wrong or vouched for by nothing; what misleads or does not belong; what is worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One finding; as text one sentence."""

    file: str  #: within the folder, or ``""`` for the folder
    inside: str  #: array, attribute or key of the file, or ``""`` for all of it
    expected: str
    found: str
    mend: str
    severity: str = "damage"  #: one of :data:`SEVERITIES`

    def __str__(self) -> str:
        place = f"{self.file}:/{self.inside}" if self.inside else self.file or "the folder"
        return f"{place}: expected {self.expected}, found {self.found}; {self.mend}."


def refused(file: str, expected: str, error: Exception, path: object) -> Finding:
    """The finding that a sentence of the form ``path:/inside: what is wrong; the mend.`` makes."""
    text = " ".join(str(error).split()).removeprefix(str(path)).rstrip(".")
    inside, colon, rest = text.partition(": ")
    inside, rest = (inside.removeprefix(":").strip("/"), rest) if colon else ("", text)
    found, _, mend = rest.partition("; ")
    return Finding(file, inside, expected, found.removeprefix("is ") or type(error).__name__, mend or AGAIN)


def shown(name: str) -> str:
    """A file's name as one line of text can tell it."""
    return name if name.isprintable() else ascii(name)[1:-1]
