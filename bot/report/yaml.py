"""The objects that netreach sees in, a YAML stream with the origin of each as a comment out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.report.escape import plain

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot


def manifests(snapshot: Snapshot) -> str:
    """Every object in order of file and line; nothing when there is none. An item of a List stands alone, as JSON."""
    objects: dict[int, Object] = {id(item): item for item in snapshot.objects.values()}
    objects |= {id(workload.object): workload.object for workload in snapshot.workloads}
    placed = [(*snapshot.where[item], item.pointer, item) for item in objects.values()]
    placed.sort(key=lambda row: (row[0], row[1], [str(step).rjust(8, "0") for step in row[2]]))
    out: list[str] = []
    for file, line, pointer, item in placed:
        out.append(f"---\n# {plain(f'{file}:{line}')}\n{_body(item) if pointer else _text(item)}\n")
    return "".join(out)


def _text(item: Object) -> str:
    return item.document.text.strip("\n")


def _body(item: Object) -> str:
    import json

    return json.dumps(item.value, indent=2)
