"""The files of one or two sides in; their Snapshots, Chains, and what could not be read of them, out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.policies.model import Lowered, Problem
from bot.sources import Files, Unread

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot
    from bot.review import Settings


def load_sides(before: Files, after: Files, settings: Settings) -> tuple[Snapshot, Snapshot]:
    """Both snapshots; each distinct document is parsed once, and the context's objects are in both. Raises NetreachError."""
    from bot.errors import NoManifests
    from bot.manifests.generated import join
    from bot.manifests.snapshot import load
    from bot.manifests.yaml import Reader

    reader = Reader()
    context = _context(settings)
    base = load(_with(before, context), reader)
    head = base if after is before else load(_with(after, context), reader)
    if not settings.allow_empty and not any(s.objects or s.workloads or s.unread for s in (base, head)):
        left = [f"\n{row.file}: {row.reason}" for row in after.skipped[:5]]
        raise NoManifests(f"no Kubernetes manifests found in {after.label} (--allow-empty to accept that){''.join(left)}")
    return join(base, head)


def _context(settings: Settings) -> dict[str, bytes]:
    if settings.context is None:
        return {}
    from bot.errors import UsageError

    try:
        with open(settings.context, "rb") as stream:
            return {f"(context) {settings.context}": stream.read()}
    except OSError as error:
        raise UsageError(f"--context {settings.context}: {error.strerror or error}") from None


def _with(files: Files, context: dict[str, bytes]) -> Files:
    """The context comes first, so that what the repository says of an object wins."""
    return files._replace(contents={**context, **files.contents}) if context else files


def lower_sides(base: Snapshot, head: Snapshot, settings: Settings) -> Lowered:
    """Both chains under what the settings assume of the cluster."""
    from bot.policies.addresses import parse_cidr
    from bot.policies.compile import lower
    from bot.policies.intervals import normal

    if settings.pod_cidrs is None:
        return lower(base, head, settings.cni, apiserver=settings.kube_apiserver)
    addresses = normal(pair for text in settings.pod_cidrs for pair in parse_cidr(text))
    return lower(base, head, settings.cni, addresses or None, settings.kube_apiserver)


def unread(
    before: Files | None, after: Files, base: Snapshot | None, head: Snapshot, lowered: Lowered
) -> tuple[tuple[Unread, ...], tuple[Unread, ...]]:
    """(incomplete, coverage): what of the head could not be read or would be refused; and what is so on both sides alike.

    What only the base could not be read of is coverage too: the head, which is what will be in force, is known.
    """
    own = _side(after, head, lowered.problems_head)
    if before is None or base is None:
        return tuple(sorted({found for found, _ in own}, key=_order)), ()
    other = _side(before, base, lowered.problems_base)
    known = set(_keys(other, before, after))
    keys = _keys(own, after, before)
    coverage = {row[0] for row, key in zip(own, keys, strict=True) if key in known and row[0].content is not None}
    incomplete = {found for found, _ in own} - coverage
    alike = {(found.file, found.reason) for found, _ in own}
    coverage |= {found for found, _ in other if (found.file, found.reason) not in alike}
    return tuple(sorted(incomplete, key=_order)), tuple(sorted(coverage, key=_order))


def _side(files: Files, snapshot: Snapshot, problems: tuple[Problem, ...]) -> list[tuple[Unread, object]]:
    """Everything unread of one side; with what an API server would refuse, the object."""
    out: list[tuple[Unread, object]] = [(found, None) for found in (*files.skipped, *snapshot.unread)]
    for problem in problems:
        if problem.refused:
            obj = problem.object
            file, lines = snapshot.location(obj, problem.path)
            named = f"{obj.kind} {obj.namespace}/{obj.name}" if obj.namespace else f"{obj.kind} {obj.name}"
            reason = f"{named}: {problem.reason}; taken as absent"
            out.append((Unread(file, lines, reason, problem.setting), obj))
    return out


def _keys(rows: Sequence[tuple[Unread, object]], own: Files, other: Files) -> list[tuple[object, ...]]:
    """What must be equal for each to be the same fault on both sides, wherever its lines are: the text of its document."""
    documents: dict[str, tuple[list[str], list[int]]] = {}
    out: list[tuple[object, ...]] = []
    for found, what in rows:
        data = own.contents.get(found.file)
        text: object = data
        if data is not None and what is None and found.lines and other.contents.get(found.file) != data:
            if found.file not in documents:
                from bot.manifests.yaml import decode, split

                parts = split(decode(data))
                documents[found.file] = [text for text, _ in parts], [line for _, line in parts]
            texts, lines = documents[found.file]
            text = texts[bisect_right(lines, found.lines[0]) - 1] if texts else ""
        out.append((found.file, found.reason, found.content, what or text))
    return out


def _order(found: Unread) -> tuple[str, tuple[int, int], str]:
    return (found.file, found.lines or (0, 0), found.reason)


def over_budget(titles: Sequence[str]) -> tuple[Unread, ...]:
    """The selectors that could mean more kinds of pods than were looked at."""
    reason = "more kinds of pods than can be looked at could be selected"
    return tuple(Unread("", None, f"{title}: {reason}", "assume.known-complete") for title in titles)


def notes(base: Snapshot | None, head: Snapshot, lowered: Lowered) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(notes, remarks): what a person should know beside the verdict, and what holds on both sides (or the one there is) alike.

    Duplicates, policies that are evaluated but would be refused somewhere, what a CNI does not enforce.
    """
    own = _told(head, lowered.problems_head)
    other = own if base is None else _told(base, lowered.problems_base)
    known = set(other.values())
    alike = {where: text for where, text in own.items() if text in known}
    new = dict.fromkeys((*lowered.notes, *(where for where in own if where not in alike)))
    return tuple(new), tuple(alike)


def _told(snapshot: Snapshot, problems: tuple[Problem, ...]) -> dict[str, str]:
    """The texts of one side with their places, and the same without any line."""
    places = [(note.file, note.lines, note.text) for note in snapshot.notes]
    for problem in problems:
        if not problem.refused:
            file, lines = snapshot.location(problem.object, problem.path)
            places.append((file, lines, f"{problem.object.kind} {problem.object.name}: {problem.reason}"))
    return {
        f"{file}:{lines[0]}: {text}" if lines else text: re.sub(r":\d+", "", f"{file} {text}")
        for file, lines, text in places
    }


def namespace_sizes(base: Snapshot, head: Snapshot) -> dict[str, int]:
    """How many workloads of each namespace are on both sides."""
    found: dict[str, int] = {}
    for _, namespace, _ in {w.key for w in base.workloads} & {w.key for w in head.workloads}:
        found[namespace] = found.get(namespace, 0) + 1
    return dict(sorted(found.items()))
