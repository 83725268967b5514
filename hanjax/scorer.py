"""A model as a scikit-learn estimator, for its cross-validation, searches and pipelines of measures.

A row is a sample: one account at one cut-off. Rows cannot be told apart from the tables that they come from, so they
travel as ``Samples``, which scikit-learn can index; the accounts are the groups by which they must be split.
"""

import copy
import dataclasses
import inspect
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from hanjax.api.data import encode
from hanjax.api.fitting import fit
from hanjax.api.given import Data, tables_of
from hanjax.api.scoring import score, score_encoded
from hanjax.config import Config
from hanjax.data.frames import frames
from hanjax.data.panel import make_panel
from hanjax.data.splits import take_accounts
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.evaluation.metrics import auc
from hanjax.run import Run
from hanjax.settings import check_names, require
from hanjax.types import Scores, Tables, hard_label

_SPLITS = ("test", "test_fold", "until")
_SETTINGS = {
    one.name: one.default
    for part in dataclasses.fields(Config)
    for one in dataclasses.fields(part.type)
    if one.name not in _SPLITS
}


@dataclasses.dataclass(frozen=True)
class Samples:
    """Samples whose outcome is known, as rows that scikit-learn can count and index.

    Args:
        tables: the whole data set that they are from, shared by all subsets.
        rows: one row a sample: ``account_id``, ``cutoff``, the segments of outcomes if there are any, ``label`` (0 or
            1), and ``of_account``, how many such samples its account has in the whole data set.
    """

    tables: Tables
    rows: pd.DataFrame

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, and what names each of them: account, cut-off, and segments of outcomes."""
        return len(self.rows), len(self.keys)

    @property
    def keys(self) -> list[str]:
        """The columns that name a sample."""
        return [name for name in self.rows if name not in ("label", "of_account")]

    def __getitem__(self, key: Any) -> "Samples":
        """Some of the samples, by position, slice or mask."""
        key = key[0] if isinstance(key, tuple) else key  # scikit-learn writes samples[key, ...]
        return dataclasses.replace(self, rows=self.rows.iloc[[key] if np.isscalar(key) else key])

    def __repr__(self) -> str:
        """Says how many samples there are, of how many accounts."""
        accounts, conversions = self.rows["account_id"].nunique(), int(self.rows["label"].sum())
        return f"Samples({len(self):,} of {accounts:,} accounts, {conversions:,} conversions)"


class Scorer(ClassifierMixin, BaseEstimator):
    """The model of ``hanjax.fit`` as a scikit-learn classifier of samples.

    A row is an account at a cut-off, its class whether the account converts in the period that begins there. So
    scikit-learn's measures mean what ``hanjax.evaluate`` means by them, and the split has to be one of accounts: give
    ``groups`` and a splitter by groups. Any other split is refused in ``fit``, since it would train on the accounts
    that it tests on. The accounts that ``fit`` is given are for training alone, those of ``validation`` among them;
    hence the settings ``test``, ``test_fold`` and ``until`` are not there.

    A pickle of it holds the files of a run folder, as bytes: arrays without objects, JSON and CSV. To hand a model to
    somebody else, ``run_.write`` them as a folder all the same, for whoever unpickles runs what the pickle says.

    Args:
        **settings: every other setting of ``hanjax.Config``, by its name and with its default.

    Attributes:
        run_: the trained ``hanjax.Run``.
        classes_: 0 and 1.

    Raises:
        ConfigError: if there is no such setting; in ``fit``, if a value cannot work.

    Example:
        >>> import hanjax
        >>> from hanjax.scorer import Scorer
        >>> from sklearn.model_selection import StratifiedGroupKFold
        >>> market = hanjax.simulate(accounts=40, conversions=0.5, seed=1)
        >>> scorer = Scorer(epochs=1, activity_width=4, window_width=4, member_width=4)
        >>> X, y, groups = scorer.samples(market.tables)
        >>> train, test = next(StratifiedGroupKFold(2).split(X, y, groups))  # as ``cross_val_score`` does
        >>> scorer.fit(X[train], y[train]).predict_proba(X[test]).shape == (len(test), 2)
        True
    """

    run_: Run

    def __init__(self, **settings: Any):
        """Takes the settings as they are; they are checked when a model is trained."""
        check_names(settings, _SETTINGS, "the settings")
        for name, default in _SETTINGS.items():
            setattr(self, name, settings.get(name, default))

    # From this scikit-learn reads what parameters there are.
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        + [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in _SETTINGS.items()]
    )

    @classmethod
    def of(cls, config: Config, **changes: Any) -> "Scorer":
        """A scorer with the settings of a configuration, such as ``Config.recommended()``.

        Args:
            config: the settings; its ``test`` is left aside.
            **changes: settings that are to be others.

        Raises:
            ConfigError: if the configuration says which accounts or times to test on, which the rows do here.
        """
        for name in ("test_fold", "until"):
            value = getattr(config.train, name)
            require(value is None, name, value, "none, because what is tested on is left out of the rows given to fit")
        own = {name: value for part in config.to_dict().values() for name, value in part.items() if name in _SETTINGS}
        return cls(**{**own, **changes})

    @property
    def config(self) -> Config:
        """All settings, checked.

        Raises:
            ConfigError: if a value cannot work.
        """
        return Config().replace(test=0, **self.get_params(deep=False))

    @property
    def classes_(self) -> Int[np.ndarray, " 2"]:
        """The classes: no conversion in the period, and a conversion."""
        return np.array([0, 1])

    def samples(self, data: Data) -> tuple[Samples, Int[np.ndarray, " n"], np.ndarray]:
        """The rows of a data set under these settings, what became of them, and the groups to split them by.

        Args:
            data: tables, or their folder.

        Returns:
            ``X``: every sample whose outcome within the first horizon is known; ``y``: 1 where the account converts, 0
            where not; ``groups``: the account's id.

        Raises:
            DataError: if the tables are not what they should be.
        """
        tables = tables_of(data)
        panel = encode(tables, self.config.panel)
        label = hard_label(panel.batch.label[:, 0])
        rows = panel.samples[panel.keys].assign(label=label)[~np.isnan(label)].astype({"label": int})
        rows = rows.assign(of_account=rows.groupby("account_id")["label"].transform("size")).reset_index(drop=True)
        return Samples(tables, rows), rows["label"].to_numpy(), rows["account_id"].to_numpy()

    def fit(self, X: Samples | Data, y: Any = None) -> "Scorer":
        """Trains on all accounts of a data set, or on those of some samples.

        Args:
            X: samples, or tables or their folder.
            y: the outcomes that ``samples`` gave. The model learns those of the tables, so no others are taken.

        Returns:
            The scorer itself.

        Raises:
            ConfigError: if a setting has a value that cannot work.
            DataError: if some but not all samples of an account are given, the outcomes are not those of the tables,
                or the accounts are too few to train and validate on.
        """
        config = self.config
        if not isinstance(X, Samples):
            require(y is None, "y", type(y).__name__, "none beside tables, which hold the outcomes")
            self.run_ = fit(X, config=config)
            return self
        _require_whole_accounts(X)
        if y is not None and not np.array_equal(np.asarray(y), X.rows["label"].to_numpy()):
            raise DataError("y: not the outcomes of these samples. Give what `samples` gave, in the same order.")
        # As a fold: the other accounts are never read, and yet the log ends where it does with them.
        accounts = pd.Index(frames(X.tables._replace(folds=None), config.panel).accounts["account_id"].to_pylist())
        accounts = accounts.unique()
        folds = pd.DataFrame({"account_id": accounts, "fold": accounts.isin(X.rows["account_id"]).astype(int)})
        config = config.replace(test_fold=0) if 0 in folds["fold"].array else config
        self.run_ = fit(X.tables._replace(folds=folds), config=config)
        return self

    def scores(self, X: Samples | Data, *, as_of: Any = None) -> Scores:
        """The joint scores of accounts and individuals.

        Args:
            X: samples, or tables or their folder.
            as_of: a date, if X is tables: scores at the start of the period that holds it; None for every cut-off.

        Returns:
            Scores as of ``hanjax.score``; of samples, one row each in their order, ranked among their accounts.

        Raises:
            DataError: if the tables are not what they should be, or a sample is none under these settings.
            NotFittedError: if nothing was trained yet.
        """
        check_is_fitted(self)
        if not isinstance(X, Samples):
            return score(self.run_, X, as_of=as_of)
        require(as_of is None, "as_of", as_of, "none beside samples, which have their own cut-offs")
        panel_config = self.run_.config.panel
        log = check(X.tables, panel_config)
        log = take_accounts(log, log.account_ids.isin(X.rows["account_id"]))
        found = score_encoded(self.run_, make_panel(log, panel_config, self.run_.encoding)[0])
        wanted = pd.MultiIndex.from_frame(X.rows[X.keys])
        place = pd.MultiIndex.from_frame(found.accounts[X.keys]).get_indexer(wanted)
        if (place < 0).any():
            first = ", ".join(f"{account} at {cutoff}" for account, cutoff, *_ in wanted[place < 0][:5])
            raise DataError(
                f"X: {(place < 0).sum():,} of {len(X):,} samples are none under the settings of the model (first: "
                f"{first}). Make them with the `samples` of a scorer with the same settings of the data."
            )
        of_wanted = pd.MultiIndex.from_frame(found.individuals[X.keys]).isin(wanted)
        return Scores(
            found.accounts.iloc[place].reset_index(drop=True), found.individuals[of_wanted].reset_index(drop=True)
        )

    def predict_proba(self, X: Samples | Data) -> Float[np.ndarray, "n 2"]:
        """Probabilities of no conversion and of a conversion in the period, one row a sample.

        Args:
            X: samples, or tables or their folder, whose rows are those of ``scores(X).accounts``.
        """
        converts = self.scores(X).accounts["probability"].to_numpy()
        return np.stack([1 - converts, converts], axis=1)

    def predict(self, X: Samples | Data) -> Int[np.ndarray, " n"]:
        """Whether a conversion is likelier than none; conversions are rare, so it seldom is.

        Args:
            X: samples, or tables or their folder.
        """
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(int)

    def score(self, X: Samples | Data, y: Any = None) -> float:
        """The AUC over all samples, as in ``hanjax.evaluate``; accuracy says nothing where conversions are rare.

        Args:
            X: samples, or tables or their folder. Accounts that were trained on make it too high.
            y: outcomes of samples; None for those of the tables.

        Returns:
            The AUC, NaN where all samples have the same outcome.
        """
        if not isinstance(X, Samples):
            require(y is None, "y", type(y).__name__, "none beside tables, which hold the outcomes")
            X, y, _ = self.samples(X)
        labels = X.rows["label"].to_numpy() if y is None else np.asarray(y)
        return float(auc(self.predict_proba(X)[:, 1], labels))

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the settings, and the files of the run folder as bytes."""
        state = dict(self.__dict__)
        if "run_" in state:
            with TemporaryDirectory() as folder:
                copy.copy(self.run_).write(folder)  # a copy, since writing changes where it lies
                state["run_"] = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Reads the files as those of a run folder are read.

        Raises:
            RunError: if they are damaged, or of another version.
        """
        state = dict(state)
        if "run_" in state:
            with TemporaryDirectory() as folder:
                for name, content in state["run_"].items():
                    (Path(folder) / name).write_bytes(content)
                state["run_"] = dataclasses.replace(Run.read(folder), folder=None)
        self.__dict__.update(state)


def _require_whole_accounts(samples: Samples) -> None:
    """Refuses samples of accounts of which others are missing, or some are there twice."""
    rows = samples.rows
    given = rows.groupby("account_id")["of_account"].transform("size")
    wrong = rows.loc[given != rows["of_account"], "account_id"].unique()
    if len(wrong) or rows.duplicated(samples.keys).any():
        first = ", ".join(map(str, wrong[:5]))
        raise DataError(
            f"X: {len(wrong):,} of {rows['account_id'].nunique():,} accounts are not there with all their samples, "
            f"each once (first: {first}). An account that is trained on cannot be tested on: split by groups, as in "
            "cross_val_score(..., groups=groups, cv=GroupKFold(5))."
        )
