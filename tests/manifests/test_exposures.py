"""Ingresses, Gateway routes, OpenShift Routes and Services: which pods and ports they reach."""

from __future__ import annotations

from bot.manifests.exposures import exposures
from tests.manifests.reading import reasons, side

SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 81, targetPort: admin}
  - {name: same, port: 9000}
  - {name: dns, port: 53, protocol: UDP, targetPort: '5353'}
"""


def found(text: str):
    snapshot = side(text)
    assert reasons(snapshot) == []
    return exposures(snapshot)


def reached(exposure):
    return [(backend.namespace, backend.selector, backend.port, backend.protocol) for backend in exposure.backends]


def ingress(spec: str, api_version: str = "networking.k8s.io/v1") -> str:
    return f"---\napiVersion: {api_version}\nkind: Ingress\nmetadata: {{name: i, namespace: shop}}\nspec: {spec}\n"


def path(service: str, port: str) -> str:
    return f"{{host: a.example, http: {{paths: [{{path: /, backend: {{service: {{name: {service}, port: {{{port}}}}}}}}}]}}}}"


def test_an_ingress_reaches_the_target_ports_of_its_backends():
    rules = ", ".join(
        [
            path("web", "number: 80"),
            path("web", "name: admin"),
            path("web", "number: 9000"),
            "{host: nothing.example}",
            path("web", "number: 80"),
        ]
    )
    [exposure] = found(SERVICE + ingress(f"{{rules: [{rules}]}}"))
    assert exposure[:3] == ("Ingress", "shop", "i")
    assert reached(exposure) == [("shop", {"app": "web"}, port, "TCP") for port in (8080, "admin", 9000)]
    assert exposure.backends[0].service is not None
    assert exposure.notes == ()


def test_default_backends_old_and_new():
    new = ingress("{defaultBackend: {service: {name: web, port: {number: 80}}}}")
    old = ingress(
        "{backend: {serviceName: web, servicePort: http}, rules: [{http: {paths: [{backend: {serviceName: web, servicePort: 81}}]}}]}",
        "extensions/v1beta1",
    )
    assert reached(found(SERVICE + new)[0]) == [("shop", {"app": "web"}, 8080, "TCP")]
    assert [row[2] for row in reached(found(SERVICE + old)[0])] == [8080, "admin"]


def test_an_ingress_is_tcp_and_says_what_is_not_there():
    [udp] = found(SERVICE + ingress(f"{{rules: [{path('web', 'number: 53')}]}}"))
    assert udp.backends == ()
    assert udp.notes == ("Service shop/web has no TCP port 53",)
    [absent] = found(ingress(f"{{rules: [{path('gone', 'number: 80')}]}}"))
    assert (absent.backends, absent.notes) == ((), ("Service shop/gone is not there",))
    [target] = found(SERVICE + ingress(f"{{rules: [{path('web', 'number: 8080')}]}}"))
    assert [row[2] for row in reached(target)] == [8080]
    assert target.notes == ("Service shop/web has no port 8080, only the target port of another",)


def test_gateway_routes():
    route = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: r, namespace: edge}}
spec:
  rules:
  - backendRefs:
    - {{name: web, namespace: shop, port: {port}}}
    - {{group: example.com, kind: Bucket, name: b}}
    filters:
    - requestMirror: {{backendRef: {{name: web, namespace: shop, port: 9000}}}}
"""
    grant = """\
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: edge}]
  to: [{group: "", kind: Service}]
"""
    [http] = found(SERVICE + grant + route.format(kind="HTTPRoute", port=80))
    assert [row[2] for row in reached(http)] == [8080, 9000]
    assert http.notes == ("its backend Bucket b is no Service",)
    [udp] = found(SERVICE + grant + route.format(kind="UDPRoute", port=53))
    assert reached(udp) == [("shop", {"app": "web"}, 5353, "UDP")]
    assert "no ReferenceGrant in shop for its backend Service shop/web" in udp.notes
    assert [e.kind for kind in ("GRPCRoute", "TCPRoute", "TLSRoute") for e in found(SERVICE + route.format(kind=kind, port=80))] == [
        "GRPCRoute", "TCPRoute", "TLSRoute",
    ]  # fmt: skip


