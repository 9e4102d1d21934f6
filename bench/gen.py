#!/usr/bin/env python3
"""Generate a base and a head directory of realistic Kubernetes manifests.

  gen.py --namespaces N --workloads-per-ns W --policies-per-ns P --seed S --out BASE --head HEAD
         [--change-pct 1.0] [--cidr-pool 16] [--services]

Standard library only; deterministic for a seed.  One multi-document YAML file per namespace.

Per namespace: Namespace (labels: kubernetes.io/metadata.name, team, env), W Deployments (pod labels app, tier,
team; 1-2 container ports, one of them named), P NetworkPolicies: default-deny (Ingress+Egress), allow-dns, and P-2
allow policies drawn from flows:
   intra   pod selector -> pod selector with ports: an ingress policy at the destination and an egress one at the source
   cross   namespaceSelector(+podSelector) -> pod selector: an ingress policy here, an egress one in the source's own
           namespace budget (egress to namespaceSelector team=.. + podSelector tier=..)
   ipblock ipBlock with except, ingress or egress, CIDRs from a fixed pool
   (70 % of namespaces spend one of the P-2 on allow-egress-cluster: egress to every namespace, so ingress decides)
Plus kube-system with coredns (2 replicas Deployment, no policy).

Head = base with about --change-pct % of the allow policies changed, at least one of each kind:
   widen   a policy's `from`/`to` podSelector is emptied (all pods of the peer namespace(s))
   port    a port is added to a rule
   remove  the policy is removed
A summary (counts, list of changes) is printed as JSON on stdout.
"""

import argparse
import copy
import json
import os
import random
import shutil

TIERS = ["frontend", "backend", "worker", "cache", "db"]
TIER_PORT = {"frontend": 8080, "backend": 9090, "worker": 9100, "cache": 6379, "db": 5432}
TEAMS = ["payments", "identity", "search", "logistics", "ads", "ml", "platform", "growth"]
ENVS = ["prod", "staging"]


def emit(o, ind=0):
    """Tiny block-style YAML emitter for dict / list / scalar."""
    pad = "  " * ind
    if isinstance(o, dict):
        if not o:
            return " {}\n"
        s = "\n" if ind else ""
        for k, v in o.items():
            s += f"{pad}{scalar(k)}:" + sub(v, ind)
        return s
    raise TypeError(o)


def sub(v, ind):
    pad = "  " * ind
    if isinstance(v, dict):
        return emit(v, ind + 1) if v else " {}\n"
    if isinstance(v, list):
        if not v:
            return " []\n"
        s = "\n"
        for e in v:
            if isinstance(e, dict) and e:
                body = emit(e, ind + 1).lstrip("\n")
                s += f"{pad}- " + body[len("  " * (ind + 1)) :]
            elif isinstance(e, dict):
                s += f"{pad}- {{}}\n"
            else:
                s += f"{pad}- {scalar(e)}\n"
        return s
    return f" {scalar(v)}\n"


def scalar(x):
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, (int, float)):
        return str(x)
    x = str(x)
    if (
        x == ""
        or x.lower() in ("true", "false", "null", "yes", "no", "on", "off")
        or x[0] in "*&!%@`{[>|#'\"- "
        or ": " in x
        or x.replace(".", "", 1).isdigit()
    ):
        return json.dumps(x)
    return x


def ns_obj(name, labels):
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}},
    }


def deploy(ns, name, labels, ports, replicas=2):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": ns, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": labels["app"]} if "app" in labels else dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "containers": [
                        {
                            "name": "main",
                            "image": f"registry.example.com/{ns}/{name}:1.0.0",
                            "ports": [dict(p.items()) for p in ports],
                            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                        }
                    ]
                },
            },
        },
    }


def service(ns, name, labels, ports):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": ns},
        "spec": {
            "selector": {"app": labels["app"]},
            "ports": [
                {
                    "name": p.get("name", f"p{p['containerPort']}"),
                    "port": p["containerPort"],
                    "targetPort": p["containerPort"],
                }
                for p in ports
            ],
        },
    }


def np(ns, name, sel, types, ingress=None, egress=None):
    spec = {"podSelector": ({"matchLabels": sel} if sel else {}), "policyTypes": types}
    if ingress is not None:
        spec["ingress"] = ingress
    if egress is not None:
        spec["egress"] = egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": ns},
        "spec": spec,
    }


def port(p, proto="TCP"):
    return {"protocol": proto, "port": p}


