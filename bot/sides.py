"""The files of one or two sides in; their Snapshots, Chains, and what could not be read of them, out."""

from __future__ import annotations

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
        raise NoManifests(f"no Kubernetes manifests found in {after.label} (--allow-empty to accept that)")
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
    """Both chains under the CNI and pod addresses of the settings."""
    from bot.policies.addresses import parse_cidr
    from bot.policies.compile import lower
    from bot.policies.intervals import normal

    if settings.pod_cidrs is None:
        return lower(base, head, settings.cni)
    addresses = normal(pair for text in settings.pod_cidrs for pair in parse_cidr(text))
    return lower(base, head, settings.cni, addresses or None)


def unread(
    before: Files | None, after: Files, base: Snapshot | None, head: Snapshot, lowered: Lowered
) -> tuple[tuple[Unread, ...], tuple[Unread, ...]]:
    """(incomplete, coverage): what of the head could not be read or would be refused; and what is so on both sides alike.

    What only the base could not be read of is coverage too: the head, which is what will be in force, is known.
    """
    own = _side(after, head, lowered.problems_head)
    if before is None or base is None:
        return tuple(sorted(set(own))), ()
    other = _side(before, base, lowered.problems_base)
    incomplete = {found for found, text in own.items() if other.get(_known(found, text, other), None) != text}
    coverage = {found for found in own if found not in incomplete}
    alike = {(found.file, found.reason) for found in own}
    coverage |= {found for found in other if (found.file, found.reason) not in alike}
    return tuple(sorted(incomplete, key=_order)), tuple(sorted(coverage, key=_order))


def _known(found: Unread, text: object, other: dict[Unread, object]) -> Unread:
    """The same fault of the same text on the other side, wherever its lines are now."""
    for candidate, its_text in other.items():
        if candidate.file == found.file and candidate.reason == found.reason and its_text == text:
            return candidate
    return found


def _side(files: Files, snapshot: Snapshot, problems: tuple[Problem, ...]) -> dict[Unread, object]:
    """Everything unread of one side, with what must be equal for it to be the same fault on the other."""
    out: dict[Unread, object] = {}
    for found in (*files.skipped, *snapshot.unread):
        out[found] = _text(files, found)
    for problem in problems:
        if problem.refused:
            file, lines = snapshot.location(problem.object, problem.path)
            named = f"{problem.object.kind} {problem.object.namespace + '/' if problem.object.namespace else ''}{problem.object.name}"
            out[Unread(file, lines, f"{named}: {problem.reason}; absent, as behind an API server", problem.setting)] = (
                problem.object
            )
    return out


def _text(files: Files, found: Unread) -> object:
    return files.contents.get(found.file)


def _order(found: Unread) -> tuple[str, tuple[int, int], str]:
    return (found.file, found.lines or (0, 0), found.reason)


def notes(base: Snapshot | None, head: Snapshot, lowered: Lowered) -> tuple[str, ...]:
    """What a person should know beside the verdict: duplicates, policies that are evaluated but would be refused somewhere."""
    out = dict.fromkeys(lowered.notes)
    for note in head.notes:
        where = f"{note.file}:{note.lines[0]}: " if note.lines else ""
        out[f"{where}{note.text}"] = None
    for problem in lowered.problems_head:
        if not problem.refused:
            file, lines = head.location(problem.object, problem.path)
            out[f"{file}:{lines[0]}: {problem.object.kind} {problem.object.name}: {problem.reason}"] = None
    return tuple(out)


def namespace_sizes(base: Snapshot, head: Snapshot) -> dict[str, int]:
    """How many workloads of each namespace are on both sides."""
    found: dict[str, int] = {}
    for _, namespace, _ in {w.key for w in base.workloads} & {w.key for w in head.workloads}:
        found[namespace] = found.get(namespace, 0) + 1
    return dict(sorted(found.items()))
