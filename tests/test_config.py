"""Settings files in; what they say, or the line of what is wrong with them, out."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from bot import config
from bot.config import Allow, Assume, Cluster, Config, Environment, Match, Ports, Render, Rendered, Rule, parse, read
from bot.errors import UsageError

FULL = """\
version: 1
paths: {include: ["k8s/**"], exclude: ["**/testdata/**"]}
environments:                       # each is compared on its own
  prod: {paths: ["clusters/prod/**"], render: {kustomize: clusters/prod}}
  dev: {paths: ["clusters/dev/**"], assume: {cni: cilium}}
assume: {cni: kubernetes, podCIDRs: [10.244.0.0/16], kubeApiserver: external, known-complete: [payments]}
groups: {payments: "ns:payments", db: "label:tier=db"}
rules:
  - {id: no-internet-to-payments, deny: {from: internet, to: payments}, severity: block, why: "PCI 1.3"}
  - {id: metrics-stay, require: {from: "ns:monitoring/prometheus", to: "*", ports: [metrics]}, severity: warn}
allow:
  - {id: allow-shop-https, match: {from: "ns:shop", to: internet, ports: [443/tcp]},
     owner: "@acme/netsec", reason: "shop pays", expires: 2027-01-31}
gate: {fail-on: [rule], on-incomplete: fail}
lint: {disable: [NP004], severity: {NP010: warning}}
comment: {mode: escalate, when: changes, max-rows: 20, language: en}
check: {name: netreach, annotations: 50}
"""


def test_everything_the_documentation_shows() -> None:
    assume = Assume("kubernetes", ("10.244.0.0/16",), "external", ("payments",))
    https = Match("ns:shop", "internet", (Ports("tcp", 443, 443, None),))
    assert parse(".netreach.yml", FULL.encode()) == Config(
        file=".netreach.yml",
        include=("k8s/**",),
        exclude=("**/testdata/**",),
        environments=(
            Environment("prod", ("clusters/prod/**",), (Rendered("kustomize", "clusters/prod", 4),), assume, 4),
            Environment("dev", ("clusters/dev/**",), (), assume._replace(cni="cilium"), 5),
        ),
        assume=assume,
        groups=(("payments", "ns:payments"), ("db", "label:tier=db")),
        rules=(
            Rule("no-internet-to-payments", "deny", Match("internet", "payments", ()), "block", "PCI 1.3", 9),
            Rule(
                "metrics-stay",
                "require",
                Match("ns:monitoring/prometheus", "*", (Ports(None, 0, 0, "metrics"),)),
                "warn",
                "",
                10,
            ),
        ),
        allow=(Allow("allow-shop-https", https, "@acme/netsec", "shop pays", "2027-01-31", 12),),
        lint=config.Lint(("NP004",), (("NP010", "warning"),)),
    )


def test_defaults() -> None:
    for text in ("version: 1\n", "", "# nothing\n", "version: 1\npaths:\nrules:\ngate: {fail-on: }\n"):
        found = parse("f", text.encode())
        assert found == Config("f")
    assert (found.gate.fail_on, found.gate.on_incomplete) == (("rule",), "fail")
    assert found.comment == config.Comment("escalate", "changes", 20, "en")
    assert found.check == config.Check("netreach", 50)


def test_pod_cidrs_none_is_not_silence() -> None:
    assert parse("f", b"version: 1\nassume: {podCIDRs: none}\n").assume.pod_cidrs == ()
    assert parse("f", b"version: 1\nassume: {podCIDRs: [fd00::/8]}\n").assume.pod_cidrs == ("fd00::/8",)
    assert parse("f", b"version: 1\n").assume.pod_cidrs is None


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("443", Ports(None, 443, 443, None)),
        ("443/tcp", Ports("tcp", 443, 443, None)),
        ("53/UDP", Ports("udp", 53, 53, None)),
        ("8000-8100/sctp", Ports("sctp", 8000, 8100, None)),
        ("metrics", Ports(None, 0, 0, "metrics")),
        ("https-alt/tcp", Ports("tcp", 0, 0, "https-alt")),
    ],
)
def test_ports(written: str, ports: Ports) -> None:
    text = f"version: 1\nrules: [{{id: a, deny: {{from: internet, to: a/b, ports: [{written}]}}}}]\n"
    assert parse("f", text.encode()).rules[0].match.ports == (ports,)


ENDS = (
    "internet",
    "*",
    "shop/web",
    "shop/Deployment/web",
    "ns:shop",
    "label:a=b",
    "label:a",
    "ip:10.0.0.1",
    "cidr:::/0",
    "entity:world",
    "fqdn:*.example.org",
    "node:n1",
    "host:n1",
    "ingress:default/shop",
    "mine",
)


@pytest.mark.parametrize("end", ENDS)
def test_ends(end: str) -> None:
    text = f"version: 1\ngroups: {{mine: 'ns:x'}}\nrules: [{{id: a, require: {{from: '{end}', to: '{end}'}}}}]\n"
    assert parse("f", text.encode()).rules[0].match == Match(end, end, ())


RULE = (
    "version: 1\ngroups: {payments: 'ns:payments'}\nrules:\n- id: one\n  deny:\n    from: internet\n    to: payments\n"
)
ALLOW = """\
version: 1
allow:
- id: one
  match: {from: internet, to: a/b}
  owner: me
  reason: why
  expires: 2027-01-31
