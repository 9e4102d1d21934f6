"""Base, head and settings in, a Review out: the whole pipeline on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bot.policies.model import Assumption
from bot.policies.traffic import Traffic
from bot.reachability.change import Change, Decision, EndpointFacts, PairChange, Path, PolicyText, Totals
from bot.sources import Unread


class Settings(NamedTuple):
    """What the user asked for beside the two sides.

    `cni`: None to find out. `pod_cidrs`: None to learn them, () for outside every CIDR. `context`: a file of the rest of the
    cluster. `pairs`: list every pair beside the rows. `fail_on`: what blocks (docs/exit-codes.md). `config`: a file in place of the
    base side's. `environment`: only this one.
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
    """Two Git refs. `base` None: origin's default branch, else main. `head` None: the working tree. `mode`: merge, branch, exact."""

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
    """One cluster's review. `verdict`: pass, allowed, look, blocked or incomplete. `incomplete` makes it red, `coverage` does not.

    `sizes`: how many workloads of each namespace are on both sides, if `endpoints` does not hold them all (reports name a
    set by its namespace where it is complete).
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
    """The whole answer for one pull request; `notes` are said in the headline's neighbourhood (a merge conflict, Flannel alone).

    `fail_on` is what was set to block, so that reports can mark the rows that do.
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
    """An expectation (as written) that does not hold. `got`, `egress`, `ingress`: allow, deny or possible; `why` in words."""

    expectation: Mapping[str, object]
    got: str
    egress: str
    ingress: str
    why: str


class Verification(NamedTuple):
    """How many expectations there are and hold; which do not, and which name an end that is not there (they do not hold either)."""

    total: int
    held: int
    failed: tuple[Failed, ...]
    unmatched: tuple[Mapping[str, object], ...]
    incomplete: tuple[Unread, ...]
    assumptions: tuple[tuple[Assumption, int], ...] = ()


class Explanation(NamedTuple):
    """One concrete path, walked: for each side its name, the verdict (open, possible, closed) and what each checkpoint decided.

    `changed`: the changed objects among those that decided, of two sides.
    """

    source: str
    destination: str
    port: str
    sides: tuple[tuple[str, str, tuple[Decision, ...]], ...]
    hints: tuple[str, ...]
    incomplete: tuple[Unread, ...]
    changed: tuple[PolicyText, ...] = ()
