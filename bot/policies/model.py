"""The one model that every policy API is lowered to: expressions over endpoints, rules, tiers, checkpoints, the Chain.

Every checkpoint is a relation over (source, destination, traffic), so that egress of pods, ingress of pods and the
policies of a host on the way are evaluated by the same walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.intervals import Intervals
from bot.policies.traffic import Traffic

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object
    from bot.policies.l7 import L7

# --- Expressions: which endpoints? Each says so of one endpoint, and of the slots of a universe. ---


class Everything(NamedTuple):
    """Every endpoint there is."""

    tag: str = "everything"


class Nobody(NamedTuple):
    """No endpoint."""

    tag: str = "nobody"


class Kind(NamedTuple):
    """Endpoints of a kind: `pod` (selectable pods, hypothetical ones too), `address`, `node`, `entity`, `fqdn`, `host`."""

    kind: str
    tag: str = "kind"


class InNamespace(NamedTuple):
    """Selectable pods (and other namespaced endpoints) of one namespace."""

    namespace: str
    tag: str = "in-namespace"


class Label(NamedTuple):
    """A requirement on one attribute: `exists`, `in`, `prefix`, `suffix` or `contains` (negatives are a Not around it).

    `scope` says whose attribute it is: `pod`, `namespace`, `account`, `node`, or whatever the vocabulary of a CNI gives;
    in scope `placement`, `node` is the node that a pod is known to run on, of the host network or not. An endpoint without
    that scope or key does not match.
    """

    scope: str
    key: str
    operator: str
    values: tuple[str, ...] = ()
    tag: str = "label"


class InAddresses(NamedTuple):
    """Endpoints whose address is in these intervals of the address line (`addresses.py`).

    With `pods`, pods count by their address, and one whose address is unknown matches *possibly*, unless the set contains
    or misses the whole range that pods get their addresses from.
    """

    addresses: Intervals
    pods: bool = True
    tag: str = "in-addresses"


class HasPort(NamedTuple):
    """Pods with a container port of this name, protocol number and number."""

    name: str
    protocol: int
    number: int
    tag: str = "has-port"


class Is(NamedTuple):
    """Exactly these endpoints, by identity (built-in rules; Services resolved to addresses use InAddresses)."""

    identities: tuple[tuple[str, ...], ...]
    tag: str = "is"


class Maybe(NamedTuple):
    """Possibly the endpoints of `inner`, and surely none: what only an assumption (its id) would settle."""

    inner: Expr
    assumption: str
    tag: str = "maybe"


class And(NamedTuple):
    """Endpoints in every part. An InNamespace, where there is one, stands first."""

    parts: tuple[Expr, ...]
    tag: str = "and"


class Or(NamedTuple):
    """Endpoints in any part."""

    parts: tuple[Expr, ...]
    tag: str = "or"


class Not(NamedTuple):
    """Endpoints that are not in `inner`."""

    inner: Expr
    tag: str = "not"


Expr = Everything | Nobody | Kind | InNamespace | Label | InAddresses | HasPort | Is | Maybe | And | Or | Not

PLACEMENT = "placement"
EVERYTHING = Everything()
NOBODY = Nobody()
PODS = Kind("pod")


def conjunction(parts: Iterable[Expr]) -> Expr:
    """All of `parts`, flattened; the InNamespace first, then in the order given; nothing given: everything."""
    flat: list[Expr] = []
    for part in parts:
        if isinstance(part, And):
            flat.extend(part.parts)
        elif isinstance(part, Nobody):
            return NOBODY
        elif not isinstance(part, Everything):
            flat.append(part)
    if not flat:
        return EVERYTHING
    flat.sort(key=lambda part: not isinstance(part, InNamespace))
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(parts: Iterable[Expr]) -> Expr:
    """Any of `parts`, flattened, each once; nothing given: nobody."""
    flat: dict[Expr, None] = {}
    for part in parts:
        if isinstance(part, Or):
            flat.update(dict.fromkeys(part.parts))
        elif isinstance(part, Everything):
            return EVERYTHING
        elif not isinstance(part, Nobody):
            flat[part] = None
    if not flat:
        return NOBODY
    return next(iter(flat)) if len(flat) == 1 else Or(tuple(flat))


def home(expr: Expr) -> str | None:
    """The only namespace whose endpoints can match, where the expression says one."""
    if isinstance(expr, InNamespace):
        return expr.namespace
    if isinstance(expr, And):
        return expr.parts[0].namespace if isinstance(expr.parts[0], InNamespace) else None
    if isinstance(expr, Or):
        homes = {home(part) for part in expr.parts}
        return homes.pop() if len(homes) == 1 else None
    return None


# --- Rules, and how they stand in a chain ---


class Origin(NamedTuple):
    """Where a rule comes from: a path in an object, or what is built into the system (`object` is None then)."""

    object: Object | None
    path: tuple[str | int, ...] = ()
    builtin: str = ""


class Rule(NamedTuple):
    """What happens to `traffic` from `source` to `destination`: `allow`, `deny` or `pass` (to the next tier).

    Both sides are expressions, the subject's side narrowed to what the policy selects. `l7`: only such requests are
    allowed (None: all). `exact`: a rule without L7 lifts a DNS restriction only if it names that very port.
    """

    action: str
    source: Expr
    destination: Expr
    traffic: Traffic
    origin: Origin
    l7: L7 | None = None
    exact: bool = False


class Isolation(NamedTuple):
    """Pairs whose unmatched traffic meets the end of the tier, and what made it so."""

    source: Expr
    destination: Expr
    origin: Origin


class Section(NamedTuple):
    """What one policy contributes to one tier of one checkpoint.

    `rank` orders the sections of a tier, lowest first. Sections of one rank in a tier that *commutes* are applied
    together; in any other tier, sections of equal rank that disagree give *possible*.
    """

    checkpoint: str
    tier: str
    rank: tuple[float | str, ...]
    rules: tuple[Rule, ...]
    isolates: tuple[Isolation, ...] = ()


class Policy(NamedTuple):
    """One policy object, lowered. `key` = (kind group, namespace, name); `title` is how people call it."""

    key: tuple[str, str, str]
    title: str
    object: Object | None
    sections: tuple[Section, ...]
    staged: bool = False


class Tier(NamedTuple):
    """A step of a checkpoint. `end`: what becomes of unmatched traffic of isolated pairs: `deny`, `allow` or `pass`.

    `commutes`: all rules of one rank are of one action and applied together (NetworkPolicy, Cilium).
    """

    name: str
    title: str
    end: str
    commutes: bool = False


class Checkpoint(NamedTuple):
    """A place where a packet is judged; a path is open when every checkpoint allows. What no tier decides is allowed.

    `subject` says which end the policies there are about: `source`, `destination`, or `neither` (a host on the way).
    """

    name: str
    subject: str
    tiers: tuple[Tier, ...]


class Chain(NamedTuple):
    """One side's checkpoints, in the order a packet meets them, with its policies in stable order."""

    checkpoints: tuple[Checkpoint, ...]
    policies: tuple[Policy, ...]


