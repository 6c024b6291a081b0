"""Tables of measured figures, put into documents between two marks."""

from __future__ import annotations

from pathlib import Path


def between(file: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between the marks of a document. Raises SystemExit where it has none."""
    whole = file.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise SystemExit(f"{file}: there are no lines {begin!r} and {end!r} to write between")
    head, _, rest = whole.partition(begin)
    file.write_text(f"{head}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")