"""


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("version: 1\n\npathes: {}\n", 3, "unknown key 'pathes': did you mean paths?"),
        ("version: 1\nzzz: {}\n", 2, "unknown key 'zzz'"),
        ("version: 1\npaths:\n  includes: []\n", 3, "unknown key 'includes' in paths: did you mean include?"),
        ("version: 1\nassume: {podCidrs: none}\n", 2, "unknown key 'podCidrs' in assume: did you mean podCIDRs?"),
        ("paths: {}\n", 1, "version is missing in the config: say version: 1"),
        ("version: 2\n", 1, "version must be a number from 1 to 1, not '2'"),
        ("version:\n", 1, "version must be a number from 1 to 1, not nothing"),
        ("- 1\n", 1, "the file must be a mapping, not a list"),
        ("version: 1\n1: 2\n", 2, "unknown key '1'"),
        ("version: 1\npaths: k8s\n", 2, "paths must be a mapping, not 'k8s'"),
        ("version: 1\npaths:\n  include: k8s\n", 3, "paths.include must be a list, not 'k8s'"),
        ("version: 1\npaths:\n  include:\n  - a\n  - ../b\n", 5, "the glob ../b leaves the root"),
        ("version: 1\npaths:\n  include:\n  - a\n  - 3\n", 5, "paths.include[1] must be text, not '3'"),
        ("version: 1\nassume:\n  cni: calcio\n", 3, "not 'calcio': did you mean calico?"),
        ("version: 1\nassume:\n  podCIDRs: []\n", 3, "assume.podCIDRs must be a list of CIDRs, or none, not a list"),
        ("version: 1\nassume:\n  podCIDRs: nope\n", 3, "assume.podCIDRs must be a list of CIDRs, or none, not 'nope'"),
        ("version: 1\nassume:\n  podCIDRs:\n  - 10.0.0.0/33\n", 4, "assume.podCIDRs[0]: '10.0.0.0/33' has no prefix"),
        ("version: 1\nenvironments:\n  prod:\n    render: {}\n", 4, "environments.prod.render must name one of"),
        (
            "version: 1\nenvironments:\n  prod:\n    render: {helmm: x}\n",
            4,
            "unknown key 'helmm' in environments.prod.render",
        ),
        ("version: 1\nenvironments:\n  prod:\n    render: {helm: {}}\n", 4, "chart is missing in environments.prod.render.helm"),
        ("version: 1\nrender:\n  kube-version: latest\n", 3, "render.kube-version must be like 1.34"),
        ("version: 1\nrender:\n  clusters:\n  - name: a\n", 4, "server is missing in render.clusters[0]"),
        ("version: 1\nrender:\n  remote:\n  - git@github.com:o/r\n", 4, "render.remote[0] must be an address like https://"),
        ("version: 1\nrender:\n  remote: [https://me@github.com/o]\n", 3, "it names a user"),
        ("version: 1\nrender:\n  plugins: [exec]\n", 3, "render.plugins[0] must be"),
        ("version: 1\nenvironments:\n  prod:\n    path: []\n", 4, "'path' in environments.prod: did you mean paths?"),
        ("version: 1\ngroups:\n  internet: 'ns:x'\n", 3, "'internet' cannot name a group"),
        ("version: 1\ngroups:\n  a: 'ns:x'\n  b: a\n", 4, "groups.b: 'a' is no group and none of"),
        (RULE.replace("to: payments", "to: payment"), 7, "is no group and none of"),
        (RULE.replace("to: payments", "to: payment"), 7, ": did you mean payments?"),
        (RULE.replace("to: payments", "to: 'nss:payments'"), 7, ": did you mean ns:?"),
        (RULE.replace("to: payments", "to: 'ip:1.2.3'"), 7, "'1.2.3' is not an IPv4 or IPv6 CIDR"),
        (RULE.replace("to: payments", "to: 'label:=b'"), 7, "a label is written label:key=value"),
        (RULE.replace("to: payments", "tos: payments"), 7, "unknown key 'tos' in rules[0].deny: did you mean to?"),
        (RULE.replace("    to: payments\n", ""), 5, "to is missing in rules[0].deny"),
        (RULE.replace("- id: one\n  deny", "- deny"), 4, "id is missing in rules[0]"),
        (RULE + "  require: {from: a/b, to: a/b}\n", 4, "rules[0] must have one of deny and require"),
        (RULE + "- id: two\n", 8, "rules[1] must have one of deny and require"),
        (RULE + "- id: one\n  deny: {from: a/b, to: a/b}\n", 8, "the id one is taken by rules[0]"),
        (RULE + "- id: a b\n  deny: {from: a/b, to: a/b}\n", 8, "must be made of letters"),
        (
            RULE + "  severity: bloc\n",
            8,
            "rules[0].severity must be one of block, warn, not 'bloc': did you mean block?",
        ),
        (RULE + "  why: ''\n", 8, "rules[0].why must be text, not ''"),
        (RULE + "    ports: [0]\n", 8, "rules[0].deny.ports[0] must be like 443, 8000-8100/tcp or the name"),
        (RULE + "    ports: [80-70]\n", 8, "must be like 443"),
        (RULE + "    ports: [443/tpc]\n", 8, "'tpc' is none of tcp, udp, sctp: did you mean tcp?"),
        (RULE + "    ports: [a-name-that-is-far-too-long]\n", 8, "must be like 443"),
        (RULE + "    ports: [true]\n", 8, "rules[0].deny.ports[0] must be text, not 'true'"),
        (ALLOW.replace("  owner: me\n", ""), 3, "owner is missing in allow[0]"),
        (ALLOW.replace("  reason: why\n", ""), 3, "reason is missing in allow[0]"),
        (
            ALLOW.replace("2027-01-31", "2027-02-30"),
            7,
            "allow[0].expires must be a day like 2027-01-31, not '2027-02-30'",
        ),
        (ALLOW.replace("2027-01-31", "20270131"), 7, "allow[0].expires must be text"),
        (ALLOW.replace("2027-01-31", "2027-W05-1"), 7, "must be a day like"),
        (ALLOW.replace("2027-01-31", "'soon'"), 7, "must be a day like"),
        ("version: 1\ngate:\n  fail-on: [rules]\n", 3, "gate.fail-on[0] must be one of rule, lint-error"),
        ("version: 1\ngate:\n  on-incomplete: ignore\n", 3, "gate.on-incomplete must be one of fail, warn"),
        ("version: 1\nlint:\n  severity:\n    NP010: warn\n", 4, "not 'warn': did you mean warning?"),
        ("version: 1\ncomment:\n  max-rows: 0\n", 3, "comment.max-rows must be a number from 1 to 1000, not '0'"),
        ("version: 1\ncomment:\n  max-rows: true\n", 3, "comment.max-rows must be a number from 1 to 1000, not 'true'"),
        ("version: 1\ncomment:\n  language: de\n", 3, "comment.language must be one of en, not 'de'"),
        ("version: 1\ncheck:\n  name: {}\n", 3, "check.name must be text, not a mapping"),
        ("version: 1\n---\nversion: 1\n", 3, "a second document: the config must be one"),
    ],
)
def test_every_mistake_has_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(".netreach.yml", text.encode())
    assert str(error.value).startswith(f".netreach.yml:{line}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "data",
    [b"a: [1", b"\xff\xfe\x00", b"version: 1\nversion: 1\n", b"a: &x [*x]\n", b"x: {{ y }}\n", b"\0", b"[" * 5000],
)
def test_hostile_bytes(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"^f:\d+: "):
        parse("f", data)


def test_a_hostile_key_is_shown_on_one_line() -> None:
    with pytest.raises(UsageError) as error:
        parse("f", b'version: 1\n"::error::\\n\\e[31m\\u202e": 1\n')
    assert str(error.value).isprintable()


def test_a_file_that_is_too_large_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    with pytest.raises(UsageError, match="cannot read .*No such file"):
        read(str(path))
    path.write_bytes(b"#" * (config.LARGEST + 1))
    with pytest.raises(UsageError, match="is larger than 1,000,000 bytes"):
        read(str(path))
    path.write_bytes(b"version: 1\n")
    assert read(str(path)) == Config(str(path))


SCHEMA = json.loads((Path(config.__file__).parent / "schemas" / "config.json").read_text())
VALID = Draft202012Validator(SCHEMA)


# What depends on the meaning of a text is beyond a schema, which may be the looser one there.
MEANINGS = ("is no group and none of", "is not an IPv4 or IPv6", "must be a day like", "the glob", "is taken by")


def refused(value: object) -> str:
    """Why the parser refuses a config, or nothing."""
    try:
        parse("f", json.dumps(value).encode())
    except UsageError as error:
        return str(error)
    return ""


def parts(value: object) -> Iterator[tuple[Any, Any]]:
    """Every container within and each key or index of it."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from parts(value[key])