def build(a):
    rnd = random.Random(a.seed)
    names = [f"ns-{i:04d}" for i in range(a.namespaces)]
    nslab = {n: {"team": TEAMS[i % len(TEAMS)], "env": rnd.choice(ENVS)} for i, n in enumerate(names)}
    cidrs = []
    for i in range(max(1, a.cidr_pool)):
        k = i % 4
        if k == 0:
            cidrs.append(("0.0.0.0/0", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]))
        elif k == 1:
            cidrs.append((f"10.{16 * i % 256}.0.0/16", [f"10.{16 * i % 256}.{rnd.randrange(1, 250)}.0/24"]))
        elif k == 2:
            cidrs.append((f"203.0.{(113 + i) % 256}.0/24", [f"203.0.{(113 + i) % 256}.{rnd.randrange(1, 250)}/32"]))
        else:
            cidrs.append((f"198.51.{(100 + i) % 256}.0/24", [f"198.51.{(100 + i) % 256}.128/25"]))
    W = {}
    out = {}
    for n in names:
        docs = [ns_obj(n, nslab[n])]
        W[n] = []
        for j in range(a.workloads_per_ns):
            tier = TIERS[j % len(TIERS)]
            nm = f"{tier}-{j:02d}"
            lab = {"app": nm, "tier": tier, "team": nslab[n]["team"]}
            pts = [{"name": "main", "containerPort": TIER_PORT[tier], "protocol": "TCP"}]
            if j % 2:
                pts.append({"name": "metrics", "containerPort": 9102, "protocol": "TCP"})
            W[n].append((nm, lab, tier, pts))
            docs.append(deploy(n, nm, lab, pts))
            if a.services:
                docs.append(service(n, nm, lab, pts))
        out[n] = docs
    pol = {n: [] for n in names}
    for n in names:
        pol[n].append(np(n, "default-deny", {}, ["Ingress", "Egress"]))
        pol[n].append(
            np(
                n,
                "allow-dns",
                {},
                ["Egress"],
                egress=[
                    {
                        "to": [
                            {
                                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                            }
                        ],
                        "ports": [port(53, "UDP"), port(53)],
                    }
                ],
            )
        )
        if (
            a.policies_per_ns > 2 and rnd.random() < 0.7
        ):  # 70 %: egress open to the cluster, ingress decides; 30 %: strict both ways
            pol[n].append(np(n, "allow-egress-cluster", {}, ["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}]))
        k = 0
        while len(pol[n]) < a.policies_per_ns:
            r = rnd.random()
            dst = rnd.choice(W[n])
            use_tier = rnd.random() < 0.4
            dsel = {"tier": dst[2]} if use_tier else {"app": dst[0]}
            dport = TIER_PORT[dst[2]]
            pspec = [port("main" if (rnd.random() < 0.15 and not use_tier) else dport)]
            if r < 0.6 and len(W[n]) > 1:  # intra: both sides
                src = rnd.choice([w for w in W[n] if w is not dst])
                ssel = {"tier": src[2]} if rnd.random() < 0.3 else {"app": src[0]}
                pol[n].append(
                    np(
                        n,
                        f"allow-in-{k:03d}",
                        dsel,
                        ["Ingress"],
                        ingress=[{"from": [{"podSelector": {"matchLabels": ssel}}], "ports": pspec}],
                    )
                )
                if len(pol[n]) < a.policies_per_ns:
                    pol[n].append(
                        np(
                            n,
                            f"allow-out-{k:03d}",
                            ssel,
                            ["Egress"],
                            egress=[{"to": [{"podSelector": {"matchLabels": dsel}}], "ports": [port(dport)]}],
                        )
                    )
            elif r < 0.8:  # cross-namespace
                team = rnd.choice(TEAMS)
                if rnd.random() < 0.5:
                    pol[n].append(
                        np(
                            n,
                            f"allow-x-in-{k:03d}",
                            dsel,
                            ["Ingress"],
                            ingress=[
                                {
                                    "from": [
                                        {
                                            "namespaceSelector": {"matchLabels": {"team": team}},
                                            "podSelector": {"matchLabels": {"tier": rnd.choice(TIERS[:3])}},
                                        }
                                    ],
                                    "ports": pspec,
                                }
                            ],
                        )
                    )
                else:
                    ot = rnd.choice(TIERS[:2])
                    pol[n].append(
                        np(
                            n,
                            f"allow-x-out-{k:03d}",
                            {"tier": rnd.choice(TIERS[:3])},
                            ["Egress"],
                            egress=[
                                {
                                    "to": [
                                        {
                                            "namespaceSelector": {"matchLabels": {"team": team}},
                                            "podSelector": {"matchLabels": {"tier": ot}},
                                        }
                                    ],
                                    "ports": [port(TIER_PORT[ot])],
                                }
                            ],
                        )
                    )
            else:  # ipBlock
                c, ex = rnd.choice(cidrs)
                blk = {"ipBlock": {"cidr": c, "except": list(ex)}}
                if rnd.random() < 0.5:
                    pol[n].append(
                        np(
                            n,
                            f"allow-ip-in-{k:03d}",
                            dsel,
                            ["Ingress"],
                            ingress=[{"from": [blk], "ports": [port(dport)]}],
                        )
                    )
                else:
                    pol[n].append(
                        np(n, f"allow-ip-out-{k:03d}", dsel, ["Egress"], egress=[{"to": [blk], "ports": [port(443)]}])
                    )
            k += 1
    ks = [
        ns_obj("kube-system", {"team": "platform", "env": "prod"}),
        deploy(
            "kube-system",
            "coredns",
            {"k8s-app": "kube-dns"},
            [
                {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            ],
        ),
    ]
    # head
    hpol = copy.deepcopy(pol)
    allow = [
        (n, i)
        for n in names
        for i in range(2, len(pol[n]))
        if "ports" in pol[n][i]["spec"].get("ingress", pol[n][i]["spec"].get("egress"))[0]
    ]
    total_pol = sum(len(v) for v in pol.values())
    want = max(3, round(total_pol * a.change_pct / 100.0))
    rnd2 = random.Random(a.seed + 7919)
    rnd2.shuffle(allow)
    # prefer changes that can show: ingress rules in namespaces with open in-cluster egress, one in five anything
    op = {n for n in names if any(p["metadata"]["name"] == "allow-egress-cluster" for p in pol[n])}
    good = [
        x
        for x in allow
        if x[0] in op
        and "ingress" in pol[x[0]][x[1]]["spec"]
        and "podSelector" in pol[x[0]][x[1]]["spec"]["ingress"][0]["from"][0]
    ]
    rest = [x for x in allow if x not in set(good)]
    allow, gi, ri = [], iter(good), iter(rest)
    for j in range(len(good) + len(rest)):
        x = next(ri if j % 5 == 4 else gi, None) or next(gi, None) or next(ri, None)
        if x is None:
            break
        allow.append(x)
    kinds = ["widen", "port", "remove"]
    changes, it, rm = [], 0, []
    for n, i in allow:
        if it >= want:
            break
        p = hpol[n][i]
        kind = kinds[it % 3]
        side = "ingress" if "ingress" in p["spec"] else "egress"
        rule = p["spec"][side][0]
        pk = "from" if side == "ingress" else "to"
        if kind == "widen":
            if "podSelector" not in rule[pk][0]:
                continue
            rule[pk][0]["podSelector"] = {}
        elif kind == "port":
            rule["ports"].append(port(15000 + it))
        else:
            rm.append((n, i))
        changes.append({"kind": kind, "policy": f"{n}/{p['metadata']['name']}"})
        it += 1
    rmset = set(rm)
    for n in names:
        hpol[n] = [p for i, p in enumerate(hpol[n]) if (n, i) not in rmset]

    def write(d, pols):
        shutil.rmtree(d, ignore_errors=True)
        os.makedirs(d)
        with open(os.path.join(d, "kube-system.yaml"), "w") as f:
            f.write("---\n".join(emit(x) for x in ks))
        for n in names:
            with open(os.path.join(d, n + ".yaml"), "w") as f:
                f.write("---\n".join(emit(x) for x in out[n] + pols[n]))

    write(a.out, pol)
    if a.head:
        write(a.head, hpol)
    print(
        json.dumps(
            {
                "namespaces": len(names) + 1,
                "workloads": a.namespaces * a.workloads_per_ns + 1,
                "policies": total_pol,
                "head_policies": sum(len(v) for v in hpol.values()),
                "changed": len(changes),
                "changes": changes[:50],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--namespaces", type=int, required=True)
    ap.add_argument("--workloads-per-ns", type=int, required=True)
    ap.add_argument("--policies-per-ns", type=int, default=12)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--out", required=True)
    ap.add_argument("--head")
    ap.add_argument("--change-pct", type=float, default=1.0)
    ap.add_argument("--cidr-pool", type=int, default=16)
    ap.add_argument("--services", action="store_true", help="also emit a Service per Deployment")
    build(ap.parse_args())
