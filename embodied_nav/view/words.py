"""What a page says, as HTML in which nothing that was seen, told or decided can become markup. Knows records only.

Markdown would load pictures from anywhere: names of objects, a model's reasoning and answers are escaped instead.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ..frames import Decision, MemoryObject
from .records import Health

#: Colours of the traffic light by level: fine, warning, error, silent.
LIGHTS = ("#2ca02c", "#e0a800", "#d62728", "#8a8a8a")
LEVELS = ("fine", "warning", "error", "silent")
_LONGEST = 600


def safe(text: str, longest: int = _LONGEST) -> str:
    """Text as HTML, shortened."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return html.escape(text, quote=True)


def block(inner: str, size: float = 0.85) -> str:
    """HTML in the panel's margins and letters."""
    return f'<div style="padding:0.2em 0.6em;font-size:{size}em;line-height:1.35">{inner}</div>'


def decision(made: Decision | None) -> str:
    """The options with their letters, the chosen one marked, and the reasoning."""
    if made is None:
        return block('<span style="opacity:.6">nothing decided yet</span>')
    rows = []
    for i, option in enumerate(made.options):
        chosen = i == made.chosen
        style = "background:#2b6cb033;font-weight:600" if chosen else ""
        rows.append(
            f'<div style="padding:1px 4px;border-radius:3px;{style}"><b>{safe(option.letter)}</b> '
            f"{safe(option.text, 160)}</div>"
        )
    think = f'<div style="margin-top:.4em;opacity:.85"><i>{safe(made.think)}</i></div>' if made.think else ""
    by = f'<div style="opacity:.55">decision {made.id} by {safe(made.reasoner)}</div>'
    return block("".join(rows) + think + by)


def goal(instruction: str, state: str) -> str:
    """The sentence that is followed, and what became of it."""
    said = f"<b>{safe(instruction)}</b>" if instruction else '<span style="opacity:.6">no goal</span>'
    return block(f"{said}<br>{safe(state)}" if state else said, 0.9)


def lamp(parts: Sequence[Health]) -> str:
    """The worst state as one lamp, and who is in it."""
    if not parts:
        return block('<span style="opacity:.6">no diagnostics</span>')
    worst = max(part.level for part in parts)
    wrong = sorted((p for p in parts if p.level), key=lambda p: (-p.level, p.name))[:2]
    why = "; ".join(f"{p.name}: {p.message}" for p in wrong)
    return block(f"<div>{_lamp(worst)} <b>{LEVELS[worst]}</b> {safe(why, 200)}</div>", 0.8)


def light(parts: Sequence[Health]) -> str:
    """The worst state as one lamp, then one line for each part."""
    if not parts:
        return block('<span style="opacity:.6">no diagnostics</span>')
    worst = max(part.level for part in parts)
    lines = [f'<div style="font-weight:600">{_lamp(worst)} {LEVELS[worst]}</div>']
    for part in sorted(parts, key=lambda p: (-p.level, p.name)):
        why = f": {safe(part.message, 200)}" if part.level or part.message not in ("", "ok") else ""
        lines.append(f"<div>{_lamp(part.level)} {safe(part.name)}{why}</div>")
    return block("".join(lines), 0.8)


def objects(found: Iterable[MemoryObject]) -> str:
    """A line for each object, those that are gone last and struck through."""
    ordered = sorted(found, key=lambda o: (o.status != "present", o.name, o.id))
    if not ordered:
        return block('<span style="opacity:.6">no objects yet</span>')
    lines = []
    for o in ordered[:80]:
        name = safe(o.name, 60)
        lines.append(f"<div>{name if o.status == 'present' else f'<s style=opacity:.5>{name}</s> gone'}</div>")
    more = f'<div style="opacity:.6">and {len(ordered) - 80} more</div>' if len(ordered) > 80 else ""
    return block("".join(lines) + more, 0.8)


def note(text: str) -> str:
    """One plain remark."""
    return block(safe(text))


def _lamp(level: int) -> str:
    return f'<span style="color:{LIGHTS[level]}">&#9679;</span>'
