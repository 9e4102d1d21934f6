"""Small clusters as text, and the review of a change of them."""

from __future__ import annotations

from pathlib import Path

from bot.review import Environment, Review, Settings, review_folders

TODAY = "2026-11-24"


def workload(namespace: str, name: str, port: int = 8080, kind: str = "Deployment", named: str = "http") -> str:
    return f"""---
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, tier: {namespace}}}}}
    spec:
      containers:
      - {{name: main, image: x, ports: [{{name: {named}, containerPort: {port}}}]}}
"""


def policy(namespace: str, name: str, spec: str) -> str:
    return f"""---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def deny(namespace: str) -> str:
    return policy(namespace, "default-deny", "{podSelector: {}, policyTypes: [Ingress, Egress]}")


def ingress(namespace: str, name: str, app: str, source: str, port: str = "") -> str:
    ports = f", ports: [{{port: {port}}}]" if port else ""
    spec = f"{{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Ingress], ingress: [{{from: [{source}]{ports}}}]}}"
    return policy(namespace, name, spec)


SHOP = workload("shop", "web") + workload("shop", "cart", 9090, named="metrics")
PAYMENTS = workload("payments", "api") + workload("payments", "db", 5432, "StatefulSet", "sql") + deny("payments")
ANYONE = "{ipBlock: {cidr: 0.0.0.0/0}}"
FROM_SHOP = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}"


def review(
    root: Path, config: str, before: str, after: str, more: dict[str, str] | None = None, **asked: object
) -> Review:
    """Both sides have the config and the files `more`."""
    for side, text in (("base", before), ("head", after)):
        folder = root / side
        for name, content in {".netreach.yml": config, "k8s/all.yaml": text, **(more or {})}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    settings = Settings(today=TODAY)._replace(**asked)  # type: ignore[arg-type]
    return review_folders(str(root / "base"), str(root / "head"), settings)


def one(found: Review) -> Environment:
    return found.environments[0]


def statuses(found: Review) -> dict[str, str]:
    gated = one(found).gated
    assert gated is not None
    return {rule.rule.id: rule.status for rule in gated.rules}


def rules(*rows: str) -> str:
    return "version: 1\nrules:\n" + "".join(f"- {row}\n" for row in rows)
