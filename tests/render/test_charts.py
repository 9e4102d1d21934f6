"""Charts of Helm repositories: which are fetched, and what an index or an archive may try."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bot.render import charts
from bot.render.charts import Chart, chart
from bot.render.remote import FOLDER
from bot.sources import remote
from bot.sources.remote import Unreachable
from tests.conftest import Git
from tests.render.repository import CHART, DEPLOYMENT, needs_helm, needs_kustomize, review, run, write
from tests.render.test_discovery import cluster, kustomization, release

URL = "https://charts.example.org/stable"
CONFIG = {".netreach.yml": f"version: 1\nrender: {{remote: [{URL}]}}\n"}
FILES = {
    "Chart.yaml": CHART,
    "values.yaml": "name: web\n",
    "values-big.yaml": "name: big\n",
    "templates/x.yaml": DEPLOYMENT.replace("NAME", "{{ .Values.name }}"),
    "values.schema.json": '{"required": ["never"]}',
}


def packed(files: Mapping[str, str], top: str = "shop", link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        if link:
            entry = tarfile.TarInfo(f"{top}/templates/link.yaml")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
    return out.getvalue()


def index(*versions: tuple[str, str, str]) -> str:
    """An index as `helm repo index` writes it: (version, address, digest) of the chart shop."""
    row = "  - apiVersion: v2\n    digest: '{2}'\n    name: shop\n    urls:\n    - {1}\n    version: {0}\n"
    rows = "".join(row.format(*version) for version in versions)
    others = "  other:\n  - name: other\n    version: 1.0.0\n", "  zebra:\n  - version: 1.0.0\n"
    return f"apiVersion: v1\nentries:\n{others[0]}  shop:\n{rows}{others[1]}generated: x\n"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What stands at the addresses below the host, by path."""
    there: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in there else 404)
            self.end_headers()
            self.wfile.write(there.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        monkeypatch.setitem(remote.PLACES, "https://charts.example.org/", f"http://127.0.0.1:{http.server_port}/")
        old, new = packed(FILES), packed({**FILES, "values.yaml": "name: api\n"})
        there["/stable/index.yaml"] = index(
            ("1.0.0", "shop-1.0.0.tgz", hashlib.sha256(old).hexdigest()), ("1.1.0", f"{URL}/new/shop.tgz", "")
        ).encode()
        there |= {"/stable/shop-1.0.0.tgz": old, "/stable/new/shop.tgz": new}
        yield there
        http.shutdown()
        thread.join()


def argo(version: str = "1.0.0", more: str = "", url: str = URL) -> dict[str, str]:
    return {
        "argo/a.yaml": f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: a}}
