"""Small repositories in; what is deployed from them, and to which cluster, out."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from bot.render import discover, flux
from bot.render.model import Cluster, Options, Root
from tests.render.repository import CHART, files

URL = "https://github.com/acme/deploy"


def found(contents: Mapping[str, str], options: Options | None = None) -> tuple[list[Root], list[str]]:
    return discover.discover(files(contents), options or Options())


def brief(contents: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(root.environment, root.tool, root.path) for root in found(contents)[0]]


def application(
    name: str, path: str, more: str = "", server: str = "https://kubernetes.default.svc", url: str = URL
) -> str:
    return f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: {name}}}
spec:
  source:
    repoURL: {url}
    path: {path}
{more}  destination: {{server: {server}, namespace: {name}}}
"""


def application_set(generators: str, template: str, more: str = "") -> str:
    return f"""\
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {{name: all}}
spec:
  generators:
{generators}
  template:
    metadata: {{name: '{template}'}}
    spec:
      source: {{repoURL: {URL}, path: 'apps/{template}'}}
      destination: {{server: https://eu.example.org, namespace: '{template}'}}
{more}"""


DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
APPS = {f"apps/{name}/x.yaml": DEPLOYMENT for name in ("a", "b", "c")}


# --- kustomizations, charts ---


def test_leaves_are_environments_and_what_they_build_on_is_not() -> None:
    contents = {
        "base/kustomization.yaml": "resources: [x.yaml]",
        "part/kustomization.yml": "kind: Component",
        "o/dev/kustomization.yaml": "resources: [../../base]\ncomponents: [../../part]",
        "o/prod/Kustomization": "bases: [../../base]",
        "alone/kustomization.yaml": "resources: [.]",
        "ring/a/kustomization.yaml": "resources: [../b]",
        "ring/b/kustomization.yaml": "resources: [../a]",
    }
    # The third name of a kustomization is no YAML by its ending, and is read where another one names its folder.
    assert brief(contents) == [(path, "kustomize", path) for path in ("alone", "o/dev", "o/prod", "ring/a")]


def test_charts_with_values_of_environments() -> None:
    contents = {
        "charts/shop/Chart.yaml": CHART + "dependencies: [{name: lib, repository: 'file://../lib'}]\n",
        "charts/shop/values.yaml": "{}",
        "charts/shop/values-prod.yaml": "{}",
        "charts/shop/envs/dev-values.yaml": "{}",
        "charts/shop/templates/values-x.yaml": "{}",
        "charts/shop/charts/redis/Chart.yaml": CHART,
        "charts/lib/Chart.yaml": CHART,
        "charts/common/Chart.yaml": CHART + "type: library\n",
        "top/Chart.yaml": CHART,
        "skeleton/{{cookiecutter.name}}/Chart.yaml": CHART,
    }
    roots, _ = found(contents)
    assert [root.environment for root in roots] == [
        "charts/shop (envs/dev-values.yaml)",
        "charts/shop (values-prod.yaml)",
        "top",
    ]
    assert roots[1].helm is not None
    assert roots[1].helm.values == (("file", "charts/shop/values-prod.yaml"),)
    assert roots[1].helm.release == "shop"


def test_plain_manifests_are_what_is_left() -> None:
    side = files(
        {
            "kustomize/kustomization.yaml": "resources: [x.yaml]",
            "kustomize/x.yaml": DEPLOYMENT,
            "kustomize/patch.yaml": DEPLOYMENT,
            "chart/Chart.yaml": CHART,
            "chart/templates/x.yaml": DEPLOYMENT,
            "chart/ci/x.yaml": DEPLOYMENT,
            "plain/x.yaml": DEPLOYMENT,
            "x.yaml": DEPLOYMENT,
        }
    )
    roots, _ = discover.discover(side)
    left = discover.plain(side, roots, frozenset({"kustomize/kustomization.yaml", "kustomize/x.yaml"}))
    assert list(left.contents) == ["plain/x.yaml", "x.yaml"]


