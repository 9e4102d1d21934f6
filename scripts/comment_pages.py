"""A folder and markdown files in, pages that look like comments on GitHub out, to be looked at in a browser.

`python scripts/comment_pages.py FOLDER [FILE.md ...]` renders the files and the tests' reviews (576 paths, hostile names, thousands of
rows, incomplete, two environments) with GitHub's own dialect, folded parts open in a second page. With chromium on PATH, PNGs too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bot.github import comment  # noqa: E402
from tests.report import reviews  # noqa: E402

STYLE = """
body{margin:16px;color:#1f2328;font:14px/1.5 "Segoe UI","Noto Sans",Helvetica,Arial,sans-serif,"Noto Color Emoji"}
main{width:828px;border:1px solid #d1d9e0;border-radius:6px;padding:16px;overflow-wrap:break-word}
p,table,details,ul,pre{margin:0 0 16px}h3{font-size:1.25em;margin:0 0 16px}h4{font-size:1em;margin:24px 0 16px}
table{display:block;width:max-content;max-width:100%;overflow:auto;border-collapse:collapse}
th,td{padding:6px 13px;border:1px solid #d1d9e0}tr:nth-child(2n){background:#f6f8fa}ul{padding-left:2em}a{color:#0969da}
code{padding:.2em .4em;font:85% ui-monospace,"Liberation Mono",monospace;background:#818b981f;border-radius:6px;white-space:break-spaces}
pre{padding:16px;background:#f6f8fa;border-radius:6px;overflow:auto}pre code{background:none;padding:0;white-space:pre}
"""
REVIEWS = {
    "blocked": reviews.BLOCKED,
    "pass": reviews.PASS,
    "incomplete": reviews.INCOMPLETE,
    "environments": reviews.TWO,
    "hostile": reviews.hostile(),
    "thousands": reviews.randomly(5, 5000),
}


def main(folder: Path, files: list[Path]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    for name, value in REVIEWS.items():
        texts[name] = comment.compose(comment.statement(value, 482, "https://github.com/acme/platform/blob"), 7)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    for name, text in texts.items():
        html = cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)
        for suffix, shown in (("", html), ("-open", html.replace("<details>", "<details open>"))):
            page = folder / f"{name}{suffix}.html"
            page.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><main>{shown}</main>", encoding="utf-8")
            if browser:
                look = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,2000"]
                picture = f"--screenshot={page.with_suffix('.png')}"
                subprocess.run([browser, *look, picture, page.as_uri()], capture_output=True, check=True, timeout=120)
    print(f"{len(texts)} comments in {folder}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve(), [Path(name) for name in sys.argv[2:]]))
