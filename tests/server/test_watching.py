"""What the App says of itself: log lines without secrets, numbers for Prometheus, readiness, and admission over TLS."""

from __future__ import annotations

import json
import logging
import ssl
from datetime import datetime, timedelta, timezone
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.errors import UsageError
from bot.server import log, tls
from bot.server.app import Full, create_app, validated
from bot.server.deliveries import Job
from bot.server.health import Health
from bot.server.metrics import Metrics
from bot.server.settings import Settings, read
from bot.server.store import Store
from tests.github.local import WEBHOOKS
from tests.server.github import APP, SECRET, key
from tests.server.system import headers
from tests.server.test_admission import ALLOWED, REFUSED, review


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    pem = tmp_path / "key.pem"
    pem.write_text(key()[0], encoding="utf-8")
    return read(
        {
            "NETREACH_APP_ID": APP,
            "NETREACH_PRIVATE_KEY_FILE": str(pem),
            "NETREACH_WEBHOOK_SECRET": SECRET,
            "NETREACH_DATA_DIR": str(tmp_path / "data"),
        }
    )


class Lines(logging.Handler):
    def __init__(self, *secrets: str) -> None:
        super().__init__()
        self.setFormatter(log.Line(secrets))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Any:
    handler = Lines("hunter2-wonderful")
    logger = logging.getLogger(log.NAME)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2-wonderful",
        "ghs_abcDEF123456",
        "ghp_0123456789",
        "github_pat_11ABC_def",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjF9.c2lnbmF0dXJl",
        "postgresql://netreach:pa55@db/netreach",
        key()[0],
        key()[0][:400],
    ],
)
def test_no_secret_is_logged(lines: list[str], secret: str):
    log.say(f"could not fetch with {secret}", repository=secret, nested=[secret])
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger(log.NAME).exception("failed")
    inner = secret.strip().splitlines()[-1] if "BEGIN" in secret else secret.partition("//")[2].partition("@")[0] or secret
    assert len(lines) == 2
    for line in lines:
        assert inner not in line
        assert log.STRUCK in line
        json.loads(line)


def test_a_line(lines: list[str]):
    log.say("looked\nat \x1b[31m", repository="acme/platform", number=None, seconds=0.5)
    (line,) = lines
    assert "\n" not in line
    assert line.isascii()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "info", "message": "looked\nat \x1b[31m", "repository": "acme/platform", "number": None, "seconds": 0.5}
    log.say("x" * 10_000)
    assert len(lines[-1]) < 3000


class Queue:
    def __init__(self) -> None:
        self.full = False

    def put(self, delivery: str, job: Job) -> bool:
        if self.full:
            raise Full("the queue is full")
        return True


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_deliveries_are_counted_and_logged(settings: Settings, lines: list[str]):
    metrics, queue = Metrics(), Queue()
    client = create_app(settings, queue, metrics).test_client()
    body = json.dumps(next(one for one in WEBHOOKS["examples"]["pull_request"] if one["action"] == "opened") | {
        "installation": {"id": 5}}).encode()  # fmt: skip

    def post(**given: str) -> int:
        sent = headers("pull_request", body, "guid-1") | {name.replace("_", "-"): text for name, text in given.items()}
        return client.post("/webhooks/github", data=body, headers=sent).status_code

    assert post() == 202
    assert post(X_Hub_Signature_256="sha256=é") == 401
    assert post(X_GitHub_Event="star" * 50) == 200
    queue.full = True
    assert post() == 503
    count = {result: value(metrics, "netreach_deliveries_total", event="pull_request", result=result)
             for result in ("queued", "unsigned", "refused")}  # fmt: skip
    assert count == {"queued": 1, "unsigned": 1, "refused": 1}
    assert value(metrics, "netreach_deliveries_total", event="other", result="ignored") == 1
    said = [json.loads(line) for line in lines]
    assert [row["status"] for row in said] == [202, 401, 200, 503]
    assert all(SECRET not in line for line in lines)