# --- Argo CD ---


def test_applications_come_before_kustomizations_and_charts() -> None:
    contents = {
        "argo/a.yaml": application("a", "apps/a"),
        "argo/b.yaml": application("b", "apps/b", server="https://eu.example.org"),
        "argo/c.yaml": application("c", "apps/c", server="https://eu.example.org"),
        "argo/out.yaml": application("out", "apps/a", url="https://github.com/other/repo"),
        "apps/a/kustomization.yaml": "resources: [../../base]",
        "apps/b/Chart.yaml": CHART,
        "apps/c/x.yaml": DEPLOYMENT,
        "base/kustomization.yaml": "{}",
        "left/kustomization.yaml": "{}",
    }
    assert brief(contents) == [
        ("in-cluster", "kustomize", "apps/a"),
        ("https://eu.example.org", "helm", "apps/b"),
        ("https://eu.example.org", "plain", "apps/c"),
        ("left", "kustomize", "left"),
    ]


def test_one_repository_is_named_in_many_ways() -> None:
    urls = (
        URL,
        f"{URL}.git",
        "git@github.com:acme/deploy.git",
        "ssh://git@github.com/Acme/Deploy/",
        "https://me@github.com/acme/deploy",
    )
    contents = {f"argo/{n}.yaml": application(f"a{n}", "apps/a", url=url) for n, url in enumerate(urls)}
    assert len(found(contents | APPS)[0]) == len(urls)


def test_what_an_application_sets() -> None:
    helm = """\
    helm:
      releaseName: web
      valueFiles: [values-prod.yaml, /shared.yaml]
      ignoreMissingValueFiles: true
      values: 'a: 1'
      valuesObject: {b: 2}
      parameters: [{name: c.d, value: "3"}, {name: e, value: "4", forceString: true}]
      kubeVersion: "1.30"
      apiVersions: [x/v1]
"""
    kustomize = "    kustomize: {namespace: n, namePrefix: p-, patches: [{patch: x}], commonLabels: {a: b}}\n"
    contents = {
        "argo/a.yaml": application("a", "apps/a", helm),
        "argo/b.yaml": application("b", "apps/b", kustomize),
        "argo/c.yaml": application(
            "c", "apps/c", "    directory: {recurse: true, include: '{a/*.yaml,b.yaml}', exclude: x*}\n"
        ),
        "argo/d.yaml": application("d", "apps/c", "    plugin: {name: x}\n"),
        "argo/e.yaml": application("e", "apps/gone"),
        "argo/f.yaml": application("f", "apps/c", "    directory: {jsonnet: {libs: [x]}}\n"),
        "apps/a/Chart.yaml": CHART,
        "apps/b/kustomization.yaml": "{}",
        "apps/c/x.yaml": DEPLOYMENT,
    }
    a, b, c, d, e, f = found(contents, Options("1.34", ("y/v1",)))[0]
    assert a.helm is not None
    assert a.helm.values[:2] == (("optional", "apps/a/values-prod.yaml"), ("optional", "shared.yaml"))
    assert a.helm.values[2:] == (("text", "a: 1"), ("text", '{"b": 2}'))
    assert a.helm.parameters == (("c.d", "3", False), ("e", "4", True))
    assert (a.helm.release, a.namespace, a.helm.kube_version, a.helm.api_versions) == ("web", "a", "1.30", ("x/v1",))
    assert json.loads(b.edits) == {
        "namespace": "n",
        "namePrefix": "p-",
        "patches": [{"patch": "x"}],
        "labels": [{"pairs": {"a": "b"}, "includeSelectors": True}],
    }
    assert (c.recurse, c.include, c.exclude) == (True, ("a/*.yaml", "b.yaml"), ("x*",))
    assert "config management plugin" in d.refused
    assert "'apps/gone' is not there" in e.refused
    assert "Jsonnet" in f.refused