class Problem(NamedTuple):
    """What is wrong with a policy object: `refused` ones are absent, as behind an API server; the others are evaluated."""

    object: Object
    path: tuple[str | int, ...]
    reason: str
    refused: bool
    setting: str | None = None


class Assumption(NamedTuple):
    """Something the manifests do not say: its id, in words, and the setting that would settle it.

    `endpoints`: how the ids of the endpoints begin whose every path rests on it ('': such as are only possible).
    """

    id: str
    text: str
    setting: str
    endpoints: str = ""


class ExtraEndpoint(NamedTuple):
    """An endpoint that policies speak of and no workload is: an entity, a DNS name, a node.

    `attributes` = scope -> key -> value; `addresses` = its known ones on the address line (none: no address set matches it;
    None: one that nobody knows). `base` and `head`: which snapshots have it (one that differs has two values of one id).
    """

    kind: str
    id: str
    attributes: Mapping[str, Mapping[str, str]]
    addresses: Intervals | None = None
    base: bool = True
    head: bool = True


class Vocabulary(NamedTuple):
    """What the rest needs to know of a CNI and of the objects it resolves through, and nothing of any policy API.

    `universe`: the traffic it polices. `pod_addresses`: where pods get theirs from (None: outside every CIDR).
    `cidr_meets_pods`: whether address sets match pods at all. `port_numbers`: (name, protocol) -> every number it resolves to,
    `free_ports` among them: (name, protocol) -> the number that pods which are not in Git declare it at, which no rule names.
    `attributes`: (labels, namespace labels, namespace, service account) -> scope -> key -> value; None: scopes `pod` and `namespace`.
    `base_attributes`: the same on the base, where it is another there.
    `hosts`: node name -> attributes of each node that policies may take a host network pod there for (None: it has none).
    `ask`: (an end of a question, the node of the other end or '') -> the endpoints it may mean; None: not such an end.
    """

    cni: str
    universe: Traffic
    pod_addresses: Intervals | None
    cidr_meets_pods: bool
    port_numbers: Mapping[tuple[str, int], tuple[int, ...]]
    free_ports: Mapping[tuple[str, int], int]
    attributes: Callable[[Mapping[str, str], Mapping[str, str], str, str], Mapping[str, Mapping[str, str]]] | None = (
        None
    )
    extra: tuple[ExtraEndpoint, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    hosts: Callable[[str], tuple[Mapping[str, Mapping[str, str]], ...]] | None = None
    ask: Callable[[str, str], tuple[ExtraEndpoint, ...] | None] | None = None
    base_attributes: Callable[[Mapping[str, str], Mapping[str, str], str, str], Mapping[str, Mapping[str, str]]] | None = (
        None
    )


class Staged(NamedTuple):
    """The head's chain as it is (`plain`), and as it would be if its staged policies were enforced.

    `new`: those of them that the base has not, or has otherwise. `keys`: the keys under which they stand in `enforced`, or
    under which stands in `plain` what they would delete.
    """

    plain: Chain
    enforced: Chain
    new: tuple[Policy, ...]
    keys: frozenset[tuple[str, str, str]]


class Lowered(NamedTuple):
    """Both sides' chains; an unchanged policy is the identical Policy object in both.

    `staged`: what staged policies, which enforce nothing, would do, where the head has some that the base has not so.
    """

    base: Chain
    head: Chain
    vocabulary: Vocabulary
    problems_base: tuple[Problem, ...]
    problems_head: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    staged: Staged | None = None