def test_the_schema_is_one_and_accepts_what_the_documentation_shows() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert VALID.is_valid(yaml.load(FULL, yaml.BaseLoader) | {"version": 1, "comment": {}, "check": {}})


def test_the_schema_and_the_parser_refuse_the_same() -> None:
    """Each value of a full config is replaced by every kind of wrong one, each key by an unknown one, and each left out."""
    full = yaml.safe_load(FULL.replace("2027-01-31", "'2027-01-31'"))
    assert not refused(full)
    assert VALID.is_valid(full)
    tried = 0
    for number in range(len(list(parts(full)))):
        for wrong in (7, -1, 10**6, "", " ", "zzz", True, [], {}, [7], [""], ["zzz"], {"zzz": 1}, "REMOVED", "RENAMED"):
            changed = copy.deepcopy(full)
            container, key = list(parts(changed))[number]
            if wrong == "REMOVED":
                del container[key]
            elif wrong == "RENAMED":
                if isinstance(container, list):
                    continue
                container["zzz"] = container.pop(key)
            else:
                container[key] = wrong
            tried += 1
            why = refused(changed)
            assert VALID.is_valid(changed) is not bool(why) or any(meaning in why for meaning in MEANINGS), (
                why,
                changed,
            )
    assert tried > 500


def test_the_schema_lists_the_parsers_choices() -> None:
    properties, shared = SCHEMA["properties"], SCHEMA["$defs"]
    gate, comment = properties["gate"]["properties"], properties["comment"]["properties"]
    assert tuple(gate["fail-on"]["items"]["enum"]) == config.FAIL_ON
    assert tuple(gate["fail-on"]["default"]) == config.Gate().fail_on
    assert tuple(gate["on-incomplete"]["enum"]) == config.ON_INCOMPLETE
    assert tuple(comment["mode"]["enum"]) == config.COMMENT_MODES
    assert tuple(comment["when"]["enum"]) == config.COMMENT_WHEN
    assert tuple(comment["language"]["enum"]) == config.LANGUAGES
    assert comment["max-rows"]["default"] == config.Comment().max_rows
    assert properties["check"]["properties"]["annotations"]["default"] == config.Check().annotations
    assert tuple(shared["assume"]["properties"]["cni"]["enum"]) == config.CNIS
    assert tuple(shared["assume"]["properties"]["kubeApiserver"]["enum"]) == config.KUBE_APISERVER
    assert tuple(properties["rules"]["items"]["properties"]["severity"]["enum"]) == config.SEVERITIES
    assert tuple(properties["lint"]["properties"]["severity"]["additionalProperties"]["enum"]) == config.LINT_SEVERITIES
    assert tuple(shared["renderer"]["properties"]) == config.RENDERERS
    assert tuple(shared["chart"]["properties"]) == config.RENDERED_CHART