spec:
  source: {{repoURL: {url}, chart: shop, targetRevision: {version}{more}}}
  destination: {{server: https://eu.example.org, namespace: shop}}
"""
    }


@needs_helm
@pytest.mark.usefixtures("served")
def test_charts_of_applications(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.commit(argo() | CONFIG)
    shown = run(capsys, "render", "--repo", git.root, "--ref", "main")
    assert shown.code == 0, shown.err
    assert "name: web" in shown.out
    assert "# a (helm shop 1.0.0):1, from argo/a.yaml:1\n" in shown.out
    assert f"the chart shop 1.0.0 is fetched from {URL}" in shown.err
    assert FOLDER not in shown.out + shown.err
    git.commit(argo(more=", helm: {valueFiles: [values-big.yaml]}"))
    assert "name: big" in run(capsys, "render", "--repo", git.root, "--ref", "main").out
    git.run("checkout", "-q", "-b", "change")
    git.commit(argo("1.1.0"))
    found = {one["name"]: one for one in review(capsys, "main", "change", "--repo", git.root)["environments"]}
    assert found["https://eu.example.org"]["changes"]


@needs_helm
@pytest.mark.usefixtures("served")
def test_charts_of_flux(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: stable}\n"
    repository += f"spec: {{url: {URL}}}\n"
    text = release("web", "shop", "  values: {name: front}\n", "HelmRepository", "stable")
    text = text.replace("chart: shop,", "chart: shop, version: 1.0.0,")
    contents = cluster("prod") | CONFIG | {"clusters/prod/x.yaml": repository + text + kustomization("more", "gone")}
    shown = run(capsys, "render", write(tmp_path / "r", contents))
    assert shown.code == 0, shown.err
    assert "name: front" in shown.out
    shown = run(capsys, "render", write(tmp_path / "r", {"clusters/prod/x.yaml": repository + text.replace("1.0.0", "1.x")}))
    assert (shown.code, "its version '1.x' is not one alone, as 1.2.3 is" in shown.err) == (3, True)


@needs_helm
@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("lock", [False, True])
def test_dependencies(tmp_path: Path, capsys: pytest.CaptureFixture[str], lock: bool) -> None:
    needs = f"dependencies: [{{name: shop, version: {'^1.0.0' if lock else '1.0.0'}, repository: {URL}}}]\n"
    contents = CONFIG | {"c/Chart.yaml": CHART.replace("shop", "top") + needs, "c/values.yaml": "shop: {name: below}\n"}
    if lock:
        contents["c/Chart.lock"] = needs.replace("^", "")
    shown = run(capsys, "render", write(tmp_path / "r", contents))
    assert shown.code == 0, shown.err
    assert "name: below" in shown.out


@needs_helm
@needs_kustomize
@pytest.mark.usefixtures("served")
def test_charts_that_kustomize_inflates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"namePrefix: p-\nhelmCharts: [{{name: shop, repo: {URL}, version: 1.0.0, releaseName: r, valuesInline: {{name: in}}}}]\n"
    config = CONFIG[".netreach.yml"].replace("render: {", "render: {plugins: [helm], ")
    shown = run(capsys, "render", write(tmp_path / "r", {"o/kustomization.yaml": text, ".netreach.yml": config}))
    assert shown.code == 0, shown.err
    assert "name: p-in" in shown.out
    assert f"the chart shop 1.0.0 is fetched from {URL}" in shown.err
    off = write(tmp_path / "off", {"o/kustomization.yaml": text, ".netreach.yml": "version: 1\nrender: {plugins: [helm]}\n"})
    shown = run(capsys, "render", off)
    assert (shown.code, "the chart 'shop' is not in this repository, and nothing is fetched that render.remote" in shown.err) == (3, True)


@needs_helm
def test_packed_dependencies_are_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A schema in one may name files of this machine to load, and a template the time."""
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
    template += "data: {year: '{{ now | date \"2006\" }}', name: {{ .Chart.Name }}, id: {{ uuidv4 }}}\n"
    inner = packed({**FILES, "Chart.yaml": CHART.replace("shop", "inner"), "values.yaml": "name: inner\n"}, "inner").decode("latin-1")
    files = {**FILES, "templates/y.yaml": template, "values.schema.json": '{"$ref": "file:///etc/passwd"}'}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in {**{k: v.encode() for k, v in files.items()}, "charts/inner-1.tgz": inner.encode("latin-1")}.items():
            entry = tarfile.TarInfo(f"shop/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    contents: dict[str, str | bytes] = {"c/Chart.yaml": CHART.replace("shop", "top"), "c/charts/shop-1.0.0.tgz": out.getvalue()}
    shown = run(capsys, "render", write(tmp_path / "r", contents))
    assert shown.code == 0, shown.err
    assert [text in shown.out for text in ("year: '2000', name: shop, id: netreach-random", "name: web", "name: inner")] == [True] * 3
    write(tmp_path / "r", {"c/charts/shop-1.0.0.tgz": packed(FILES, link="/etc/passwd")})
    shown = run(capsys, "render", tmp_path / "r")
    assert (shown.code, "c/charts/shop-1.0.0.tgz: it holds a link" in shown.err) == (3, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "https://charts.example.org/stable-2"}, "nothing is fetched that render.remote does not name"),
        ({"url": "https://charts.example.org/stable/../x"}, "its path has an empty part"),
        ({"url": "oci://charts.example.org/stable"}, "nothing is fetched that render.remote does not name"),
        ({"url": "registry.example.org/x"}, "that render.remote does not name (oci://registry.example.org/x)"),
        ({"url": "http://charts.example.org/stable"}, "only repositories of https:// and registries of oci:// are fetched from"),
        ({"version": "'*'"}, "its version '*' is not one alone"),
        ({"version": "9.0.0"}, "its repository has no such version"),
        ({"index": index(("1.0.0", "https://evil.example/shop.tgz", ""))}, "which render.remote does not name"),
        ({"index": index(("1.0.0", "../../evil.tgz", ""))}, "the address of its archive is not fetched"),
        ({"index": index(("1.0.0", "file:///etc/passwd", ""))}, "the address of its archive is not fetched"),
        ({"index": index(("1.0.0", "shop-1.0.0.tgz", "0" * 64))}, "not the one that the index names (digest)"),
        ({"index": "entries: &a [*a]"}, "the index of its repository cannot be read"),
        ({"index": index(("1.0.0", "gone.tgz", ""))}, "the server says 404"),
        ({"archive": b"x"}, "it is no packed chart"),
        ({"archive": packed({"README.md": "x"})}, "it is no packed chart"),
        ({"archive": packed({**FILES, "../../evil": "x"})}, "a name that leaves it"),
        ({"archive": packed({**FILES, ".git/config": "x"})}, "a name that leaves it"),
        ({"archive": packed(FILES, link="/etc/passwd")}, "it holds a link"),
        ({"archive": gzip.compress(b"\0" * 2_000_000)}, "larger than 1,000,000 bytes when it is unpacked"),
    ],
)
def test_what_is_not_taken(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    served: dict[str, bytes],
    change: dict[str, str | bytes],
    reason: str,
) -> None:
    monkeypatch.setattr(charts, "MOST_UNPACKED", 1_000_000)
    if "archive" in change:
        served["/stable/index.yaml"] = index(("1.0.0", "shop-1.0.0.tgz", "")).encode()
        served["/stable/shop-1.0.0.tgz"] = bytes(change["archive"])  # type: ignore[arg-type]
    if "index" in change:
        served["/stable/index.yaml"] = str(change["index"]).encode()
    contents = argo(str(change.get("version", "1.0.0")), url=str(change.get("url", URL)))
    shown = run(capsys, "render", write(tmp_path / "r", contents | CONFIG))
    assert shown.code == 3
    assert reason in shown.err
    assert "argo/a.yaml:1: a is not rendered with helm: " in shown.err
    assert "root:" not in shown.out + shown.err


