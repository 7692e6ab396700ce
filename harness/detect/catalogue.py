"""The table of saboteurs as people read it: scenarios/README.md."""

from __future__ import annotations

from collections.abc import Sequence

from harness.detect.saboteur import CLAIM, Family, Saboteur
from harness.detect.saboteurs import SABOTEURS

_HEAD = f"""\
# What the harness is seen to notice

Each line is a saboteur: something real that is broken on purpose. `ci/run detect` runs them all, sees that each has
changed something, and that what is meant to has noticed it, first and in these words; it writes this file, and
`harness/tests/detect/test_saboteurs.py` holds it to the table of `harness/detect/saboteurs.py`. How scenarios are
written is in the README above.

"Noticed by" are names of universal checks (`harness/verdict/checks.py`), of errors, or "{CLAIM}": what a
scenario verifies, or waits for. In the words, `...` is whatever stands there.
"""


def document(saboteurs: Sequence[Saboteur] = SABOTEURS) -> str:
    """The file's text."""
    parts = [_HEAD]
    for family in Family:
        mine = [saboteur for saboteur in saboteurs if saboteur.family is family]
        if mine:
            lines = [f"## {family.capitalize() if family[0].islower() else family}", ""]
            lines += ["| saboteur | what it breaks | noticed by | in these words |", "|---|---|---|---|"]
            lines += [_line(saboteur) for saboteur in mine]
            parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


def _line(saboteur: Saboteur) -> str:
    cells = (saboteur.name, saboteur.breaks, ", ".join(saboteur.meant), f"`{saboteur.words}`")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