def test_several_sources_and_values_of_another() -> None:
    text = f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: shop}}
spec:
  sources:
    - {{repoURL: {URL}, ref: values}}
    - {{repoURL: {URL}, path: charts/shop, helm: {{valueFiles: [$values/env/prod.yaml]}}}}
    - {{repoURL: {URL}, path: apps/a}}
    - {{repoURL: https://charts.example.org, chart: redis, targetRevision: 1.0.0}}
    - {{repoURL: https://github.com/other/repo, path: charts/shop}}
  destination: {{name: prod}}
"""
    roots, _ = found({"argo.yaml": text, "charts/shop/Chart.yaml": CHART, "env/prod.yaml": "{}", **APPS})
    assert [(root.environment, root.tool, root.path, bool(root.refused)) for root in roots] == [
        ("prod", "helm", "charts/shop", False),
        ("prod", "plain", "apps/a", False),
        ("prod", "helm", ".", True),
    ]
    assert roots[0].helm is not None
    assert roots[0].helm.values == (("file", "env/prod.yaml"),)
    assert "'redis' is not in this repository" in roots[2].refused


GO = "{{.path.basename}}"
OLD = "{{path.basename}}"
ITEM = "{{.name}}"


@pytest.mark.parametrize(
    ("generators", "template", "names"),
    [
        ("  - list: {elements: [{name: a}, {name: c}]}", ITEM, "ac"),
        ("  - list: {elements: [{name: a}, {name: c}]}", "{{name}}", "ac"),
        ("  - list: {elements: [{name: A}]}", "{{ .name | lower }}", "a"),
        ("  - list: {elements: [{of: {name: a}}]}", '{{ index .of "name" }}', "a"),
        ("  - list: {elements: [{name: a}, {name: b}]}\n    selector: {matchLabels: {name: b}}", ITEM, "b"),
        ("  - list: {elements: [{name: a}, {name: b}]}\n    selector: {matchExpressions: [{key: name, operator: NotIn, values: [b]}]}", ITEM, "a"),  # noqa: E501
        ("  - git: {repoURL: x, directories: [{path: apps/*}]}", GO, "abc"),
        ("  - git: {repoURL: x, directories: [{path: apps/*}]}", OLD, "abc"),
        ("  - git: {repoURL: x, directories: [{path: apps/*}]}", "{{path[1]}}", "abc"),
        ("  - git: {repoURL: x, directories: [{path: apps/*}]}", "{{index .path.segments 1}}", "abc"),
        ("  - git: {repoURL: x, directories: [{path: apps/*}, {path: apps/b, exclude: true}]}", GO, "ac"),
        ("  - git: {repoURL: x, directories: [{path: '**'}, {path: apps, exclude: true}, {path: '[!a]*', exclude: true}, {path: argo, exclude: true}]}", GO, "abc"),  # noqa: E501
        ("  - git: {repoURL: x, files: [{path: 'env/*.json'}]}", "{{.app.name}}", "ab"),
        ("  - git: {repoURL: x, files: [{path: 'env/*.json'}]}", "{{app.name}}", "ab"),
        ("  - git: {repoURL: x, files: [{path: 'env/*.json'}], pathParamPrefix: of, values: {n: '{{.app.name}}'}}", "{{.values.n}}", "ab"),
        ("  - matrix: {generators: [{list: {elements: [{name: a}, {name: b}]}}, {list: {elements: [{x: 1}]}}]}", ITEM, "ab"),
        ("  - matrix: {generators: [{list: {elements: [{f: one}]}}, {git: {files: [{path: 'env/{{.f}}.json'}]}}]}", "{{.app.name}}", "a"),
        ("  - merge: {mergeKeys: [k], generators: [{list: {elements: [{k: 1, name: x}, {k: 2, name: b}]}}, {list: {elements: [{k: 1, name: c}]}}]}", ITEM, "cb"),  # noqa: E501
        ("  - clusters: {}", ITEM, "ab"),
        ("  - clusters: {selector: {matchLabels: {env: prod}}}", "{{name}}", "b"),
        ("  - clusters: {selector: {matchExpressions: [{key: env, operator: Exists}]}, values: {n: '{{.metadata.labels.app}}'}}", "{{.values.n}}", "c"),  # noqa: E501
        ("  - clusters: {selector: {matchLabels: {env: prod}}}", "{{metadata.labels.app.kubernetes.io/name}}", "a"),
    ],
)  # fmt: skip
def test_application_sets(generators: str, template: str, names: str) -> None:
    contents = APPS | {
        "argo/set.yaml": application_set(generators, template),
        "env/one.json": '{"app": {"name": "a"}}',
        "env/two.json": '[{"app": {"name": "b"}}]',
    }
    labels = (("env", "prod"), ("app", "c"), ("app.kubernetes.io/name", "a"))
    known = Options(clusters=(Cluster("a", "https://a"), Cluster("b", "https://b", labels)))
    roots, notes = found(contents, known)
    assert notes == []
    assert [root.name for root in roots] == list(names)
    assert [root.path for root in roots] == [f"apps/{name}" for name in names]
    assert {root.environment for root in roots} == {"https://eu.example.org"}


def test_templates_of_a_generator_and_patches() -> None:
    generators = "  - list:\n      elements: [{name: a, ns: x}]\n      template: {spec: {destination: {server: https://us.example.org}}}"
    patch = "  templatePatch: |\n    spec: {destination: {namespace: '{{.ns}}'}}\n"
    ((root,), notes) = found(
        {"set.yaml": application_set(generators, "{{.name}}", patch), "apps/a/kustomization.yaml": "{}"}
    )
    assert notes == []
    assert (root.environment, root.namespace) == ("https://us.example.org", "x")


@pytest.mark.parametrize(
    ("generators", "template", "reason"),
    [
        ("  - clusters: {}", ITEM, "needs the clusters that Argo CD knows (setting: render.clusters)"),
        ("  - pullRequest: {}", ITEM, "the generator 'pullRequest' needs more than the repository"),
        ("  - scmProvider: {}", ITEM, "the generator 'scmProvider' needs more"),
        ("  - plugin: {}", ITEM, "the generator 'plugin' needs more"),
        ("  - matrix: {generators: [{clusterDecisionResource: {}}]}", ITEM, "'clusterDecisionResource' needs more"),
        ("  - list: {elementsYaml: x}", ITEM, "elementsYaml"),
        ("  - list: {elements: [{x: a}]}", ITEM, "its template is not understood"),
        ("  - list: {elements: [{name: a}]}", "{{ if .name }}a{{ end }}", "its template is not understood"),
        ("  - list: {elements: [{name: a}]}", '{{ .name | replace "a" "b" }}', "its template is not understood"),
        ("  - git: {files: [{path: 'env/bad.json'}]}", ITEM, "env/bad.json: it is no valid YAML"),
        ("  - list: {elements: [{name: a}]}\n    selector: {matchExpressions: [{key: a, operator: Near}]}", ITEM, "operator"),
    ],
)  # fmt: skip
def test_application_sets_that_cannot_be_told(generators: str, template: str, reason: str) -> None:
    contents = {**APPS, "set.yaml": application_set(generators, template.replace("'", "''")), "env/bad.json": "{"}
    roots, (note,) = found(contents)
    assert not [root for root in roots if root.tool != "plain"]
    assert note.startswith("set.yaml:1: ApplicationSet all: ")
    assert reason in note
    assert note.endswith("what it deploys is not looked at")


def test_an_application_that_cannot_be_read_is_told() -> None:
    bad = application("a", "apps/a").replace("spec:", "spec: [")
    _, notes = found({"argo.yaml": application("b", "apps/b") + "---\n" + bad, **APPS})
    assert notes == ["argo.yaml:10: no valid YAML; what it deploys is not looked at"]


# --- Flux ---


def kustomization(name: str, path: str, more: str = "", source: str = "flux-system") -> str:
    return f"""\
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: flux-system}}
spec:
  path: ./{path}
  sourceRef: {{kind: GitRepository, name: {source}}}
{more}"""


def git_repository(name: str, url: str) -> str:
    return f"""\
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: {name}, namespace: flux-system}}
spec: {{url: {url}}}
"""


def release(name: str, chart: str, more: str = "", kind: str = "GitRepository", source: str = "flux-system") -> str:
    return f"""\
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {{name: {name}, namespace: shop}}
spec:
  chart: {{spec: {{chart: {chart}, sourceRef: {{kind: {kind}, name: {source}}}}}}}
{more}"""


def cluster(name: str, *paths: str) -> dict[str, str]:
    """A cluster as `flux bootstrap` makes it."""
    return {
        f"clusters/{name}/flux-system/gotk-sync.yaml": git_repository("flux-system", URL)
        + kustomization("flux-system", f"clusters/{name}"),
        f"clusters/{name}/apps.yaml": "".join(kustomization(path.replace("/", "-"), path) for path in paths),
    }


def test_flux_clusters() -> None:
    contents = {
        **cluster("prod", "apps/prod", "infra"),
        **cluster("dev", "apps/dev"),
        "apps/base/kustomization.yaml": "resources: [x.yaml]",
        "apps/base/x.yaml": DEPLOYMENT,
        "apps/prod/kustomization.yaml": "resources: [../base]",
        "apps/dev/kustomization.yaml": "resources: [../base]",
        "infra/x.yaml": DEPLOYMENT,
        "infra/release.yaml": release("web", "charts/web") + release("redis", "redis", kind="HelmRepository"),
        "archive/release.yaml": release("old", "charts/web"),
        "charts/web/Chart.yaml": CHART,
    }
    roots, notes = found(contents)
    prod = [(root.tool, root.path) for root in roots if root.environment == "clusters/prod"]
    assert prod == [
        ("kustomize", "apps/prod"),
        ("plain", "infra"),
        ("plain", "clusters/prod"),
        ("helm", "charts/web"),
        ("helm", "."),
    ]
    dev = [(root.tool, root.path) for root in roots if root.environment == "clusters/dev"]
    assert dev == [("kustomize", "apps/dev"), ("plain", "clusters/dev")]
    assert {root.environment for root in roots} == {"clusters/prod", "clusters/dev"}
    assert [bool(root.refused) for root in roots if root.tool == "helm"] == [False, True]
    assert notes == ["1 HelmRelease is applied by no Kustomization of this repository, and not looked at"]


def test_flux_without_what_bootstraps_it() -> None:
    contents = {
        "clusters/prod/apps.yaml": kustomization("apps", "apps/prod"),
        "clusters/dev/apps.yaml": kustomization("apps", "apps/dev"),
        "apps/prod/x.yaml": DEPLOYMENT,
        "apps/dev/x.yaml": DEPLOYMENT,
    }
    assert brief(contents) == [("clusters/dev", "plain", "apps/dev"), ("clusters/prod", "plain", "apps/prod")]


def test_flux_sources_of_other_repositories() -> None:
    contents = {
        **cluster("prod", "apps"),
        "apps/x.yaml": DEPLOYMENT,
        "clusters/prod/other.yaml": git_repository("kyverno", "https://github.com/kyverno/kyverno")
        + kustomization("crds", "", source="kyverno")
        + kustomization("more", "apps", source="kyverno")
        + release("r", "apps", source="kyverno"),
    }
    roots, _ = found(contents)
    assert [root.name for root in roots if not root.refused] == ["apps", "flux-system"]
    (other,) = [root for root in roots if root.refused]
    assert "the chart 'apps' is not in this repository" in other.refused


def test_what_a_flux_kustomization_sets() -> None:
    more = """\
  targetNamespace: shop
  namePrefix: p-
  patches: [{patch: x, target: {kind: Deployment}}]
  components: [../part]
  commonMetadata: {labels: {a: b}}
  postBuild:
    substitute: {A: "1"}
    substituteFrom: [{kind: ConfigMap, name: settings}, {kind: Secret, name: gone, optional: true}]
