"""The App's manifest, the page that sends it, and the whole way from the button to the key on disk."""

from __future__ import annotations

import json
import re
import stat
import threading
from html import unescape
from pathlib import Path
from queue import Queue
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import responses

from bot import cli
from bot.errors import PublishError, UsageError
from bot.server import manifest
from bot.server.deliveries import EVENTS
from tests.server.github import key

SERVER, API = "https://ghes.example", "https://ghes.example/api/v3"
MADE = {
    "id": 4711,
    "slug": "netreach",
    "html_url": f"{SERVER}/apps/netreach",
    "pem": "PEM\n",
    "webhook_secret": "s3cret",
}


def test_five_permissions_and_the_events_that_are_listened_to():
    made = manifest.manifest("https://netreach.example/")
    assert made["hook_attributes"] == {"url": "https://netreach.example/webhooks/github", "active": True}
    assert len(made["default_permissions"]) == 5
    assert set(made["default_permissions"].values()) <= {"read", "write"}
    assert made["public"] is False
    # What comes to every App unasked cannot be chosen.
    assert set(made["default_events"]) == EVENTS - {"ping", "installation", "installation_repositories"}


@pytest.mark.parametrize("url", ["", "netreach.example", "ftp://x", "https://", "https://x/?a=b"])
def test_no_address(url: str):
    with pytest.raises(UsageError):
        manifest.manifest(url)


def test_the_page_is_safe_and_has_the_manifest():
    made = manifest.manifest('https://x.example/"><script>alert(1)</script>', name="<b>&\"'")
    text = manifest.page(made, SERVER, "acme/../x", "st&te")
    assert "<script>" not in text
    assert f'action="{SERVER}/organizations/acme%2F..%2Fx/settings/apps/new?state=st%26te"' in text
    sent = re.search(r'name=manifest value="([^"]*)"', text)
    assert sent is not None
    assert json.loads(unescape(sent[1])) == made


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["app", "manifest", "--url", "https://netreach.example", "--name", "acme-netreach"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "acme-netreach"
    assert cli.main(["app", "manifest"]) == 2


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path):
    made = manifest.Registered(4711, "netreach", "u", key()[0], "s3cret")
    pem, settings = manifest.keep(made, str(tmp_path / "new"), SERVER)
    assert stat.S_IMODE(Path(pem).stat().st_mode) == stat.S_IMODE(Path(settings).stat().st_mode) == 0o600
    assert "NETREACH_WEBHOOK_SECRET=s3cret\n" in Path(settings).read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="File exists"):
        manifest.keep(made, str(tmp_path / "new"), SERVER)


@pytest.mark.parametrize(("status", "answer"), [(404, {"message": "Not Found"}), (201, {"id": 1}), (201, [])])
def test_a_code_that_is_no_good(status: int, answer: object):
    with responses.RequestsMock() as mock:
        mock.add("POST", f"{API}/app-manifests/co%2Fde/conversions", json=answer, status=status)
        with pytest.raises(PublishError):
            manifest.converted(API, "co/de")


def test_from_the_button_to_the_key(tmp_path: Path):
    told: Queue[str] = Queue()
    made: list[manifest.Registered] = []
    with responses.RequestsMock() as mock:
        mock.add("POST", f"{API}/app-manifests/abc/conversions", json=MADE, status=201)
        thread = threading.Thread(
            target=lambda: made.append(
                manifest.register(
                    "https://n.example", SERVER, API, "netreach", "acme", str(tmp_path / "out"), 0, told.put
                )
            ),
            daemon=True,
        )
        thread.start()
        own = told.get(timeout=10).removeprefix("Open ").partition(" ")[0]
        with urlopen(own) as answer:
            text = answer.read().decode()
        state = re.search(r"state=([\w-]+)", text)
        assert state is not None
        assert f'"redirect_url": "{own}registered"' in unescape(text)
        with pytest.raises(HTTPError):
            urlopen(f"{own}registered?code=abc&state=guessed")
        with urlopen(f"{own}registered?code=abc&state={state[1]}") as answer:
            assert b"/apps/netreach/installations/new" in answer.read()
        thread.join(10)
    assert made[0].id == 4711
    assert (tmp_path / "out" / "netreach.private-key.pem").read_text(encoding="utf-8") == "PEM\n"
