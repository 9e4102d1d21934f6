"""Base, head and settings in, a Review out: the whole pipeline on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Assumption, Lowered
from bot.policies.traffic import Traffic
from bot.reachability.change import Change, Decision, EndpointFacts, PairChange, Path, PolicyText, Totals
from bot.sides import load_sides, lower_sides, namespace_sizes, unread
from bot.sides import notes as said
from bot.sources import Files, Unread

if TYPE_CHECKING:
    from bot.gate.expectations import Expectation
    from bot.manifests.snapshot import Snapshot


class Settings(NamedTuple):
    """What the user asked for beside the two sides.

    `cni`: None to find out. `pod_cidrs`: None to learn them, () for outside every CIDR. `context`: a file of the rest of
    the cluster. `pairs`: list every pair beside the rows. `fail_on`: what blocks (docs/exit-codes.md). `config`: a file
    in place of the base side's. `environment`: only this one.
    """

    cni: str | None = None
    pod_cidrs: tuple[str, ...] | None = None
    context: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    pairs: bool = False
    fail_on: tuple[str, ...] = ()
    config: str | None = None
    environment: str | None = None
    allow_empty: bool = False


class Place(NamedTuple):
    """One state of the manifests: the folder or file at `path`, or (with `ref`) a Git ref of the repository there."""

    path: str = "."
    ref: str | None = None


class Refs(NamedTuple):
    """Two Git refs. `base` None: origin's default branch, else main. `head` None: the working tree.

    `mode`: merge, branch or exact.
    """

    repo: str = "."
    base: str | None = None
    head: str | None = None
    mode: str = "merge"


class Folders(NamedTuple):
    """Two folders, compared without Git."""

    base: str
    head: str


class Side(NamedTuple):
    """One side of the comparison: what was asked for, and the commit it is (None: a folder or the working tree)."""

    ref: str
    sha: str | None


class Environment(NamedTuple):
    """One cluster's review. `verdict`: pass, allowed, look, blocked or incomplete.

    `incomplete` makes it red, `coverage` does not. `sizes`: how many workloads of each namespace are on both sides, if
    `endpoints` does not hold them all (reports name a set by its namespace where it is complete).
    """

    name: str
    cni: str
    universe: Traffic
    verdict: str
    totals: Totals
    endpoints: dict[str, EndpointFacts]
    changes: tuple[Change, ...]
    pairs: tuple[PairChange, ...] | None
    changed_objects: tuple[PolicyText, ...]
    workloads: int
    policies: int
    incomplete: tuple[Unread, ...]
    coverage: tuple[Unread, ...]
    assumptions: tuple[tuple[Assumption, int], ...]
    notes: tuple[str, ...]
    sizes: Mapping[str, int] | None = None


class Review(NamedTuple):
    """The whole answer for one pull request.

    `notes` are said near the headline (a merge conflict, Flannel alone). `fail_on` is what was set to block, so that
    reports can mark the rows that do.
    """

    base: Side
    head: Side
    mode: str
    behind: int | None
    environments: tuple[Environment, ...]
    verdict: str
    notes: tuple[str, ...] = ()
    fail_on: tuple[str, ...] = ()


class Listing(NamedTuple):
    """Every open path of one side; the fields are those of Environment."""

    cni: str
    universe: Traffic
    endpoints: dict[str, EndpointFacts]
    paths: tuple[Path, ...]
    incomplete: tuple[Unread, ...]
    coverage: tuple[Unread, ...]
    assumptions: tuple[tuple[Assumption, int], ...]
    notes: tuple[str, ...]


class Failed(NamedTuple):
    """An expectation (as written) that does not hold. `got`, `egress`, `ingress`: allow, deny or possible."""

    expectation: Mapping[str, object]
    got: str
    egress: str
    ingress: str
    why: str


class Verification(NamedTuple):
    """How many expectations there are and hold; which do not; which name an end that is not there (they fail too)."""

    total: int
    held: int
    failed: tuple[Failed, ...]
    unmatched: tuple[Mapping[str, object], ...]
    incomplete: tuple[Unread, ...]
    assumptions: tuple[tuple[Assumption, int], ...] = ()


class Explanation(NamedTuple):
    """One concrete path, walked: for each side its name, the verdict (open, possible, closed) and what each checkpoint said.

    `changed`: the changed objects among those that decided, of two sides.
    """

    source: str
    destination: str
    port: str
    sides: tuple[tuple[str, str, tuple[Decision, ...]], ...]
    hints: tuple[str, ...]
    incomplete: tuple[Unread, ...]
    changed: tuple[PolicyText, ...] = ()


# --- The pipeline ---


def review_refs(repo: str, base: str | None, head: str | None, mode: str, settings: Settings) -> Review:
    """The review of two Git refs; `base` None: origin's default branch, `head` None: the working tree. Raises NetreachError."""
    from bot.sources import git

    found = git.compare(repo, base, head, mode, settings.include, settings.exclude)
    sides = Side(found.base.label, found.base_sha), Side(found.head.label, found.head_sha)
    return _review(sides, found.base, found.head, found.mode, found.behind, found.notes, settings)


