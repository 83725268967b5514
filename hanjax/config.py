"""Every setting, in three frozen dataclasses: how data become samples, the model, and its training.

Each field's ``help`` is what the command line shows. ``Config`` holds the three together, reads and writes JSON.
"""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hanjax.settings import build, check_names, check_types, read_settings, require, setting

ACCOUNT_NUMBERS = (
    "periods_observed",
    "log_periods_observed",
    "individuals_so_far",
    "active_individuals",
    "activities",
    "activity_counts",
)
"""Numbers of an account as of a cut-off: periods since its observation began, and log(1 + them); individuals who had
arrived; individuals who were active within the window, and their untruncated activities within it; and these apart for
each activity and each of the last W calendar periods, which alone adds W columns an activity."""

MEMBER_NUMBERS = ("periods_since_arrival", "periods_since_activity", "active_periods", "activities")
"""Numbers of a member as of a cut-off: periods since the arrival, periods since the latest active one (since arrival if
there was none), how many periods were active so far, and untruncated activities so far."""


@dataclass(frozen=True, kw_only=True)
class PanelConfig:
    """How an activity log becomes samples.

    Raises:
        ConfigError: if a value cannot work.
    """

    period: str = setting("W-SAT", "W-SAT (weeks, Sunday to Saturday), D, M, Q, or another pandas period, or days: 10D")
    timezone: str = setting("UTC", "time zone of naive timestamps, and of the periods' boundaries")
    window: int = setting(4, "periods in a sample's rolling window (W)")
    window_kind: Literal["calendar", "active"] = setting(
        "calendar", "the last W calendar periods, or the last W periods in which the individual was active"
    )
    max_activities: int = setting(9, "activities kept of one individual in one period (L)")
    keep: Literal["last", "first"] = setting("last", "which end of a longer sequence is kept")
    max_members: int = setting(25, "members kept of an account (K): the most recently active at the cut-off")
    membership: Literal["arrived", "active"] = setting(
        "arrived", "a member is whoever has arrived by the cut-off, or only who was active within the window"
    )
    horizons: tuple[int, ...] = setting((1,), "periods ahead within which a conversion counts, one label each")
    opt_out_activity: str | None = setting(None, "activity after whose period an individual is left out")
    account_numbers: tuple[str, ...] = setting(
        ("periods_observed", "individuals_so_far"),
        f"numbers of the account as of the cut-off that the model is offered, of {', '.join(ACCOUNT_NUMBERS)}",
    )
    member_numbers: tuple[str, ...] = setting(
        (), f"numbers of each member as of the cut-off that the model is offered, of {', '.join(MEMBER_NUMBERS)}"
    )
    volumes: bool = setting(False, "also keep untruncated volumes per activity, individual and period")
    gaps: bool = setting(False, "also keep the time since the individual's previous activity")
    window_ages: bool = setting(False, "also keep how many periods back each period of a window lies")
    expand_counts: bool = setting(False, "repeat an event `count` times in the sequence instead of once")
    exclude: tuple[str, ...] = setting((), "columns of individuals or accounts that are not features")
    columns: tuple[tuple[str, str], ...] = setting((), "other names of columns, as pairs: standard=theirs")
    strays: Literal["error", "drop"] = setting(
        "error", "rows that fit nowhere (unknown ids, outside observation): an error, or left out and counted"
    )

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        for name in ("window", "max_activities", "max_members"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "an integer of at least 1")
        ahead = self.horizons
        rising = len(ahead) > 0 and min(ahead) >= 1 and list(ahead) == sorted(set(ahead))
        require(rising, "horizons", ahead, "increasing numbers of periods, from 1 on")
        for name, known in (("account_numbers", ACCOUNT_NUMBERS), ("member_numbers", MEMBER_NUMBERS)):
            require(set(getattr(self, name)) <= set(known), name, getattr(self, name), f"some of {known}")

    @classmethod
    def paper(cls) -> "PanelConfig":
        """The paper's data: four weeks, nine activities, up to 25 members, nothing but activities and statics."""
        return cls(account_numbers=(), opt_out_activity="unsubscribe email")

    @classmethod
    def recommended(cls) -> "PanelConfig":
        """Order and volume, ages as of the cut-off, and conversions within three horizons as joint targets."""
        numbers = tuple(name for name in ACCOUNT_NUMBERS if name != "activity_counts")
        return cls(volumes=True, account_numbers=numbers, horizons=(1, 4, 13))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The hierarchical attention network.

    Raises:
        ConfigError: if a value cannot work.
    """

    aggregator: Literal[
        "fnn",
        "gru",
        "gru_attention",
        "maximum",
        "at_least_one",
        "geometric_mean",
        "mean_probability",
        "mean_log_odds",
        "gated_attention",
        "set_transformer",
    ] = setting("gru_attention", "how members become an account")
    account_head: bool = setting(
        False, "a layer with the account's numbers after an aggregation of probabilities, as in the paper's section 5.2"
    )
    period_input: Literal["sequence", "counts", "both"] = setting(
        "sequence", "what a period is read from: the sequence of its activities, their counts, or both"
    )
    count_scale: Literal["log", "raw"] = setting("log", "counts enter as log(1 + n), or as they are")
    time: Literal["none", "concatenated", "gated"] = setting(
        "none", "the time between activities: unused, joined to each activity, or a gate of the recurrent cell"
    )
    bidirectional: bool = setting(False, "the recurrent layers over activities and over periods run both ways")
    activity_width: int = setting(40, "hidden size of the activity layer; the paper uses 40 and 56")
    window_width: int = setting(20, "hidden size of the layer over periods")
    member_width: int = setting(20, "size of an individual's representation before a neural aggregation")
    category_width: int = setting(4, "size of the embedding of each static category")
    activity_embedding: int | None = setting(None, "size of the activities' embedding; none: one-hot")
    head_width: int | None = setting(
        None, "size of a hidden layer between a neural aggregation and the log-odds; none: no such layer"
    )
    dropout: float = setting(0.0, "share of an individual's representation that a training step leaves out")
    member_dropout: float = setting(0.0, "share of the members that a training step leaves out; one always stays")
    segments: tuple[str, ...] = setting(
        (),
        "columns of text, such as region, or several crossed, such as region:industry, whose levels have small effects "
        "of their own, which borrow strength from each other: the fewer samples, the closer to the global model",
    )

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        for name in ("activity_width", "window_width", "member_width", "category_width"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "an integer of at least 1")
        for name in ("activity_embedding", "head_width"):
            size = getattr(self, name)
            require(size is None or size >= 1, name, size, "at least 1, or none")
        for name in ("dropout", "member_dropout"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and below 1")
        factors = [factor.split(":") for factor in self.segments]
        whole = all(columns and all(columns) and len(set(columns)) == len(columns) for columns in factors)
        distinct = len({frozenset(columns) for columns in factors}) == len(factors)
        require(whole and distinct, "segments", self.segments, "each factor once, as columns joined by ':'")

    @classmethod
    def paper(cls) -> "ModelConfig":
        """The paper's sizes (section 5.3) with its best aggregation, many-to-many GRU and attention."""
        return cls()

    @classmethod
    def recommended(cls) -> "ModelConfig":
        """Mean log-odds of individuals read from order and counts, and a layer with the account's numbers."""
        return cls(
            aggregator="mean_log_odds",
            account_head=True,
            period_input="both",
            activity_width=24,
            window_width=12,
            member_width=12,
            dropout=0.5,
            member_dropout=0.1,
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How accounts are split and a model is trained.

    Raises:
        ConfigError: if a value cannot work.
    """

    test: float | int = setting(0.15, "share (or number) of the accounts that training never reads")
    test_fold: int | None = setting(None, "use this fold of the table `folds` as the test accounts instead")
    validation: float = setting(0.15, "share of the training accounts kept to choose the epoch; 0: none")
    until: str | None = setting(None, "train only on what was known before this date, and test on what came after")
    epochs: int = setting(20, "passes over the training samples, at most")
    batch_size: int = setting(512, "samples in a step")
    learning_rate: float = setting(0.01, "of Adam")
    positive_weight: float | None = setting(
        None, "weight w of a conversion in the loss, undone in probabilities; none: as many as there are other samples"
    )
    loss: Literal["account", "individual"] = setting(
        "account", "the loss is the account's, or each individual's with the account's outcome (no joint learning)"
    )
    weight_decay: float = setting(0.0, "of AdamW, per step and unit of learning rate; 0: plain Adam")
    ema_epochs: float = setting(
        0.0, "time constant of an exponential moving average of the parameters, which is what predicts; 0: none"
    )
    ensemble: int = setting(1, "networks that are trained side by side from different first parameters, and averaged")
    cross_validation: bool = setting(
        False, "each network of the ensemble keeps another part of the training accounts to choose the epoch"
    )
    patience: int | None = setting(10, "stop after this many epochs without a better validation AUC; none: never")
    calibration: Literal["none", "platt", "isotonic"] = setting(
        "none",
        "what is learned from the accounts that chose the epoch, to make probabilities truer: nothing, two numbers, or "
        "any rising curve, which takes hundreds of conversions",
    )
    gradient_clip: float | None = setting(None, "largest norm of a step's gradient; none: no clipping")
    seed: int = setting(0, "of the split, the parameters and the order of the samples")
    split_seed: int | None = setting(None, "of the split alone; none: the seed")

    def __post_init__(self) -> None:
        """Checks each value."""
        check_types(self)
        for name in ("epochs", "batch_size", "ensemble"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "an integer of at least 1")
        require(0 < self.learning_rate < math.inf, "learning_rate", self.learning_rate, "above 0")
        alone = self.cross_validation and self.ensemble == 1
        require(not alone, "ensemble", self.ensemble, "at least 2, because of cross_validation=True")
        for name in ("weight_decay", "ema_epochs"):
            require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "at least 0")
        weight = self.positive_weight
        require(weight is None or 0 < weight < math.inf, "positive_weight", weight, "above 0, or none")
        require(0 <= self.validation < 1, "validation", self.validation, "at least 0 and below 1")
        share = isinstance(self.test, int) or self.test < 1
        require(self.test >= 0 and share, "test", self.test, "a share below 1, or a number of accounts")
        kept = self.calibration == "none" or self.cross_validation or self.validation > 0
        require(kept, "validation", self.validation, f"above 0, because of calibration={self.calibration!r}")
        require(self.patience is None or self.patience >= 1, "patience", self.patience, "at least 1, or none")
        require(self.gradient_clip is None or self.gradient_clip > 0, "gradient_clip", self.gradient_clip, "above 0")
        for name in ("seed", "split_seed"):
            seed = getattr(self, name)
            require(seed is None or 0 <= seed < 2**32, name, seed, "at least 0 and below 2**32")

    @property
    def seed_of_split(self) -> int:
        """The seed by which accounts are split and dealt."""
        return self.seed if self.split_seed is None else self.split_seed

    @classmethod
    def paper(cls) -> "TrainConfig":
        """The paper's training: w = 500, a fixed 20 epochs, no selection, 381 of 2516 accounts for the test."""
        return cls(positive_weight=500.0, validation=0.0, patience=None, test=381 / 2516)

    @classmethod
    def recommended(cls) -> "TrainConfig":
        """Four networks with decaying weights, each with its own accounts to choose the epoch."""
        return cls(epochs=40, weight_decay=0.1, ensemble=4, cross_validation=True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run.

    Raises:
        ConfigError: if the model needs what the settings of the data leave out.
    """

    panel: PanelConfig = field(default_factory=PanelConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Checks that the data hold what the model reads."""
        model, panel = self.model, self.panel
        for needed, name, value in (
            (model.period_input != "sequence", "volumes", f"period_input={model.period_input!r}"),
            (model.time != "none", "gaps", f"time={model.time!r}"),
        ):
            require(not needed or getattr(panel, name), name, getattr(panel, name), f"True, because of {value}")

    @classmethod
    def paper(cls) -> "Config":
        """The paper's own settings throughout."""
        return cls(panel=PanelConfig.paper(), model=ModelConfig.paper(), train=TrainConfig.paper())

    @classmethod
    def recommended(cls) -> "Config":
        """Mean log-odds of order and volume, ages as of the cut-off, three horizons, dropout, an ensemble."""
        return cls(panel=PanelConfig.recommended(), model=ModelConfig.recommended(), train=TrainConfig.recommended())

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, dict[str, Any]]) -> "Config":
        """The settings in a nested dictionary, defaults where it is silent.

        Raises:
            ConfigError: if it names a setting that does not exist, or a value cannot work.

        Example:
            >>> from hanjax.config import Config
            >>> Config.from_dict({"train": {"epochs": 3}}).train.epochs
            3
        """
        parts = {part.name: part.type for part in dataclasses.fields(cls)}
        check_names(stored, parts, "the groups of settings")
        return cls(**{name: build(parts[name], name, values) for name, values in stored.items()})

    @classmethod
    def read(cls, path: str | Path) -> "Config":
        """The settings in a JSON or TOML file.

        Raises:
            ConfigError: if there is no such file, it cannot be read, or a setting is wrong.
        """
        stored = read_settings(path)
        # A run folder's config.json says beside the settings who wrote them.
        return cls.from_dict({name: part for name, part in stored.items() if name not in ("format", "version")})

    def write(self, path: str | Path) -> None:
        """Writes the settings as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    def replace(self, **settings: Any) -> "Config":
        """The same settings but for some, each named as in its own dataclass.

        Raises:
            ConfigError: if there is no such setting, or its value cannot work.

        Example:
            >>> from hanjax.config import Config
            >>> Config().replace(period="M", epochs=5).panel.period
            'M'
        """
        owner = {f.name: part.name for part in dataclasses.fields(self) for f in dataclasses.fields(part.type)}
        check_names(settings, owner, "the settings")
        parts: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            parts.setdefault(owner[name], {})[name] = value
        current = self.to_dict()
        return type(self).from_dict({part: {**values, **parts.get(part, {})} for part, values in current.items()})
