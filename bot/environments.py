"""Settings and a side's files in; the environments to compare, each with its own settings and part of the files, out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.sources import Files, Unread
from bot.sources.select import CONFIG_FILES, SETTINGS_FILES, find_config, narrow

if TYPE_CHECKING:
    from bot.config import Assume, Config, Environment
    from bot.manifests.snapshot import Snapshot
    from bot.review import Settings


class Scope(NamedTuple):
    """One cluster to look at.

    `paths`: the globs of its files (none: all). `never`: what no file of it can settle. `empty`: what to say of a named
    environment that has no manifests, which is more likely a slip in its globs than meant.
    """

    name: str
    settings: Settings
    paths: tuple[str, ...] = ()
    never: tuple[Unread, ...] = ()
    empty: Unread | None = None

    def files(self, side: Files) -> Files:
        """Its part of one side. Raises UsageError."""
        return narrow(side, self.paths)

    def unread(self, *sides: Snapshot) -> tuple[Unread, ...]:
        """What makes its review incomplete beside what the sides say themselves."""
        if self.empty is None or any(side.objects or side.workloads or side.unread for side in sides):
            return self.never
        return (*self.never, self.empty)


class Plan(NamedTuple):
    """The settings with what the config adds to them, and every environment that is asked for.

    `unread`: what was set to gate a review and cannot be judged. `config`: the one in force, if there is one.
    """

    settings: Settings
    scopes: tuple[Scope, ...]
    unread: tuple[Unread, ...] = ()
    config: Config | None = None

    def files(self, side: Files) -> Files:
        """The manifests of one side: what the settings include, without the settings file. Raises UsageError."""
        side = narrow(side, self.settings.include, self.settings.exclude)
        if not any(name in side.contents for name in SETTINGS_FILES):
            return side
        return side._replace(
            contents={name: data for name, data in side.contents.items() if name not in SETTINGS_FILES}
        )


def plan(settings: Settings, contents: Mapping[str, bytes]) -> Plan:
    """What to compare. `contents`: the files of the side that the config is taken from. Raises UsageError."""
    if settings.config is not None:
        from bot.config import read

        return _configured(settings, read(settings.config))
    found = find_config(contents)
    if found is not None:
        from bot.config import parse

        return _configured(settings, parse(*found))
    if settings.environment is not None:
        raise UsageError(f"--env {settings.environment}: there is no config that has environments")
    return Plan(settings, (Scope("default", settings),), _not_judged(settings))


def only(planned: Plan) -> Scope:
    """The one environment of a command that looks at one cluster. Raises UsageError where there are several."""
    if len(planned.scopes) > 1:
        names = ", ".join(scope.name for scope in planned.scopes)
        raise UsageError(f"the config has the environments {names}: choose one with --env")
    return planned.scopes[0]


def changes_of_config(base: Mapping[str, bytes], head: Mapping[str, bytes]) -> tuple[str, ...]:
    """What to say of a pull request that changes the config: it counts only from the next one on."""
    out = []
    for name in SETTINGS_FILES:
        before, after = base.get(name), head.get(name)
        if before == after:
            continue
        verb = "adds" if before is None else "deletes" if after is None else "changes"
        counts = (
            "there is none on the base side, so none counts here" if before is None else "the base side's counts here"
        )
        out.append(f"this change {verb} {name}: {counts}{_mistake(name, after)}")
    return tuple(out)


def _mistake(name: str, data: bytes | None) -> str:
    try:
        if data is not None and name in CONFIG_FILES:
            from bot.config import parse

            parse(name, data)
        elif data is not None:
            from bot.gate import expectations

            expectations.parse(name, data)
    except UsageError as error:
        return f"; the new one has a mistake, {error}"
    return ""


def _configured(settings: Settings, config: Config) -> Plan:
    """Flags come before the config, which comes before the defaults."""
    settings = settings._replace(
        include=settings.include or config.include,
        exclude=settings.exclude or config.exclude,
        fail_on=settings.fail_on or config.gate.fail_on,
        on_incomplete=settings.on_incomplete or config.gate.on_incomplete,
    )
    return Plan(settings, _scopes(settings, config), _not_judged(settings), config)


def _scopes(settings: Settings, config: Config) -> tuple[Scope, ...]:
    wanted = settings.environment
    if not config.environments:
        if wanted is not None:
            raise UsageError(f"--env {wanted}: {config.file} has no environments")
        return (Scope("default", _assuming(settings, config.assume)),)
    scopes = tuple(_scope(settings, config.file, one) for one in config.environments)
    if wanted is None:
        return scopes
    names = [scope.name for scope in scopes]
    if wanted not in names:
        from bot.located import meant

        raise UsageError(f"--env {wanted}: {config.file} has {', '.join(names)}{meant(wanted, names)}")
    return (scopes[names.index(wanted)],)


def _scope(settings: Settings, file: str, environment: Environment) -> Scope:
    name, at = environment.name, (environment.line, environment.line)
    never: tuple[Unread, ...] = ()
    empty = None
    if environment.render is not None:
        tool = environment.render[0]
        reason = f"the environment {name} is to be rendered with {tool}, which this version cannot do"
        never = (Unread(file, at, reason, f"environments.{name}.render"),)
    if not settings.allow_empty:
        reason = f"the environment {name} has no manifests, before or after"
        empty = Unread(file, at, reason, f"environments.{name}.paths")
    own = _assuming(settings, environment.assume)._replace(allow_empty=True)
    return Scope(name, own, environment.paths, never, empty)


def _not_judged(settings: Settings) -> tuple[Unread, ...]:
    out = []
    if "lint-error" in settings.fail_on and "never" not in settings.fail_on:
        out.append(Unread("", None, "this version has no lint rules that lint-error could mean", "gate.fail-on"))
    return tuple(out)


def _assuming(settings: Settings, assume: Assume) -> Settings:
    return settings._replace(
        cni=settings.cni or assume.cni,
        pod_cidrs=settings.pod_cidrs if settings.pod_cidrs is not None else assume.pod_cidrs,
        known_complete=settings.known_complete or assume.known_complete,
        kube_apiserver=settings.kube_apiserver or assume.kube_apiserver,
    )