def test_numbers_are_served(settings: Settings):
    store = Store(settings.database)
    store.prepare()
    store.beat("one")
    metrics = Metrics(store)
    metrics.answered(200, {"x-ratelimit-remaining": "4999", "x-ratelimit-resource": "core"})
    metrics.answered(403, {})
    metrics.answered(502, {})
    metrics.answered(0, {})
    metrics.job("pull", "blocked", 0.7)
    port = metrics.serve(("127.0.0.1", 0))
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    for line in (
        "netreach_jobs_waiting 0.0",
        "netreach_jobs_running 0.0",
        "netreach_oldest_job_seconds 0.0",
        "netreach_store_up 1.0",
        'netreach_github_rate_limit_left{resource="core"} 4999.0',
        'netreach_github_errors_total{kind="limited"} 1.0',
        'netreach_github_errors_total{kind="server"} 1.0',
        'netreach_github_errors_total{kind="network"} 1.0',
        'netreach_github_answers_total{status="2xx"} 1.0',
        'netreach_jobs_total{kind="pull",state="blocked"} 1.0',
        'netreach_job_seconds_count{kind="pull"} 1.0',
    ):
        assert line in text, line
    store.close()
    with pytest.raises(UsageError, match="NETREACH_METRICS_LISTEN"):
        metrics.serve(("127.0.0.1", port))


def test_a_database_that_is_gone_is_a_number_too(tmp_path: Path):
    metrics = Metrics(Store(f"sqlite:///{tmp_path}/none/x.sqlite"))
    assert value(metrics, "netreach_store_up") == 0


def test_readiness(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    store = Store(settings.database)
    store.prepare()
    monkeypatch.setattr("bot.server.health.skew", lambda api: 100.0)
    health = Health(settings, store)
    client = create_app(settings, Queue(), health=health).test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz?only=store,key").json == {"store": "ok", "key": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["worker"]) == (503, "no worker runs")
    store.beat("one")
    health._look()
    answer = client.get("/readyz")
    assert (answer.get_json()["worker"], answer.get_json()["clock"][:12]) == ("ok", "this clock i")
    Path(settings.key_file).write_text("no key", encoding="utf-8")
    assert client.get("/readyz?only=key").status_code == 503
    store.close()


def certificate(folder: Path, name: str) -> tuple[str, str]:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(private, hashes.SHA256())
    )
    chain, secret = folder / "tls.crt", folder / "tls.key"
    chain.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(chain), str(secret)


def test_admission_over_tls_and_a_renewed_certificate(tmp_path: Path):
    metrics = Metrics()
    files = certificate(tmp_path, "first")
    listener = tls.serve(("127.0.0.1", 0), files, lambda body: validated(body, metrics))
    port = listener.server_address[1]

    def connection() -> HTTPSConnection:
        return HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=files[0]), timeout=5)

    def post(one: HTTPSConnection, body: bytes, path: str = "/admission/validate?timeout=10s", kind: str = "application/json"):
        one.request("POST", path, body, {"Content-Type": kind})
        answer = one.getresponse()
        return answer.status, json.loads(answer.read())

    one = connection()
    status, found = post(one, json.dumps(review(REFUSED[0])).encode())
    assert (status, found["response"]["allowed"]) == (200, False)
    assert post(one, json.dumps(review(ALLOWED[0])).encode())[1]["response"]["allowed"]
    assert post(one, b"{}")[0] == 400
    assert post(one, b"{}", "/elsewhere")[0] == 404
    assert post(one, b"{}", kind="text/plain")[0] == 415
    one.close()
    counts = {name: value(metrics, "netreach_admissions_total", decision=name) for name in ("refused", "allowed", "malformed")}
    assert counts == {"refused": 1, "allowed": 1, "malformed": 1}
    large = connection()
    large.putrequest("POST", "/admission/validate")
    large.putheader("Content-Length", str(1 << 40))
    large.endheaders()
    with large.getresponse() as answer:
        assert answer.status == 413
    large.close()
    certificate(tmp_path, "second")
    second = connection()
    assert post(second, b"{}")[0] == 400
    second.close()
    listener.shutdown()
    listener.server_close()
    with pytest.raises(UsageError, match="NETREACH_TLS"):
        tls.serve(("127.0.0.1", 0), (files[1], files[1]), validated)
    with pytest.raises(UsageError, match="nowhere"):
        tls.serve(("127.0.0.1", 0), ("/nowhere", "/nowhere"), validated)
