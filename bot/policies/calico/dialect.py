"""Both Snapshots of a Calico cluster in; how its policies are lowered, the chains they stand in and the Vocabulary out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bot.policies.calico import surroundings, validation
from bot.policies.calico.chain import Chains
from bot.policies.calico.drafts import STAGED_NETWORK_POLICY, Draft, Drafts, Key, enforced, in_force
from bot.policies.calico.entities import Entities
from bot.policies.calico.hosts import UNPLACED, Hosts, extra_endpoints, nodes_of
from bot.policies.calico.labels import Labels, attributes
from bot.policies.calico.networks import Networks
from bot.policies.calico.ports import UNIVERSE
from bot.policies.calico.rules import Emitter
from bot.policies.calico.surroundings import Account, Surroundings
from bot.policies.cni_profiles import Version
from bot.policies.kubernetes import NetworkPolicies
from bot.policies.model import Assumption, Chain, Policy, Problem, Staged, Vocabulary
from bot.policies.selectors import Flaw
from bot.policies.terms import Terms

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot

Lower = Callable[["Object", Key, "list[Flaw]"], "Policy | None"]
_NOTHING: Mapping[str, str] = {}


class Calico:
    """Calico's reading of one run. `version`: of Calico, where it is known; else what holds since 3.32."""

    def __init__(self, terms: Terms, base: Snapshot, head: Snapshot, version: Version | None = None) -> None:
        older = version is not None and version < (3, 32)
        self._sides = (base, head)
        self._around = [surroundings.read(base)]
        self._around.append(self._around[0] if head is base else surroundings.read(head))
        self._labels = Labels(terms.selectors)
        self._entities = Entities(terms, self._labels, self._around[0])
        self._drafts = Drafts(self._entities, older)
        self._networks = Networks(terms, self._entities, older)
        self._emitter = Emitter(terms)
        self._staged_policies = NetworkPolicies(terms, staged=True)
        self._read: dict[int, tuple[Policy, Draft]] = {}
        self._drafts_of: tuple[list[Draft], list[Draft]] = ([], [])

    def enter(self, side: Snapshot) -> bool:
        """Resolve through this side from now on; whether that differs from before."""
        around = self._around[0] if side is self._sides[0] else self._around[1]
        before = self._entities.around
        self._entities.enter(around)
        return around != before

    def looked_around(self) -> bool:
        """Whether the policy read last was resolved through sets, host endpoints or Services."""
        found, self._entities.looked_around = self._entities.looked_around, False
        return found

    def handler(self, family: str, plain: Lower) -> Lower:
        """What reads policies of a family, given what lowers them as Kubernetes defines them."""

        def lower(obj: Object, key: Key, flaws: list[Flaw]) -> Policy | None:
            draft: Draft | None
            if obj.kind == STAGED_NETWORK_POLICY:
                draft = self._staged_network_policy(obj, key, flaws)
            elif family == "Calico":
                draft = self._drafts.read(obj, key, flaws)
            else:
                policy = plain(obj, key, flaws)
                reread = self._networks.network_policy if family == "NetworkPolicy" else self._networks.admin_policy
                draft = None if policy is None else reread(policy)
            if draft is None:
                return None
            token = Policy(draft.key, draft.title, draft.object, (), bool(draft.staged))
            self._read[id(token)] = (token, draft)
            return token

        return lower

    def _staged_network_policy(self, obj: Object, key: Key, flaws: list[Flaw]) -> Draft | None:
        """A NetworkPolicy as Kubernetes defines it, with `stagedAction` beside its fields."""
        policy = self._staged_policies.lower(obj, key, flaws)
        return None if policy is None else self._networks.staged(policy)

    def joined(self, sides: Sequence[tuple[Chain, tuple[Problem, ...]]]) -> list[tuple[Chain, tuple[Problem, ...]]]:
        """Both sides' chains, given what was read of each; and what is wrong with what policies are resolved through."""
        drafts = [[self._read[id(token)][1] for token in chain.policies] for chain, _ in sides]
        # What was resolved through each side and came out alike is one policy, which stands in one place.
        known = {id(draft.object): draft for draft in drafts[0]}
        drafts[1] = [_first(known.get(id(draft.object)), draft) for draft in drafts[1]]
        self._drafts_of = (drafts[0], drafts[1])
        checkpoints, policies = self._chains().build(list(zip(drafts, self._around, strict=True)))
        return [
            (Chain(checkpoints, own), (*problems, *_absent_tiers(read, around), *_problems(side)))
            for own, (_, problems), side, read, around in zip(
                policies, sides, self._sides, drafts, self._around, strict=True
            )
        ]

    def staged(self) -> Staged | None:
        """What the head's staged policies would do; None where it has none that is new or another than on the base."""
        base, head = self._drafts_of
        known = {id(draft) for draft in base}
        new = [draft for draft in head if draft.staged and id(draft) not in known]
        if not new:
            return None
        around = self._around[1]
        checkpoints, (plain, other) = self._chains().build([(head, around), (enforced(head), around)])
        return Staged(
            Chain(checkpoints, plain),
            Chain(checkpoints, other),
            tuple(Policy(draft.key, draft.title, draft.object, (), True) for draft in new),
            frozenset(in_force(draft) for draft in new),
        )

    def _chains(self) -> Chains:
        return Chains(self._labels, self._entities, self._emitter)

    def vocabulary(self, plain: Vocabulary) -> Vocabulary:
        """The vocabulary of Kubernetes, with what Calico sees besides."""
        nodes = nodes_of(self._around)
        base, head = (Hosts(around, self._entities, nodes).extras() for around in self._around)
        words = (
            "which node a pod will run on is not in Git: host endpoints may be on its way, and host processes beside it"
        )
        assumption = Assumption(UNPLACED, words, "")
        before, after = (_attributes(around) for around in self._around)
        changed = self._labels.sees_accounts and self._around[0].accounts != self._around[1].accounts
        seen = self._labels.sees_accounts
        return plain._replace(
            universe=UNIVERSE,
            attributes=after if seen else None,
            base_attributes=before if changed else None,
            extra=extra_endpoints(base, head),
            assumptions=(*plain.assumptions, assumption),
        )


def _first(known: Draft | None, draft: Draft) -> Draft:
    return draft if known is None or (known is not draft and known != draft) else known


_Attributes = Callable[[Mapping[str, str], Mapping[str, str], str, str], Mapping[str, Mapping[str, str]]]


def _attributes(around: Surroundings) -> _Attributes:
    def found(
        labels: Mapping[str, str], namespace_labels: Mapping[str, str], namespace: str, account: str
    ) -> Mapping[str, Mapping[str, str]]:
        key: Account = (namespace, account)
        return attributes(labels, namespace_labels, account, around.accounts.get(key, _NOTHING))

    return found


def _absent_tiers(drafts: Sequence[Draft], around: Surroundings) -> Iterator[Problem]:
    for draft in drafts:
        if draft.tier not in around.tiers:
            words = f"Tier {draft.tier} is not among the manifests: it stands last, and denies what no rule in it decides"
            yield Problem(draft.object, ("spec", "tier"), words, False)


def _problems(side: Snapshot) -> tuple[Problem, ...]:
    return tuple(
        Problem(obj, flaw.path, flaw.reason, flaw.refused)
        for obj in side.by_kind(*validation.OTHERS)
        if obj.api_version in validation.VERSIONS
        for flaw in validation.check(obj)
    )
