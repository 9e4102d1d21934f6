"""Jobs in, checks and comments on GitHub out. Each function may be called again after a crash: it looks first, then writes.

Nothing is written for a head that is no longer the pull request's but that its check is cancelled.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NamedTuple

from bot import __version__
from bot.errors import GitError, InternalError, NetreachError
from bot.github import checks, comment
from bot.github.checks import Outcome
from bot.github.client import Refused, told
from bot.github.marker import digest
from bot.server import compare, log
from bot.server.compare import Wishes
from bot.server.deliveries import Job, known
from bot.sources import mirror

if TYPE_CHECKING:
    from github.CheckRun import CheckRun
    from github.PullRequest import PullRequest
    from github.Repository import Repository

    from bot.review import Review
    from bot.server.access import Access
    from bot.server.repositories import Cache
    from bot.server.settings import Settings

UNTOUCHED = "no Kubernetes files touched"


class Looked(NamedTuple):
    """What came of a job.

    `state`: done, known (there was nothing left to do), moved (`head` is the pull request's now), closed, gone. `verdict` of the
    review, or error; `comment`: what became of it.
    """

    state: str
    head: str = ""
    verdict: str = ""
    comment: str = ""


class Stated(NamedTuple):
    """What is to be compared for whom. `pull` None: a merge group. `ref`: the base branch; `base`: its commit where it is fixed."""

    job: Job
    repository: Repository
    pull: PullRequest | None
    ref: str
    base: str
    draft: bool
    trusted: bool


class Worker:
    """What one process of workers has: access to GitHub and the copies on disk. May be used from several threads."""

    def __init__(self, settings: Settings, access: Access, cache: Cache) -> None:
        self.settings = settings
        self.access = access
        self._cache = cache

    # --- On receipt ---

    def queued(self, job: Job) -> int:
        """The check run of a job's head, queued if it was not there (with `again`: if none is unfinished); 0 if there can be none.

        Raises Refused where GitHub does not answer.
        """
        repository = self._repository(job)
        prefix = _prefix(job)
        try:
            found = [run for run in self._runs(repository, job.head) if run.external_id.startswith(prefix)]
            if found and (found[-1].status != "completed" or not (job.again or found[-1].conclusion == "cancelled")):
                return found[-1].id
            return checks.start(repository, job.head, f"{prefix}{'' if job.number else f'base:{job.base};'}").id
        except Refused as error:
            if error.kind not in ("forbidden", "invalid", "missing"):
                raise
            self._doubt(job, error)
            return 0

    def heads(self, job: Job) -> list[Job]:
        """A job for each pull request and merge group that has a check on the head of a `suite` job. Raises Refused."""
        repository = self._repository(job)
        out: dict[str, Job] = {}
        for run in self._runs(repository, job.head):
            found = known(run.external_id)
            if not isinstance(found, str):
                one = Job(**{**job._asdict(), **found})
                out[one.key] = one
        return list(out.values())

    def on_base(self, job: Job) -> list[Job]:
        """A job for each open pull request to the branch of a `push` job, the newest first, as many as the limit says. Raises Refused."""
        repository = self._repository(job)
        with told(f"list the pull requests to {job.ref}"):
            pulls = repository.get_pulls(state="open", base=job.ref, sort="updated", direction="desc")
            out: list[Job] = []
            for pull in pulls:
                if len(out) >= self.settings.limits.pushes:
                    break
                if pull.base.ref == job.ref:
                    out.append(job._replace(kind="pull", number=pull.number, head=pull.head.sha, ref=""))
        return out

    # --- The review ---

    def look(self, job: Job, run_id: int) -> Looked:
        """Compare, comment and conclude. Raises Refused where GitHub does not answer."""
        repository = self._repository(job)
        what = self._stated(job, repository)
        if isinstance(what, Looked):
            if what.state == "closed":
                self._cancel(repository, run_id, "the pull request is closed")
            return what
        run = self._run(repository, run_id)
        if run is not None and job.again and run.status == "completed" and run.conclusion != "cancelled":
            return Looked("known")
        url = f"{self.settings.server}/{job.name}.git"
        try:
            with self._cache.hold(job.repository, url) as path:
                return self._compared(what, run, path, self._source(job, url))
        except Refused as error:
            self._doubt(job, error)
            raise
        except NetreachError as error:
            return self._concluded(what, run, checks.failed(error), "error", "")
        except Exception as error:
            # Never left pending, never green: what went wrong is netreach's fault, and the log has it.
            where = traceback.format_exc(limit=-5)
            log.say("internal error", "error", repository=job.name, job=job.key, error=where)
            words = f"internal error: {type(error).__name__}"
            return self._concluded(what, run, checks.failed(InternalError(words)), "error", "")

    def cancel(self, job: Job, run_id: int, why: str) -> None:
        """End the check of a head that has been superseded. Raises Refused where GitHub does not answer."""
        self._cancel(self._repository(job), run_id, why)

    def _cancel(self, repository: Repository, run_id: int, why: str) -> None:
        run = self._run(repository, run_id)
        if run is not None:
            checks.cancel(run, why)

    def _stated(self, job: Job, repository: Repository) -> Stated | Looked:
        if job.kind == "group":
            return Stated(job, repository, None, job.ref, job.base, False, True)
        with told(f"read pull request {job.number}"):
            pull = repository.get_pull(job.number)
            if pull.state != "open":
                return Looked("closed", pull.head.sha)
            if pull.head.sha != job.head:
                return Looked("moved", pull.head.sha)
            own, other = pull.base.repo, pull.head.repo
            trusted = other is not None and own is not None and other.id == own.id
            return Stated(job, repository, pull, pull.base.ref, "", bool(pull.draft), trusted)

    def _compared(self, what: Stated, run: CheckRun | None, path: str, source: mirror.Source) -> Looked:
        job = what.job
        tips = self._brought(what, path, source)
        wanted = compare.wishes(path, tips.base)
        silent = what.pull is None or (what.draft and not self.settings.drafts)
        settled = digest(f"{__version__} {silent} {what.trusted}")
        middle = f"base:{tips.base[:12] if job.number else tips.base}"
        identity = f"{_prefix(job)}{middle};cfg:{settled}"
        if run is not None and run.status == "completed":
            run = self._again(what, run, identity, wanted)
            if run is None:
                return Looked("known")
        if run is not None:
            words = f"comparing {what.ref}@{tips.base[:7]} with the merge of {job.head[:7]} into it"
            checks.progress(run, words, name=wanted.check.name, external_id=identity)
        link = f"{self.settings.server}/{job.name}/blob"
        own = "" if silent else self.access.login()
        if not tips.touched and (silent or not self._commented(what, own)):
            return self._concluded(what, run, Outcome("success", UNTOUCHED, UNTOUCHED), "pass", "nothing")
        try:
            review = self._reviewed(what, path, source, tips, wanted)
        except NetreachError as error:
            return self._concluded(what, run, checks.failed(error), "error", "")
        said = "" if silent else self._said(what, review, link, own, wanted)
        if said.startswith("moved "):
            return self._moved(what, run)
        outcome = checks.outcome(review, link, wanted.check.annotations)
        return self._concluded(what, run, outcome, review.verdict, said)

    def _brought(self, what: Stated, path: str, source: mirror.Source) -> mirror.Tips:
        job, at = what.job, f"refs/netreach/head/{what.job.number or 'group'}"
        base = "refs/netreach/base" if what.pull is None else f"refs/netreach/bases/{digest(what.ref)}"
        first = f"+{what.base}:{base}" if what.pull is None else f"+refs/heads/{what.ref}:{base}"
        try:
            return mirror.bring(path, source, base, job.head, [first, f"+{job.head}:{at}"])
        except GitError:
            if what.pull is None:
                raise
        return mirror.bring(path, source, base, job.head, [first, f"+refs/pull/{job.number}/head:{at}"])

    def _again(self, what: Stated, run: CheckRun, identity: str, wanted: Wishes) -> CheckRun | None:
        """The check run to use in place of a finished one: None where that, or another one, is of the very same comparison."""
        same = [row for row in self._runs(what.repository, what.job.head) if row.external_id == identity]
        if same and same[-1].status == "completed" and same[-1].conclusion != "cancelled":
            return None
        return checks.start(what.repository, what.job.head, identity, wanted.check.name)

    def _commented(self, what: Stated, own: str) -> bool:
        try:
            return comment.there(what.repository, what.job.number, own)
        except Refused:
            return True

    def _reviewed(self, what: Stated, path: str, source: mirror.Source, tips: mirror.Tips, wanted: Wishes) -> Review:
        limits, render = self.settings.limits, self.settings.render and what.trusted
        base = what.ref, tips.base
        try:
            return compare.compare(path, base, tips.head, limits, not wanted.configured, render)
        except GitError:
            # Something is read after all that was not thought to be.
            mirror.everything(path, source, [tips.base, tips.head])
        return compare.compare(path, base, tips.head, limits, not wanted.configured, render)

    def _said(self, what: Stated, review: Review, link: str, own: str, wanted: Wishes) -> str:
        """What became of the comment; where the App may not write one, that is no failure."""
        statement = comment.statement(review, what.job.number, link, what.ref)
        try:
            done = comment.publish(
                what.repository,
                statement,
                own,
                wanted.comment.mode,
                wanted.comment.when,
                self.settings.limits.between_writes / 1000,
            )
        except Refused as error:
            if error.kind not in ("forbidden", "missing", "invalid", "too-long"):
                raise
            self._doubt(what.job, error)
            return f"refused: {error}"
        moved = done.done == "nothing" and ("moved on" in done.why or "another branch" in done.why)
        return f"moved {done.why}" if moved else done.done

    def _concluded(self, what: Stated, run: CheckRun | None, outcome: Outcome, verdict: str, said: str) -> Looked:
        if what.pull is not None:
            with told(f"read pull request {what.job.number}"):
                what.pull.update()
            if what.pull.head.sha != what.job.head or what.pull.base.ref != what.ref:
                return self._moved(what, run)
        if run is not None:
            checks.finish(run, self._shared(what, outcome))
        return Looked("done", what.job.head, verdict, said)

    def _moved(self, what: Stated, run: CheckRun | None) -> Looked:
        head = what.pull.head.sha if what.pull is not None else ""
        if run is not None and head != what.job.head:
            checks.cancel(run, f"superseded by {head[:7]}")
        return Looked("moved", head)

    def _shared(self, what: Stated, outcome: Outcome) -> Outcome:
        """A check is of a commit: where another open pull request has the same head, the worse of both is what it says."""
        newest: dict[str, CheckRun] = {}
        for run in self._runs(what.repository, what.job.head):
            identity = run.external_id.partition(";")[0]
            if identity.startswith("pr:") and f"{identity};" != _prefix(what.job):
                newest[identity] = run
        conclusions = {outcome.conclusion: ""}
        for identity, run in newest.items():
            with told("read a pull request with the same head"):
                pull = what.repository.get_pull(int(identity[3:]))
                if pull.state == "open" and pull.head.sha == what.job.head and run.status == "completed":
                    conclusions[run.conclusion] = identity[3:]
        worst = checks.worse(one for one in conclusions if one in ("success", "neutral", "failure"))
        if worst == outcome.conclusion:
            return outcome
        return outcome._replace(conclusion=worst, title=f"pull request {conclusions[worst]} has this head too: {worst}")

    # --- Access to GitHub ---

    def _doubt(self, job: Job, error: Refused) -> None:
        """What is not allowed now may be with another token: the owner may have accepted more since."""
        if error.kind == "forbidden":
            self.access.forget(job.installation)

    def _repository(self, job: Job) -> Repository:
        return self.access.repository(job.installation, job.repository, job.name)

    def _source(self, job: Job, url: str) -> mirror.Source:
        limits = self.settings.limits
        token = self.access.token(job.installation, job.repository, write=False)
        return mirror.Source(url, self.settings.server, token, limits.fetch, limits.repository)

    def _runs(self, repository: Repository, head: str) -> list[CheckRun]:
        return checks.runs(repository, head, self.access.login().removesuffix("[bot]"))

    def _run(self, repository: Repository, run_id: int) -> CheckRun | None:
        if not run_id:
            return None
        with told(f"read the check {run_id}"):
            run = repository.get_check_run(run_id)
            run.update()
            return run


def _prefix(job: Job) -> str:
    return f"pr:{job.number};" if job.number else f"group:{job.ref};"
