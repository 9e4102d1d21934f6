"""What `netreach render` found in, what to say of it beside the manifests out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.report.sides import place
from bot.report.words import number

if TYPE_CHECKING:
    from bot.review import Manifests


def told(found: Sequence[Manifests], notes: Sequence[str], quiet: bool) -> list[str]:
    """Lines for a person: what each environment came to, and what of it could not be read. `quiet`: only the latter."""
    out: list[str] = [] if quiet else [f"note: {note}" for note in notes]
    for one in found:
        title = f"{one.name}: " if len(found) > 1 else ""
        if not quiet and one.remarks:
            objects = len(one.snapshot.objects) + len({workload.object for workload in one.snapshot.workloads})
            policies = sum(item.kind.endswith("Policy") for item in one.snapshot.objects.values())
            whole = f"{number(objects, 'object')}, {number(policies, 'policy', 'policies')}"
            out.append(f"{title}{'; '.join((*one.remarks, whole))}")
            out += [f"{title}note: {note}" for note in one.notes]
        out += [f"{title}not read: {place(row.file, row.lines)}: {row.reason}" for row in one.incomplete]
    return out
