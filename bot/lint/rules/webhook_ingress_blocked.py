"""NP007: pods that the API server calls, and that do not let it in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import ERROR, Draft, Rule
from bot.lint.operators import is_given
from bot.lint.ports import services, targets
from bot.lint.reaching import admits, isolator, outside, slots_of

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object
    from bot.policies.model import Expr

RULE = Rule(
    id="NP007",
    name="webhook-ingress-blocked",
    severity=ERROR,
    detects="Pods behind a ValidatingWebhookConfiguration, a MutatingWebhookConfiguration or an APIService whose "
    "ingress admits no node and no address outside of the pod network on the port that is called.",
    why="The API server calls from a node or from outside of the cluster, which no selector matches. A webhook that "
    "it cannot reach stops objects from being made in the whole cluster.",
    bad="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: webhook}}
  ingress:
    - from: [{namespaceSelector: {}}]   # pods alone
      ports: [{port: 9443}]
""",
    fix="Admit the addresses of the API server and the nodes on that port by ipBlock, or leave `from` out there; "
    "with Cilium, the entities `kube-apiserver` and `remote-node`.",
    good="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: webhook}}
  ingress:
    - ports: [{port: 9443}]
""",
)
_HOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def check(context: Context) -> Iterator[Draft]:
    """One finding for each Service that is called in vain."""
    seen: set[tuple[str, str, int]] = set()
    for obj in context.snapshot.by_kind(*_HOOKS, "APIService"):
        for ref in _refs(obj):
            namespace, name, port = ref.get("namespace"), ref.get("name"), ref.get("port", 443)
            if (
                type(namespace) is str
                and type(name) is str
                and type(port) is int
                and (namespace, name, port) not in seen
            ):
                seen.add((namespace, name, port))
                yield from _service(context, obj, namespace, name, port)


def _subjects(context: Context, namespace: str) -> Iterator[Expr]:
    for policy in context.enforced.policies:
        subject = context.subject(policy) if policy.key[1] in ("", namespace) else None
        if subject is not None:
            yield subject


def called(context: Context) -> frozenset[int]:
    """The slots of pods that the API server calls."""

    def make() -> frozenset[int]:
        out: set[int] = set()
        for obj in context.snapshot.by_kind(*_HOOKS, "APIService"):
            for ref in _refs(obj):
                for service, selector, *_ in services(context).get(str(ref.get("namespace")), ()):
                    if service.name == ref.get("name"):
                        out.update(slot for slot, _ in slots_of(context, service.namespace, selector))
        return frozenset(out)

    return context.once("called", make)  # type: ignore[no-any-return]


def _refs(obj: Object) -> Iterator[dict[str, Any]]:
    if obj.kind == "APIService":
        spec = obj.value.get("spec")
        ref = spec.get("service") if type(spec) is dict else None
        if type(ref) is dict:
            yield ref
        return
    hooks = obj.value.get("webhooks")
    for hook in hooks if type(hooks) is list else ():
        config = hook.get("clientConfig") if type(hook) is dict else None
        ref = config.get("service") if type(config) is dict else None
        if type(ref) is dict:
            yield ref


def _service(context: Context, obj: Object, namespace: str, name: str, port: int) -> Iterator[Draft]:
    found = next((one for one in services(context).get(namespace, ()) if one[0].name == name), None)
    if found is None or not context.is_told(found[0]):
        return
    blocked = []
    for slot, workload in slots_of(context, namespace, found[1]):
        if any(is_given(subject, [workload]) for subject in _subjects(context, namespace)):
            return  # a policy selects it by a label that it is given when it is made
        ends = [
            one for one in targets(context, workload) if one.service is found[0] and one.port == port and one.number
        ]
        points = [one.protocol << 16 | one.number for one in ends]
        if not points or not context.isolated("ingress") >> slot & 1 or admits(context, slot, outside(context), points):
            return
        blocked.append((slot, workload, ends[0].number))
    if blocked:
        slot, workload, number = blocked[0]
        by = isolator(context, "ingress", slot)
        if by is not None:
            message = (
                f"the API server calls `{workload.name}` on port {number} ({obj.kind} `{obj.name}`), and its ingress admits "
                "no node and nothing from outside"
            )
            yield Draft(RULE, ERROR, by.object, by.path, message, about=f"{namespace}/{name} {port}")