def review_folders(base: str, head: str, settings: Settings) -> Review:
    """The review of two folders, without Git. Raises NetreachError."""
    from bot.sources.folder import read_folders

    before, after = read_folders(base, head, settings.include, settings.exclude)
    return _review((Side(base, None), Side(head, None)), before, after, "exact", None, (), settings)


def _review(
    sides: tuple[Side, Side],
    before: Files,
    after: Files,
    mode: str,
    behind: int | None,
    notes: tuple[str, ...],
    settings: Settings,
) -> Review:
    from bot.gate import verdict as gate
    from bot.reachability.analysis import compare

    snapshots = load_sides(before, after, settings)
    base, head = snapshots
    lowered = lower_sides(base, head, settings)
    found = compare(base, head, lowered, settings.pairs)
    incomplete, coverage = unread(before, after, base, head, lowered)
    incomplete += tuple(
        Unread(
            "", None, f"{title}: more kinds of pods than can be looked at could be selected", "assume.known-complete"
        )
        for title in found.over_budget
    )
    verdict = gate.verdict(found.changes, bool(incomplete), settings.fail_on)
    environment = Environment(
        "default",
        lowered.vocabulary.cni,
        lowered.vocabulary.universe,
        verdict,
        found.totals,
        found.endpoints,
        found.changes,
        found.pairs,
        found.objects,
        len({workload.key for workload in head.workloads}),
        len(lowered.head.policies),
        incomplete,
        coverage,
        found.assumptions,
        said(base, head, lowered),
        namespace_sizes(base, head),
    )
    return Review(*sides, mode, behind, (environment,), verdict, notes, settings.fail_on)


def listing(place: Place, settings: Settings) -> Listing:
    """Every open path of one state of the manifests. Raises NetreachError."""
    from bot.reachability.analysis import open_paths

    files, snapshot, lowered = _one(place, settings)
    found = open_paths(snapshot, lowered)
    incomplete, coverage = unread(None, files, None, snapshot, lowered)
    vocabulary = lowered.vocabulary
    return Listing(
        vocabulary.cni,
        vocabulary.universe,
        found.endpoints,
        found.paths,
        incomplete,
        coverage,
        found.assumptions,
        said(None, snapshot, lowered),
    )


def verify(expectations: Sequence[Expectation], place: Place, settings: Settings) -> Verification:
    """Judge expectations against one state of the manifests. Raises NetreachError."""
    from bot.gate.verify import check

    files, snapshot, lowered = _one(place, settings)
    found = check(expectations, snapshot, lowered)
    incomplete, _ = unread(None, files, None, snapshot, lowered)
    failed = tuple(
        Failed(a.expectation.written, a.got, a.egress, a.ingress, a.why) for a in found.answers if not a.held
    )
    held = len(found.answers) - len(failed)
    unmatched = tuple({**e.written, "why": why} for e, why in found.unmatched)
    return Verification(len(expectations), held, failed, unmatched, incomplete)


def explain(
    source: str, destination: str, port: str | None, over: Place | Refs | Folders, settings: Settings
) -> Explanation:
    """Walk one path on one side, or on both sides of a comparison. Raises NetreachError."""
    from bot.reachability.walkthrough import changed_objects, walk

    if isinstance(over, Place):
        files, snapshot, lowered = _one(over, settings)
        incomplete, _ = unread(None, files, None, snapshot, lowered)
        return Explanation(*walk(source, destination, port, (snapshot, snapshot), lowered, ("now",)), incomplete)
    if isinstance(over, Refs):
        from bot.sources import git

        found = git.compare(over.repo, over.base, over.head, over.mode, settings.include, settings.exclude)
        before, after = found.base, found.head
    else:
        from bot.sources.folder import read_folders

        before, after = read_folders(over.base, over.head, settings.include, settings.exclude)
    base, head = load_sides(before, after, settings)
    lowered = lower_sides(base, head, settings)
    incomplete, _ = unread(before, after, base, head, lowered)
    walked = walk(source, destination, port, (base, head), lowered, ("before", "after"))
    return Explanation(*walked, incomplete, changed_objects(walked[3], lowered))


def manifests(place: Place, settings: Settings) -> tuple[Snapshot, tuple[Unread, ...]]:
    """The objects of one state of the manifests, and what could not be read of it. Raises NetreachError."""
    files, snapshot = _snapshot(place, settings)
    return snapshot, tuple(sorted({*files.skipped, *snapshot.unread}, key=str))


def _one(place: Place, settings: Settings) -> tuple[Files, Snapshot, Lowered]:
    files, snapshot = _snapshot(place, settings)
    return files, snapshot, lower_sides(snapshot, snapshot, settings)


def _snapshot(place: Place, settings: Settings) -> tuple[Files, Snapshot]:
    from bot.sources.folder import read_folder

    if place.ref is None:
        files = read_folder(place.path, settings.include, settings.exclude)
    else:
        from bot.sources import git

        files = git.read_ref(place.path, place.ref, settings.include, settings.exclude)
    return files, load_sides(files, files, settings)[1]