"""
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {A: '0', B: '2'}\n"
    contents = cluster("prod") | {
        "clusters/prod/apps.yaml": kustomization("apps", "apps", more),
        "clusters/prod/settings.yaml": settings,
        "apps/x.yaml": DEPLOYMENT,
    }
    root = next(root for root in found(contents)[0] if root.name == "apps")
    assert (root.tool, root.generated, root.namespace) == ("kustomize", True, "shop")
    assert json.loads(root.edits) == {
        "namespace": "shop",
        "namePrefix": "p-",
        "patches": [{"patch": "x", "target": {"kind": "Deployment"}}],
        "components": ["../part"],
        "labels": [{"pairs": {"a": "b"}, "includeSelectors": False}],
    }
    # A Secret may be in the cluster whether it is optional or not.
    assert (root.variables, root.unknown) == ((("A", "1"), ("B", "2")), ("Secret gone",))
    for kind, optional, unknown in (("ConfigMap", "true", ()), ("ConfigMap", "false", ("ConfigMap gone",))):
        text = more.replace("{kind: Secret, name: gone, optional: true}", f"{{kind: {kind}, name: gone, optional: {optional}}}")
        roots = found(contents | {"clusters/prod/apps.yaml": kustomization("apps", "apps", text)})[0]
        root = next(root for root in roots if root.name == "apps")
        assert (root.variables or ())[:2] == (("A", "1"), ("B", "2"))
        assert (("", "") in (root.variables or ()), root.unknown) == (not unknown, unknown)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"), ("x-${A}-${B}", "x-1-"), ("${C}", ""), ("${C:-d}", "d"), ("${C:=d}", "d"), ("${B:-d}", "d"), ("${B-d}", ""),
        ("$${A}", "${A}"), ("$A", "$A"), ("${A", "${A"), ("kustomize.toolkit.fluxcd.io/substitute: disabled ${A}", None),
    ],
)  # fmt: skip
def test_substitution(text: str, value: str | None) -> None:
    assert flux.substitute(text, (("A", "1"), ("B", ""), ("", ""))) == (text if value is None else value)


def test_names_that_are_not_known_stay() -> None:
    assert flux.substitute("${A} ${C} ${C:-d}", (("A", "1"),)) == "1 ${C} ${C:-d}"


def test_a_release_of_a_chart_here() -> None:
    more = "  releaseName: web\n  targetNamespace: front\n  values: {a: 1}\n"
    text = release("r", "./charts/web", more).replace(
        "chart: ./charts/web,", "chart: ./charts/web, valuesFiles: [charts/web/values-prod.yaml],"
    )
    ((root,), _) = found({"r.yaml": text, "charts/web/Chart.yaml": CHART})
    assert (root.environment, root.path, root.namespace) == ("Helm releases", "charts/web", "front")
    assert root.helm is not None
    assert root.helm.release == "web"
    assert root.helm.values == (("file", "charts/web/values-prod.yaml"), ("text", '{"a": 1}'))


def test_anchors_may_be_named_twice() -> None:
    text = (
        kustomization("apps", "apps").replace("metadata: {name: apps,", "metadata: {name: &a apps,")
        + "  x: &a y\n  z: *a\n"
    )
    assert brief({"c/k.yaml": text, "apps/x.yaml": DEPLOYMENT}) == [("c", "plain", "apps")]