RENDERED = """\
version: 1
environments:
  prod:
    render:
      - kustomize: overlays/prod
      - helm:
          chart: charts/shop
          release: shop
          namespace: shop
          values: [values/all.yaml, values/prod.yaml]
          set: {a.b: 1, c: "x", d: true}
          kube-version: "1.33"
          api-versions: [cilium.io/v2]
  dev: {render: {helm: charts/shop}}
render:
  kube-version: v1.34.2
  api-versions: [monitoring.coreos.com/v1]
  remote: ["https://github.com/acme/bases", "oci://ghcr.io/acme"]
  plugins: [helm]
  clusters:
    - {name: eu, server: "https://eu.example.org", labels: {env: prod}, annotations: {tier: 1}}
"""


def test_what_is_rendered() -> None:
    found = parse(".netreach.yml", RENDERED.encode())
    prod, dev = found.environments
    assert prod.render[0] == Rendered("kustomize", "overlays/prod", 5)
    chart = ("shop", "shop", ("values/all.yaml", "values/prod.yaml"), (("a.b", "1"), ("c", "x"), ("d", "true")))
    assert prod.render[1] == Rendered("helm", "charts/shop", 6, *chart, "1.33", ("cilium.io/v2",))
    assert dev.render == (Rendered("helm", "charts/shop", 14),)
    cluster = Cluster("eu", "https://eu.example.org", (("env", "prod"),), (("tier", "1"),))
    remote = ("https://github.com/acme/bases", "oci://ghcr.io/acme")
    assert found.render == Render("v1.34.2", ("monitoring.coreos.com/v1",), (cluster,), remote, ("helm",))
    Draft202012Validator(SCHEMA).validate(yaml.safe_load(RENDERED))


def test_the_choices_are_those_of_the_command_line_and_the_gate() -> None:
    from bot.gate.verdict import FAIL_ON
    from bot.options import CNIS

    assert config.FAIL_ON == FAIL_ON
    from bot.policies.cni_profiles import PROFILES

    assert tuple(CNIS) == config.CNIS == tuple(PROFILES)


def test_looking_for_a_config_does_not_load_what_reads_it() -> None:
    code = "import sys, bot.sources.folder, bot.sources.git; sys.exit('bot.config' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
