"""The registry: a folder of models by name, each with versions, aliases and a history of who was champion when."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from hanjax.errors import ConfigError, RunError
from hanjax.registry.catalog import Score, with_score
from hanjax.registry.challenge import moment_of
from hanjax.registry.entries import FIGURES, Entry, content_of, read_entry, run_files, verify_entry, write_entry

CHAMPION, CHALLENGER = "champion", "challenger"
_ALIASES, _SCORES = "aliases.json", "scores.json"


class Registry:
    """Models by name in a folder: ``NAME/v0001`` holds the run, ``NAME/aliases.json`` who is champion.

    A version never changes: whatever is read is held against its hashes. The first version of a name is its champion,
    later ones are challengers until ``promote`` says otherwise; ``revert`` goes back.

    Args:
        folder: where; it is made when something is registered.

    Example:
        >>> import hanjax
        >>> from hanjax.registry import Registry
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, "run", config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> registry = Registry("models")
        >>> registry.register("run", "propensity", problem="account propensity", owner="Ann").version
        1
        >>> registry.table()[["name", "version", "aliases", "owner"]].values.tolist()
        [['propensity', 1, 'champion', 'Ann']]
        >>> hanjax.load(registry.path("propensity"))
        Run(gru_attention, 1 epochs, ...)
    """

    def __init__(self, folder: str | Path):
        """Names the folder; nothing is read yet."""
        self.folder = Path(folder)

    def register(
        self,
        run: str | Path,
        name: str,
        *,
        problem: str,
        owner: str,
        until: str = "",
        lineage: dict[str, Any] | None = None,
    ) -> Entry:
        """Copies a run folder into the registry as the next version of a name.

        Args:
            run: the run folder.
            name: of the model: letters, digits, dots, dashes and underscores.
            problem: what it predicts; see ``hanjax.registry.RULES``.
            owner: whom to ask.
            until: before which date what it was trained on was known, such as 2024-05-01; by default the run's own
                ``until``.
            lineage: what it was made of, such as ``{"gold": hash, "features": {name: hash}}``; JSON must hold it.

        Returns:
            The entry: champion if it is the first of its name, else challenger.

        Raises:
            ConfigError: if the name cannot be a folder's, the problem or the owner is empty, or ``until`` is no date.
            RunError: if the folder holds no finished run, or the same content is registered already. (If that was
                interrupted before the version had an alias, it gets it now.)
        """
        if not name or any(not (c.isalnum() or c in "._-") for c in name) or name.startswith("."):
            raise ConfigError(f"name: expected letters, digits, dots, dashes and underscores, got {name!r}.")
        for what, value in (("problem", problem), ("owner", owner)):
            if not value.strip():
                raise ConfigError(f"{what}: expected a few words, got {value!r}.")
        source, before = Path(run), self.entries(name)
        files = run_files(source)
        content = content_of(files)
        same = next((entry for entry in before if entry.content == content), None)
        if same is not None and self.finished(same):
            raise RunError(f"{run}: is version {same.version} of {name!r} already.")
        if same is not None:
            return self._enter(same)
        try:
            config, encoding, metrics = (
                json.loads((source / file).read_text(encoding="utf-8")) if (source / file).exists() else {}
                for file in ("config.json", "encoding.json", FIGURES)
            )
            until = until or config.get("train", {}).get("until") or ""
        except (ValueError, AttributeError) as error:
            raise RunError(f"{run} is damaged ({error}). Train anew.") from error
        if until:
            moment_of(until)  # raises if it is no date
        version = 1 + max((entry.version for entry in before), default=0)
        entry = Entry(
            name=name,
            version=version,
            created_at=_now(),
            problem=problem,
            owner=owner,
            until=until,
            fingerprint=encoding.get("fingerprint", ""),
            metrics=metrics,
            lineage=lineage or {},
            files=files,
            content=content,
            folder=self.folder / name / f"v{version:04}",
        )
        write_entry(source, entry)
        return self._enter(entry)

    def finished(self, entry: Entry) -> bool:
        """Whether a version was registered to the end; if not, to register the same run again finishes it."""
        return any(at["version"] == entry.version for at in self.history(entry.name))

    def _enter(self, entry: Entry) -> Entry:
        """Makes a version that is written champion, if it is the first one, else challenger."""
        alias = CHALLENGER if CHAMPION in self.aliases(entry.name) else CHAMPION
        self._point(entry.name, alias, entry.version, reason="registered")
        return entry

    def entries(self, name: str | None = None) -> list[Entry]:
        """All versions, or those of one name, each held against its own hash.

        Raises:
            RunError: if an entry is damaged.
        """
        pattern = f"{name or '*'}/v[0-9]*/"
        return [read_entry(folder) for folder in sorted(self.folder.glob(pattern)) if folder.is_dir()]

    def table(self) -> pd.DataFrame:
        """One row a version: name, version, aliases, problem, owner, until, created_at, and the test's AUC if known."""
        rows = []
        for entry in self.entries():
            current = self.aliases(entry.name)
            test = entry.metrics.get("test", {})
            rows.append(
                {
                    "name": entry.name,
                    "version": entry.version,
                    "aliases": ", ".join(alias for alias, version in current.items() if version == entry.version),
                    "problem": entry.problem,
                    "owner": entry.owner,
                    "until": entry.until,
                    "created_at": entry.created_at,
                    "auc": test.get("auc"),
                    "content": entry.content[:12],
                }
            )
        names = ["name", "version", "aliases", "problem", "owner", "until", "created_at", "auc", "content"]
        return pd.DataFrame(rows, columns=names)

    def entry(self, name: str, which: str | int = CHAMPION) -> Entry:
        """A version, by number or alias, with every file held against its hash.

        Raises:
            RunError: if there is none, or it was changed or damaged since it was registered.
        """
        found = {entry.version: entry for entry in self.entries(name)}
        if not found:
            names = sorted({entry.name for entry in self.entries()})
            raise RunError(f"{self.folder}: no model is called {name!r}; there are {names}.")
        version = which if isinstance(which, int) else self.aliases(name).get(which)
        if version not in found:
            there = [*found, *self.aliases(name)]
            raise RunError(f"{self.folder}: {name!r} has no version {which!r}; there are {there}.")
        verify_entry(found[version])
        return found[version]

    def path(self, name: str, which: str | int = CHAMPION) -> Path:
        """The folder of a version's run, which ``hanjax.load`` reads; see ``entry``."""
        return self.entry(name, which).folder

    def verify(self) -> None:
        """Holds every file of every version against its hash.

        Raises:
            RunError: if anything was changed or damaged; of several versions, it names the first.
        """
        for entry in self.entries():
            verify_entry(entry)

    def aliases(self, name: str) -> dict[str, int]:
        """Which version each alias points to."""
        latest = {at["alias"]: at["version"] for at in self.history(name)}
        return {alias: version for alias, version in latest.items() if version}

    def history(self, name: str) -> list[dict[str, Any]]:
        """Every change of an alias, oldest first: ``alias, version`` (0: nobody any more), ``at, reason``.

        Raises:
            RunError: if the file is damaged.
        """
        path = self.folder / name / _ALIASES
        return _read(path, ("alias", "version", "at", "reason"))

    def promote(self, name: str, version: int | None = None, *, reason: str) -> Entry:
        """Makes a version the champion.

        Args:
            name: of the model.
            version: which; None for the challenger, which is one no more.
            reason: why, for those who ask later.

        Raises:
            RunError: if there is no such version, or it was changed since it was registered.
        """
        entry = self.entry(name, CHALLENGER if version is None else version)
        self._point(name, CHAMPION, entry.version, reason=reason)
        if self.aliases(name).get(CHALLENGER) == entry.version:
            self._point(name, CHALLENGER, 0, reason="promoted")
        return entry

    def refuse(self, name: str, version: int, *, reason: str) -> Entry:
        """Records that a version was not promoted; if it was the challenger, it is so no more.

        Args:
            name: of the model.
            version: which.
            reason: why, for those who ask later.

        Raises:
            RunError: if there is no such version, or it was changed since it was registered.
        """
        entry, waiting = self.entry(name, version), self.aliases(name).get(CHALLENGER)
        self._point(name, CHALLENGER, 0, reason=f"version {version} was refused: {reason}")
        if waiting not in (None, version):
            self._point(name, CHALLENGER, waiting, reason="another one was refused")
        return entry

    def revert(self, name: str, *, reason: str) -> Entry:
        """Makes the champion before this one champion again; done twice, the one before that.

        In the history, nobody is champion (0) before the earlier one is so again.

        Raises:
            RunError: if there was none.
        """
        reigns: list[int] = []
        for version in (at["version"] for at in self.history(name) if at["alias"] == CHAMPION):
            if not version:  # nobody any more: a reign was taken back
                del reigns[-1:]
            elif reigns[-1:] != [version]:  # who is champion already begins no other reign
                reigns.append(version)
        if len(reigns) < 2:
            raise RunError(f"{self.folder}: {name!r} had no champion before this one to go back to.")
        entry = self.entry(name, reigns[-2])
        told = f"reverted from version {reigns[-1]}: {reason}"
        self._point(name, CHAMPION, 0, entry.version, reason=told)
        return entry

    def scores(self) -> pd.DataFrame:
        """The catalog of scores: name, purpose, owner, model, canonical.

        Raises:
            RunError: if the file is damaged.
        """
        return pd.DataFrame(self._scores(), columns=Score._fields)

    def declare(self, score: Score, *, replace: bool = False) -> None:
        """Adds a score to the catalog; of those for one purpose, one is canonical.

        Args:
            score: the score; its model must be registered.
            replace: whether it may take the place of another canonical score, or of one with its name.

        Raises:
            ConfigError: if it may not.
            RunError: if no model is called so.
        """
        self.entry(score.model)
        _write(self.folder / _SCORES, [s._asdict() for s in with_score(self._scores(), score, replace=replace)])

    def canonical(self, purpose: str) -> Score:
        """The score to use for a purpose.

        Raises:
            RunError: if there is none.
        """
        for score in self._scores():
            if score.purpose == purpose and score.canonical:
                return score
        raise RunError(
            f"{self.folder}: no score is for {purpose!r}; there are {sorted(set(self.scores()['purpose']))}."
        )

    def _scores(self) -> list[Score]:
        return [Score(**stored) for stored in _read(self.folder / _SCORES, Score._fields)]

    def _point(self, name: str, alias: str, *versions: int, reason: str) -> None:
        """Points an alias to a version; to several one after the other, in one writing."""
        changes = [{"alias": alias, "version": version, "at": _now(), "reason": reason} for version in versions]
        _write(self.folder / name / _ALIASES, [*self.history(name), *changes])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _read(path: Path, fields: tuple[str, ...]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if any(set(row) != set(fields) for row in rows):
            raise ValueError(f"each row should have {', '.join(fields)}")
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}). Restore it from a backup.") from error
    return rows


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
