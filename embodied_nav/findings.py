"""Findings of the ``doctor`` command and their text report. Knows nothing of how anything is examined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, WARNING, MISSING, OPTIONAL = "ok", "warning", "missing", "-"


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``state`` is ok, warning, missing, or - for an optional part that is absent."""

    section: str
    name: str
    state: str
    detail: str
    mend: str = ""


def report(findings: Sequence[Finding], all_well: str) -> str:
    """The findings as text, one line each, by section; ``all_well`` is the last line when nothing is missing."""
    width = max(len(f.name) for f in findings)
    lines: list[str] = []
    section = ""
    for f in findings:
        if f.section != section:
            section = f.section
            lines += ["", section] if lines else [section]
        lines.append(f"  {f.state:8}{f.name:{width}}  {f.detail}".rstrip())
        if f.mend:
            lines.append(f"  {'':8}{'':{width}}  -> {f.mend}")
    missing = [f.name for f in findings if f.state == MISSING]
    warnings = sum(f.state == WARNING for f in findings)
    verdict = f"missing: {', '.join(missing)}" if missing else all_well
    lines += ["", verdict + (f" ({warnings} warning{'s' * (warnings > 1)})" if warnings else "")]
    return "\n".join(lines)


def exit_code(findings: Sequence[Finding]) -> int:
    """1 if something required is missing, else 0."""
    return 1 if any(f.state == MISSING for f in findings) else 0