# --- registries ---

REGISTRY = "oci://registry.example.org/acme"
OCI = {".netreach.yml": f"version: 1\nrender: {{remote: [{REGISTRY}]}}\n"}


class Registry:
    """A registry that wants a token which everybody gets. `served`: by path; `asked`: each path with the Authorization that came along."""

    def __init__(self) -> None:
        self.realm = "https://registry.example.org/token"
        self.served: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.elsewhere = ""

    def put(self, archive: bytes, digest: str = "", version: str = "1.0.0") -> None:
        digest = digest or hashlib.sha256(archive).hexdigest()
        layer = {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": f"sha256:{digest}"}
        top = "/v2/acme/shop"
        self.served |= {
            f"{top}/manifests/{version}": json.dumps({"layers": [{"digest": "sha256:x"}, layer]}).encode(),
            f"{top}/blobs/sha256:{digest}": archive,
            "/token?service=registry&scope=repository%3Aacme%2Fshop%3Apull": b'{"token": "let-me-in"}',
        }


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    there = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            there.asked.append((self.path, given))
            moved = there.elsewhere and "/blobs/" in self.path
            wants = not self.path.startswith("/token") and given != "Bearer let-me-in"
            self.send_response(307 if moved else 401 if wants else 200 if self.path in there.served else 404)
            if moved:
                self.send_header("Location", there.elsewhere)
            self.send_header("WWW-Authenticate", f'Bearer realm="{there.realm}",service="registry",scope="x"')
            self.end_headers()
            self.wfile.write(b"" if wants or moved else there.served.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        monkeypatch.setitem(remote.PLACES, "https://registry.example.org/", f"http://127.0.0.1:{http.server_port}/")
        there.put(packed(FILES))
        yield there
        http.shutdown()
        thread.join()


@needs_helm
def test_charts_of_registries(tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: Registry) -> None:
    for number, url in enumerate((REGISTRY, REGISTRY.removeprefix("oci://"))):
        shown = run(capsys, "render", write(tmp_path / f"argo{number}", argo(url=url) | OCI))
        assert shown.code == 0, shown.err
        assert "name: web" in shown.out
    source = "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: shop, namespace: shop}\n"
    source += f"spec: {{url: {REGISTRY}/shop, ref: {{tag: 1.0.0}}}}\n"
    text = release("web", "", "  chartRef: {kind: OCIRepository, name: shop}\n").replace("  chart: {spec", "  x: {spec")
    registry.asked.clear()
    shown = run(capsys, "render", write(tmp_path / "flux", cluster("prod") | OCI | {"clusters/prod/x.yaml": source + text}))
    assert shown.code == 0, shown.err
    assert "name: web" in shown.out
    assert [given for _, given in registry.asked] == ["", "", "Bearer let-me-in", "Bearer let-me-in"]
    # Of two of one name none is known to be meant.
    other = source.replace("1.0.0", "1.1.0")
    shown = run(capsys, "render", write(tmp_path / "two", cluster("prod") | OCI | {"clusters/prod/x.yaml": source + other + text}))
    assert (shown.code, "the chart 'shop' is not in this repository, and nothing is fetched" in shown.err) == (3, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"realm": "https://evil.example/token"}, "render.remote does not name it"),
        ({"realm": "http://127.0.0.1/token"}, "the registry wants to know who asks"),
        ({"elsewhere": "https://evil.example/blob"}, "it leads to 'https://evil.example/blob', which render.remote does not name"),
        ({"digest": "0" * 64}, "not the one that the registry names (digest)"),
        ({"digest": "../../x"}, "what the registry has at this version is no chart"),
        ({"manifest": b"[" * 100_000}, "the registry's answer is none"),
        ({"manifest": b"{}"}, "what the registry has at this version is no chart"),
        ({"token": b'{"token": "a\\nb"}'}, "the registry wants to know who asks"),
        ({"version": "2.0.0"}, "the server says 404"),
    ],
)
def test_what_a_registry_may_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: Registry, change: dict[str, str | bytes], reason: str
) -> None:
    registry.realm = str(change.get("realm", registry.realm))
    registry.elsewhere = str(change.get("elsewhere", ""))
    registry.put(packed(FILES), str(change.get("digest", "")))
    for path in registry.served:
        if "token" in change and path.startswith("/token"):
            registry.served[path] = bytes(change["token"])  # type: ignore[arg-type]
        if "manifest" in change and "/manifests/" in path:
            registry.served[path] = bytes(change["manifest"])  # type: ignore[arg-type]
    shown = run(capsys, "render", write(tmp_path / "r", argo(str(change.get("version", "1.0.0")), url=REGISTRY) | OCI))
    assert (shown.code, reason in shown.err) == (3, True), shown.err


def test_only_the_base_side_opens_a_repository(git: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "get", lambda *_: pytest.fail("fetched"))
    git.commit({"README.md": "x"})
    git.run("checkout", "-q", "-b", "change")
    git.commit(argo() | CONFIG)
    found = review(capsys, "main", "change", "--repo", git.root, "--allow-empty")
    assert [row["setting"] for one in found["environments"] for row in one["incomplete"]] == ["render.remote"]


def test_entries_of_an_index_in_any_form() -> None:
    whole = '{"entries": {"shop": [{"version": "1.0.0", "urls": ["x.tgz"]}]}}'
    for text in (whole, index(("1.0.0", "x.tgz", "")), index(("1.0.0", "x.tgz", "")).replace("\n", "\r\n")):
        assert charts._entry(text.encode(), Chart(URL, "shop", "1.0.0"))["urls"] == ["x.tgz"]
        with pytest.raises(Unreachable, match="no such version"):
            charts._entry(text.encode(), Chart(URL, "shop", "1.0"))
    assert chart(Chart(URL, "shop", "1.0.0").written) == Chart(URL, "shop", "1.0.0")
    assert chart(f"{URL}/shop") is None