def test_openshift_routes():
    def route(port: str, more: str = "") -> str:
        head = "---\napiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {name: r, namespace: shop}\n"
        return f"{head}spec: {{to: {{kind: Service, name: web}}{more}{port}}}\n"

    def ports(text: str):
        return [row[2] for row in reached(found(SERVICE + text)[0])]

    assert ports(route("")) == [8080, "admin", 9000]
    assert ports(route(", port: {targetPort: http}")) == [8080]
    assert ports(route(", port: {targetPort: admin}")) == ["admin"]
    assert ports(route(", port: {targetPort: 9000}")) == [9000]
    assert ports(route(", port: {targetPort: 8080}")) == [8080]
    [alternate] = found(
        SERVICE + route(", port: {targetPort: http}", ", alternateBackends: [{kind: Service, name: green}]")
    )
    assert alternate.notes == ("Service shop/green is not there",)
    [wrong] = found(SERVICE.replace("targetPort: admin", "targetPort: 1") + route(", port: {targetPort: 7}"))
    assert wrong.notes == ("Service shop/web has no port with the target 7",)


def test_services_of_type_load_balancer_and_node_port():
    def of_type(kind: str, more: str = "") -> str:
        return SERVICE.replace("spec:\n", f"spec:\n  type: {kind}\n{more}")

    [balancer] = found(of_type("LoadBalancer"))
    assert balancer[:3] == ("Service", "shop", "web")
    assert [row[2:] for row in reached(balancer)] == [(8080, "TCP"), ("admin", "TCP"), (9000, "TCP"), (5353, "UDP")]
    assert not balancer.local
    [port] = found(of_type("NodePort", "  externalTrafficPolicy: Local\n"))
    assert port.local
    assert found(of_type("ClusterIP")) == []
    [named] = found(SERVICE + ingress(f"{{rules: [{path('web', 'number: 80')}]}}") + of_type("ExternalName"))
    assert named.notes == ("Service shop/web is of type ExternalName: it leads to a DNS name, not to pods",)


HEADLESS = """\
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  type: LoadBalancer
  ports: [{name: sql, port: 5432}]
"""


def test_services_without_a_selector_have_the_addresses_written_down_for_them():
    slices = """\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: sql, port: 15432}, {name: other, port: 1}]
endpoints: [{addresses: [203.0.113.8, nonsense]}, {addresses: [203.0.113.7]}, 3]
---
apiVersion: v1
kind: Endpoints
metadata: {name: db, namespace: shop}
subsets: [{addresses: [{ip: 203.0.113.9}], ports: [{name: sql, port: 5432}]}]
"""
    [exposure] = found(HEADLESS + slices)
    assert [(b.selector, b.port, b.addresses) for b in exposure.backends] == [
        ({}, 5432, ("203.0.113.9",)), ({}, 15432, ("203.0.113.7", "203.0.113.8")),
    ]  # fmt: skip
    [nowhere] = found(HEADLESS)
    assert (nowhere.backends, nowhere.notes) == (
        (),
        ("Service shop/db has no selector, and no endpoints for it are there",),
    )


def test_nothing_malformed_raises():
    odd = "[3, {}, {http: 3}, {http: {paths: [3, {backend: 3}, {backend: {service: 3}}]}}]"
    for spec in ("3", "[]", f"{{rules: {odd}}}", "{rules: 3}", "{defaultBackend: {service: {name: web, port: 3}}}"):
        assert len(found(SERVICE + ingress(spec))) == 1
    service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
    ports = "[3, {port: x}, {port: 1, targetPort: [2]}, {port: 1, protocol: x}]"
    for spec in (
        f"{{type: NodePort, ports: {ports}, selector: [3]}}",
        "{type: NodePort, ports: [{port: 1}], selector: {a: 3}}",
    ):
        assert found(f"{service}spec: {spec}\n")[0].backends == ()
