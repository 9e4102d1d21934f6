"""Base, head and settings in, a Review out: the whole pipeline on one screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Assumption, Lowered
from bot.policies.traffic import Traffic
from bot.reachability.change import Change, Decision, EndpointFacts, PairChange, Path, PolicyText, Totals
from bot.sides import load_sides, lower_sides, namespace_sizes, over_budget, unread
from bot.sides import notes as notes_of
from bot.sources import Files, Unread
from bot.sources.select import SETTINGS_FILES

if TYPE_CHECKING:
    from bot.config import Lint as LintSettings
    from bot.environments import Part, Plan, Scope
    from bot.gate.audit import AuditChange, Audited
    from bot.gate.expectations import Expectation
    from bot.gate.expected import Expected
    from bot.gate.outcome import Terms
    from bot.gate.rules import Gated
    from bot.lint.finding import Finding, Lint
    from bot.lint.fix import Fixes
    from bot.manifests.snapshot import Snapshot
    from bot.reachability.diagnose import Hint
    from bot.reachability.effect import Effect
    from bot.render.stage import Read
    from bot.sources.git import Comparison


class Settings(NamedTuple):
    """What the user asked for beside the two sides; what is not said here the config may say (docs/config.md).

    `cni`: None to find out. `pod_cidrs`: None to learn them, () for outside every CIDR. `context`: a file of the rest of
    the cluster. `pairs`: list every pair beside the rows. `fail_on`: what blocks (docs/exit-codes.md). `config`: a file
    in place of the base side's. `environment`: only this one. `known_complete`: namespaces whose workloads are all in Git.
    `kube_apiserver`: external, or on a node. `on_incomplete`: fail or warn.
    `render`: off where nothing of the repository may be rendered. `kube_version`: what charts see of the cluster.
    `today`: the day that `allow:` entries expire by (default: that of the later commit; where a side is none, the clock's).
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
    known_complete: tuple[str, ...] = ()
    kube_apiserver: str | None = None
    on_incomplete: str = ""
    today: str = ""
    render: str = ""
    kube_version: str = ""


class Place(NamedTuple):
    """One state of the manifests: the folder or file at `path`, or (with `ref`) a Git ref of the repository there."""

    path: str = "."
    ref: str | None = None


class Refs(NamedTuple):
    """Two Git refs. `base` None: origin's default branch, else main. `head` None: the working tree.

    `mode`: merge, branch or exact; with `strict` a merge that conflicts is an error.
    """

    repo: str = "."
    base: str | None = None
    head: str | None = None
    mode: str = "merge"
    strict: bool = False


class Folders(NamedTuple):
    """Two folders, compared without Git."""

    base: str
    head: str


class Side(NamedTuple):
    """One side of the comparison: what was asked for, and the commit it is (None: a folder or the working tree)."""

    ref: str
    sha: str | None


class Aside(NamedTuple):
    """What policies would do that do nothing to what is there: staged ones, and what is made for new namespaces alone.

    `policies`: (title, file, lines). `changes`: only those that one of them has a part in. They count for nothing: not in
    the totals, not for the verdict.
    """

    policies: tuple[tuple[str, str, tuple[int, int]], ...]
    endpoints: dict[str, EndpointFacts]
    changes: tuple[Change, ...]


class Environment(NamedTuple):
    """One cluster's review. `verdict`: pass, allowed, look, blocked or incomplete.

    `incomplete` makes it red, `coverage` does not. `sizes`: how many workloads of each namespace are on both sides, if
    `endpoints` does not hold them all (reports name a set by its namespace where it is complete). `notes` are about this
    change or everything, `remarks` hold before and after it alike. `gated`: what the config's rules and allow entries come to,
    `expected` the repository's expectations; `audit`: the namespaces whose protection differs. `lint`: the mistakes that are new,
    mended and left. `staged`: where the change adds or edits policies that are staged, if they were enforced. `later`: what a
    namespace that is created after the change gets otherwise than one before it, and those that are there do not.
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
    remarks: tuple[str, ...] = ()
    gated: Gated | None = None
    expected: Expected | None = None
    audit: tuple[AuditChange, ...] = ()
    lint: Lint | None = None
    staged: Aside | None = None
    later: Aside | None = None


class Review(NamedTuple):
    """The whole answer for one pull request.

    `notes` are said near the headline (a merge conflict, Flannel alone). `fail_on` is what was set to block, so that
    reports can mark the rows that do; `on_incomplete`: fail, or warn. `asked`: the settings as they were given, without
    what the config adds, so that a command in a report shows the same on another machine. `merge_tree`: the tree that was
    compared with the base, where that is a merge.
    """

    base: Side
    head: Side
    mode: str
    behind: int | None
    environments: tuple[Environment, ...]
    verdict: str
    notes: tuple[str, ...] = ()
    fail_on: tuple[str, ...] = ()
    on_incomplete: str = "fail"
    asked: Settings = Settings()
    merge_tree: str = ""


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
    remarks: tuple[str, ...] = ()


class Failed(NamedTuple):
    """An expectation (as written) that does not hold. `got`, `egress`, `ingress`: allow, deny or possible."""

    expectation: Mapping[str, object]
    got: str
    egress: str
    ingress: str
    why: str


class Linted(NamedTuple):
    """The mistakes of one state of the manifests (all of them), or of a comparison (the new ones).

    `compared`: what a comparison gives beside; `fails`: an error, where those were set to fail.
    """

    findings: tuple[Finding, ...]
    incomplete: tuple[Unread, ...]
    fails: bool
    compared: Lint | None = None


class Mended(NamedTuple):
    """What can be mended of one state of the manifests, and what could not be read of it."""

    fixes: Fixes
    incomplete: tuple[Unread, ...]


class Verification(NamedTuple):
    """How many expectations there are and hold; which do not; which name an end that is not there (they fail too).

    `passed`: those that hold.
    """

    total: int
    held: int
    failed: tuple[Failed, ...]
    unmatched: tuple[Mapping[str, object], ...]
    incomplete: tuple[Unread, ...]
    assumptions: tuple[tuple[Assumption, int], ...] = ()
    passed: tuple[Mapping[str, object], ...] = ()


class Audit(NamedTuple):
    """Every namespace of one side, by name."""

    cni: str
    namespaces: tuple[Audited, ...]
    incomplete: tuple[Unread, ...]
    notes: tuple[str, ...] = ()


class Explanation(NamedTuple):
    """One concrete path, walked: for each side its name, the verdict (open, possible, closed) and what each checkpoint said.

    `changed`: the changed objects among those that decided, of two sides. `help`: what to look at, in that order, on the head.
    """

    source: str
    destination: str
    port: str
    sides: tuple[tuple[str, str, tuple[Decision, ...]], ...]
    hints: tuple[str, ...]
    incomplete: tuple[Unread, ...]
    changed: tuple[PolicyText, ...] = ()
    help: tuple[Hint, ...] = ()


class PolicyEffect(NamedTuple):
    """What one policy does; the other fields are those of Environment."""

    effect: Effect
    universe: Traffic
    sizes: Mapping[str, int]
    incomplete: tuple[Unread, ...]


# --- The pipeline ---


def review_refs(refs: Refs, settings: Settings) -> Review:
    """The review of two Git refs. Raises NetreachError."""
    found, config = _compare(refs, settings)
    sides = Side(found.base.label, found.base_sha), Side(found.head.label, found.head_sha)

    def day() -> str:
        from bot.sources import git

        # The later of both: whoever makes the head cannot turn time back. A working tree is of today.
        commits = [sha for sha in (found.base_sha, found.head_sha) if sha is not None]
        return max([*git.days(refs.repo, commits), *([] if found.head_sha else [_today()])])

    read = _reading(refs)
    review = _review(sides, found.base, found.head, config, found.mode, found.behind, found.notes, settings, day, read)
    merged = found.head.sha if found.head.sha != found.head_sha else None
    return review._replace(merge_tree=merged or "")


def review_folders(base: str, head: str, settings: Settings) -> Review:
    """The review of two folders, without Git. Raises NetreachError."""
    from bot.sources.folder import read_folders

    before, after = read_folders(base, head, settings.include, settings.exclude)
    sides, read = (Side(base, None), Side(head, None)), _reading(Folders(base, head))
    return _review(sides, before, after, before, "exact", None, (), settings, _today, read)


def _today() -> str:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def _compare(refs: Refs, settings: Settings) -> tuple[Comparison, Files]:
    """Both sides, and the files that the config is taken from: those of the tip of the base, however old the merge base is."""
    from bot.sources import git

    found = git.compare(
        refs.repo, refs.base, refs.head, refs.mode, settings.include, settings.exclude, strict=refs.strict
    )
    if found.merge_base is None:
        return found, found.base
    return found, git.read_ref(refs.repo, found.base_sha, SETTINGS_FILES)


def _review(
    sides: tuple[Side, Side],
    before: Files,
    after: Files,
    config: Files,
    mode: str,
    behind: int | None,
    notes: tuple[str, ...],
    settings: Settings,
    day: Callable[[], str],
    read: Read,
) -> Review:
    from bot.environments import changes_of_config, parts, plan
    from bot.gate import outcome, verdict

    planned = plan(settings, config.contents)
    if settings.config is None:
        notes += changes_of_config(config.contents, after.contents)
    fail_on = planned.settings.fail_on
    found = parts(planned, before, after, read)
    whole = found.whole and (planned.config is None or len(planned.scopes) >= len(planned.config.environments))
    by = outcome.terms(planned.config, config.contents, after.contents, fail_on, whole, lambda: settings.today or day())
    notes += (*found.notes, *(note for part in found.parts for note in part.notes))
    environments = _settled(by, tuple(_environment(part, planned, by) for part in found.parts))
    return Review(
        *sides,
        mode,
        behind,
        environments,
        verdict.worst(environment.verdict for environment in environments),
        notes,
        fail_on,
        planned.settings.on_incomplete or "fail",
        settings,
    )


def _settled(by: Terms, environments: tuple[Environment, ...]) -> tuple[Environment, ...]:
    """A rule fails that matches nothing in any environment, which no single one can tell."""
    from bot.gate import outcome, verdict

    dead = outcome.dead(by, [environment.gated for environment in environments])
    if not dead:
        return environments
    return tuple(
        environment._replace(
            gated=environment.gated and outcome.failing(environment.gated, dead),
            verdict=verdict.worst((environment.verdict, "blocked")),
        )
        for environment in environments
    )


def _environment(part: Part, planned: Plan, by: Terms) -> Environment:
    from bot.gate import outcome, verdict
    from bot.lint import run
    from bot.reachability.analysis import compare

    scope, before, after = part[:3]
    settings = scope.settings
    base, head = load_sides(before, after, settings)
    lowered = lower_sides(base, head, settings)
    found = compare(base, head, lowered, settings.pairs, settings.known_complete)
    incomplete, coverage = unread(before, after, base, head, lowered)
    told, remarks = notes_of(base, head, lowered)
    incomplete += (*scope.unread(base, head), *over_budget(found.over_budget))

    def alone(snapshot: Snapshot) -> Lowered:
        return lower_sides(snapshot, snapshot, settings)

    judged = outcome.judge(by, base, head, lowered, found, settings.known_complete, alone)
    linted = run.compare(base, head, lowered, by.config and by.config.lint)
    failed = judged.failed or verdict.lint_fails(linted.new, by.fail_on)
    return Environment(
        scope.name,
        lowered.vocabulary.cni,
        lowered.vocabulary.universe,
        verdict.verdict(judged.changes, bool(incomplete), by.fail_on, failed),
        found.totals,
        found.endpoints,
        judged.changes,
        found.pairs,
        found.objects,
        len({workload.key for workload in head.workloads}),
        sum(policy.object is not None for policy in lowered.head.policies),
        incomplete,
        coverage,
        found.assumptions,
        told,
        namespace_sizes(base, head),
        part.remarks + remarks,
        judged.gated,
        judged.expected,
        judged.audit,
        linted,
        _staged(head, lowered, settings.known_complete),
        _later(base, head, settings),
    )


def _staged(head: Snapshot, lowered: Lowered, complete: Sequence[str]) -> Aside | None:
    """What the staged policies of the head would do that the base has not, or has otherwise."""
    if lowered.staged is None:
        return None
    from bot.reachability.staged import if_enforced

    found = if_enforced(head, lowered, lowered.staged, complete)
    new = lowered.staged.new
    policies = tuple((policy.title, *head.location(policy.object)) for policy in new if policy.object is not None)
    return Aside(policies, found.endpoints, found.changes)


def _later(base: Snapshot, head: Snapshot, settings: Settings) -> Aside | None:
    """What new namespaces get of Kyverno's rules that are for them alone."""
    from bot.manifests.kyverno import has_policies

    if not has_policies(head):
        return None
    from bot.manifests.later import later
    from bot.reachability.analysis import compare

    found = later(base, head)
    if found is None:
        return None
    compared = compare(found.base, found.head, lower_sides(found.base, found.head, settings), False, settings.known_complete)
    rows = tuple(row for row in compared.changes if any(f" {found.name}/" in cause.object for cause in row.causes))
    rules = tuple((title, *head.location(policy, path)) for policy, path, title in found.rules)
    return Aside(rules, compared.endpoints, rows)


def listing(place: Place, settings: Settings) -> Listing:
    """Every open path of one state of the manifests. Raises NetreachError."""
    from bot.reachability.analysis import open_paths

    one = _one(place, settings)
    found = open_paths(one.snapshot, one.lowered, complete=one.settings.known_complete)
    told, remarks = notes_of(None, one.snapshot, one.lowered)
    vocabulary = one.lowered.vocabulary
    return Listing(
        vocabulary.cni,
        vocabulary.universe,
        found.endpoints,
        found.paths,
        one.incomplete,
        (),
        found.assumptions,
        told,
        remarks,
    )


def audit(place: Place, settings: Settings) -> Audit:
    """What protects each namespace of one state of the manifests. Raises NetreachError."""
    from bot.gate.audit import audit

    one = _one(place, settings)
    told, _ = notes_of(None, one.snapshot, one.lowered)
    return Audit(one.lowered.vocabulary.cni, audit(one.snapshot, one.lowered), one.incomplete, told)


def lint(place: Place, settings: Settings) -> Linted:
    """The mistakes of one state of the manifests. Raises NetreachError."""
    from bot.gate.verdict import lint_fails
    from bot.lint import run

    one = _one(place, settings)
    found = run.lint(one.snapshot, one.lowered, one.lint)
    return Linted(found, one.incomplete, lint_fails(found, one.fail_on))


def lint_refs(refs: Refs, settings: Settings, everything: bool = False) -> Linted:
    """The mistakes that the head of two Git refs adds (`everything`: all that it has). Raises NetreachError."""
    from bot.gate.verdict import lint_fails
    from bot.lint import run

    found, config = _compare(refs, settings)
    planned, (scope, before, after, *_) = _only(settings, config, found.base, found.head, _reading(refs))
    base, head = load_sides(before, after, scope.settings)
    lowered = lower_sides(base, head, scope.settings)
    incomplete, _ = unread(before, after, base, head, lowered)
    lint = run.compare(base, head, lowered, planned.config and planned.config.lint, narrowed=False)
    shown = tuple(sorted((*lint.new, *lint.unchanged), key=run.order)) if everything else lint.new
    fails = lint_fails(lint.new, planned.settings.fail_on)
    return Linted(shown, incomplete + scope.unread(base, head), fails, lint)


def mend(place: Place, settings: Settings) -> Mended:
    """One state of the manifests with the mistakes mended that surely can be; nothing is written. Raises NetreachError."""
    from bot.lint import fix, run
    from bot.lint.context import Context, Run

    one = _one(place, settings)
    found = run.drafts([Context(Run(one.snapshot, one.snapshot, one.lowered), True)], one.lint)[0]
    return Mended(fix.fixes(one.snapshot, found, one.contents), one.incomplete)


def verify(expectations: Sequence[Expectation], place: Place, settings: Settings) -> Verification:
    """Judge expectations against one state of the manifests. Raises NetreachError."""
    from bot.gate.verify import check

    one = _one(place, settings)
    found = check(expectations, one.snapshot, one.lowered)
    failed = tuple(
        Failed(a.expectation.written, a.got, a.egress, a.ingress, a.why) for a in found.answers if not a.held
    )
    held = len(found.answers) - len(failed)
    unmatched = tuple({**e.written, "why": why} for e, why in found.unmatched)
    passed = tuple(a.expectation.written for a in found.answers if a.held)
    return Verification(len(expectations), held, failed, unmatched, one.incomplete, passed=passed)


def explain(
    source: str, destination: str, port: str | None, over: Place | Refs | Folders, settings: Settings
) -> Explanation:
    """Walk one path on one side, or on both sides of a comparison. Raises NetreachError."""
    from bot.reachability.walkthrough import changed_objects, walk

    if isinstance(over, Place):
        one = _one(over, settings)
        walked = walk(source, destination, port, (one.snapshot, one.snapshot), one.lowered, ("now",))
        return Explanation(*walked[:5], one.incomplete, help=walked.help)
    if isinstance(over, Refs):
        found, config = _compare(over, settings)
        before, after = found.base, found.head
    else:
        from bot.sources.folder import read_folders

        before, after = read_folders(over.base, over.head, settings.include, settings.exclude)
        config = before
    _, (scope, before, after, *_) = _only(settings, config, before, after, _reading(over))
    base, head = load_sides(before, after, scope.settings)
    lowered = lower_sides(base, head, scope.settings)
    incomplete, _ = unread(before, after, base, head, lowered)
    walked = walk(source, destination, port, (base, head), lowered, ("before", "after"))
    changed = changed_objects(walked.sides, lowered)
    return Explanation(*walked[:5], incomplete + scope.unread(base, head), changed, walked.help)


def effect(policy: str, place: Place, settings: Settings) -> PolicyEffect:
    """What one policy selects, opens and closes in one state of the manifests. Raises NetreachError."""
    from bot.reachability.effect import effect

    one = _one(place, settings)
    found = effect(policy, one.snapshot, one.lowered)
    sizes = namespace_sizes(one.snapshot, one.snapshot)
    return PolicyEffect(found, one.lowered.vocabulary.universe, sizes, one.incomplete)


class Manifests(NamedTuple):
    """The objects of one environment, what could not be read of it, and what it was rendered from."""

    name: str
    snapshot: Snapshot
    incomplete: tuple[Unread, ...]
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def manifests(place: Place, settings: Settings) -> tuple[tuple[Manifests, ...], tuple[str, ...]]:
    """Every environment of one state of the manifests, and notes on all of them. Raises NetreachError."""
    from bot.environments import ALL, parts, plan

    files = _files(place, settings)
    found = parts(plan(settings, files.contents), files, files, _reading(place), ALL)
    out = []
    for part in found.parts:
        snapshot = load_sides(part.after, part.after, part.scope.settings)[1]
        told = {*part.after.skipped, *snapshot.unread, *part.scope.unread(snapshot, snapshot)}
        out.append(Manifests(part.scope.name, snapshot, tuple(sorted(told, key=str)), part.notes, part.remarks))
    return tuple(out), found.notes


class _One(NamedTuple):
    settings: Settings
    snapshot: Snapshot
    lowered: Lowered
    incomplete: tuple[Unread, ...]
    lint: LintSettings | None
    fail_on: tuple[str, ...]
    contents: Mapping[str, bytes]


def _one(place: Place, settings: Settings) -> _One:
    planned, scope, files, snapshot = _snapshot(place, settings)
    lowered = lower_sides(snapshot, snapshot, scope.settings)
    incomplete, _ = unread(None, files, None, snapshot, lowered)
    lint, fail_on = planned.config and planned.config.lint, planned.settings.fail_on
    incomplete += scope.unread(snapshot, snapshot)
    return _One(scope.settings, snapshot, lowered, incomplete, lint, fail_on, files.contents)


def _files(place: Place, settings: Settings) -> Files:
    if place.ref is None:
        from bot.sources.folder import read_folder

        return read_folder(place.path, settings.include, settings.exclude)
    from bot.sources import git

    return git.read_ref(place.path, place.ref, settings.include, settings.exclude)


def _snapshot(place: Place, settings: Settings) -> tuple[Plan, Scope, Files, Snapshot]:
    files = _files(place, settings)
    planned, (scope, _, files, *_) = _only(settings, files, files, files, _reading(place))
    return planned, scope, files, load_sides(files, files, scope.settings)[1]


def _only(settings: Settings, config: Files, before: Files, after: Files, read: Read) -> tuple[Plan, Part]:
    """The one environment that is asked for, and its part of each side."""
    from bot.environments import ONE, only, parts, plan

    planned = plan(settings, config.contents)
    return planned, only(parts(planned, before, after, read, ONE))


def _reading(what: Refs | Folders | Place) -> Read:
    """How to read files of any name of what is looked at."""

    def read(chosen: Callable[[str], bool]) -> tuple[Files, Files]:
        if isinstance(what, Folders):
            from bot.sources.folder import read_folders

            return read_folders(what.base, what.head, every=chosen)
        if isinstance(what, Place) and what.ref is None:
            from bot.sources.folder import read_folder

            files = read_folder(what.path, every=chosen)
            return files, files
        from bot.sources import git

        if isinstance(what, Place):
            files = git.read_ref(what.path, what.ref or "", every=chosen)
            return files, files
        found = git.compare(what.repo, what.base, what.head, what.mode, strict=what.strict, every=chosen)
        return found.base, found.head

    return read
