"""What the data say of a model's size, and which batches fit it."""

from dataclasses import dataclass

import numpy as np

from hanjax.config import ModelConfig
from hanjax.errors import ConfigError, DataError
from hanjax.types import Batch


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the data say of a model's size; fitted on the training accounts and stored with the model.

    Args:
        vocabulary: number of activity ids, those of padding (0) and the unknown activity (1) included.
        levels: for each static category, its number of ids, those of padding and the unknown level included.
        numbers: number of account numbers: static ones, then those as of the cut-off.
        horizons: number of outcomes.
        max_members: largest number of members of a group.
        member_numbers: number of numbers of each member.
        window_ages: whether it is known how many periods back each period of a window lies.
        segments: for each factor of segments, its number of ids, those of the missing and the unknown level included.

    Raises:
        ConfigError: if a size cannot be.
    """

    vocabulary: int
    levels: tuple[int, ...] = ()
    numbers: int = 0
    horizons: int = 1
    max_members: int = 25
    member_numbers: int = 0
    window_ages: bool = False
    segments: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks each size."""
        lowest = {"vocabulary": 2, "numbers": 0, "horizons": 1, "max_members": 1, "member_numbers": 0}
        wrong = [f"{name}={getattr(self, name)}" for name, least in lowest.items() if getattr(self, name) < least]
        for name in ("levels", "segments"):
            wrong += [f"{name}={getattr(self, name)}"] if min(getattr(self, name), default=2) < 2 else []
        if wrong:
            raise ConfigError(f"Sizes: {', '.join(wrong)} (ids number at least 2: padding and the unknown).")

    @classmethod
    def of(cls, batch: Batch) -> "Sizes":
        """The smallest sizes that hold a batch.

        Args:
            batch: every id that is to be known occurs in it; later batches can be compared with ``check``.

        Example:
            >>> import numpy as np
            >>> sizes = Sizes.of(Batch.from_dense(np.full((2, 3, 4, 9), 5), members=np.ones((2, 3), bool)))
            >>> sizes.vocabulary, sizes.max_members
            (6, 3)
        """
        return cls(
            vocabulary=max(2, int(np.max(batch.sequences)) + 1),
            levels=tuple(max(2, int(most) + 1) for most in np.max(batch.individuals, axis=0)),
            numbers=_numbers(batch),
            horizons=batch.label.shape[1],
            max_members=max(1, batch.members.shape[1]),
            member_numbers=0 if batch.member_numbers is None else batch.member_numbers.shape[2],
            window_ages=batch.window_ages is not None,
            segments=()
            if batch.segments is None
            else tuple(max(2, int(n) + 1) for n in np.max(batch.segments, axis=0)),
        )

    def check(self, batch: Batch, config: ModelConfig | None = None) -> None:
        """Refuses a batch that is too large; JAX itself takes an id beyond its table for another one, without a word.

        It reads values, so it belongs outside of ``jit``.

        Args:
            batch: any batch; its ids and numbers of columns are compared.
            config: the model's settings, if the batch is also to hold what they read.

        Raises:
            DataError: if an id is beyond these sizes, or there are other columns than the network takes.
        """
        own, wrong = Sizes.of(batch), []
        if own.vocabulary > self.vocabulary:
            wrong.append(f"sequences hold the id {own.vocabulary - 1}, and vocabulary is {self.vocabulary}")
        if len(own.levels) != len(self.levels):
            wrong.append(f"individuals have {len(own.levels)} categories instead of {len(self.levels)}")
        for column, (here, most) in enumerate(zip(own.levels, self.levels, strict=False)):
            if here > most:
                wrong.append(f"column {column} of individuals holds the id {here - 1}, and levels[{column}] is {most}")
        for factor, (here, most) in enumerate(zip(own.segments, self.segments, strict=False)):
            if here > most:
                wrong.append(f"factor {factor} of segments holds the id {here - 1}, and segments[{factor}] is {most}")
        wrong += self.misfits(batch, config)
        if own.horizons != self.horizons and np.any(batch.label_mask):
            wrong.append(f"label has {own.horizons} horizons instead of {self.horizons}")
        if own.max_members > self.max_members:
            wrong.append(f"members have {own.max_members} places, and max_members is {self.max_members}")
        _refuse(wrong)

    def check_fields(self, batch: Batch, config: ModelConfig) -> None:
        """Refuses a batch without what the network reads. It looks at shapes alone, and so belongs inside of ``jit``.

        Args:
            batch: any batch.
            config: the model's settings.

        Raises:
            DataError: if a field is missing, or has another number of columns than the network takes.
        """
        _refuse(self.misfits(batch, config))

    def misfits(self, batch: Batch, config: ModelConfig | None = None) -> list[str]:
        """What a batch's fields lack, and where their columns are others than the network takes, by their shapes."""
        wrong = []
        if (here := _numbers(batch)) != self.numbers:
            wrong.append(f"accounts have {here} numbers instead of {self.numbers}")
        if (here := 0 if batch.member_numbers is None else batch.member_numbers.shape[-1]) != self.member_numbers:
            wrong.append(f"members have {here} numbers instead of {self.member_numbers}")
        if (batch.window_ages is not None) != self.window_ages:
            wrong.append(f"window_ages are {'missing' if self.window_ages else 'there, and the network takes none'}")
        if (here := 0 if batch.segments is None else batch.segments.shape[-1]) != len(self.segments):
            wrong.append(f"segments have {here} factors instead of {len(self.segments)}")
        if config is not None and config.period_input != "sequence":
            if batch.counts is None or batch.count_windows is None:
                needs = f"period_input={config.period_input!r} needs them"
                wrong.append(f"counts or count_windows are missing, and {needs}: encode with `volumes`")
            elif batch.counts.shape[1] != self.vocabulary:
                wrong.append(f"counts have {batch.counts.shape[1]} columns, and vocabulary is {self.vocabulary}")
        if config is not None and config.time != "none" and batch.gaps is None:
            wrong.append(f"gaps are missing, and time={config.time!r} needs them: encode with `gaps`")
        return wrong


def _numbers(batch: Batch) -> int:
    """How many numbers ``account_numbers`` gives."""
    return batch.accounts.shape[1] + (0 if batch.account_numbers is None else batch.account_numbers.shape[1])


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise DataError(f"The batch does not fit the sizes of the network: {'; '.join(wrong)}.")
