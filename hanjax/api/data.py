"""What a data set holds: the profile, the panel, and when accounts converted."""

import pandas as pd

from hanjax.api.given import Data, settings_of, tables_of
from hanjax.config import PanelConfig
from hanjax.data.encoding import Encoding, fit_encoding
from hanjax.data.log import NEVER
from hanjax.data.panel import make_panel
from hanjax.data.profile import Profile, profile
from hanjax.data.tables import check
from hanjax.types import Panel


def encode(data: Data, config: PanelConfig | None = None, *, encoding: Encoding | None = None) -> Panel:
    """Turns tables into the panel of samples that models are trained on and score.

    Args:
        data: tables, or their folder.
        config: the data's settings; None for the defaults.
        encoding: vocabulary, levels and scales fitted before (``run.encoding``); None to fit them on all accounts.

    Returns:
        The panel, with a report of everything that was left out.

    Raises:
        DataError: if the tables are not what they should be; the message says where and what to do.

    Example:
        >>> import hanjax
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> panel.batch.windows.shape[1]
        4
    """
    config = settings_of(config, PanelConfig)
    log = check(tables_of(data), config)
    return make_panel(log, config, encoding or fit_encoding(log, config))[0]


def describe(data: Data, config: PanelConfig | None = None) -> Profile:
    """Says what a data set holds, beside the paper's figures, and what would be left out and why.

    Args:
        data: tables, or their folder.
        config: the data's settings; None for the defaults.

    Returns:
        The profile; ``print`` shows it.

    Raises:
        DataError: if the tables are not what they should be.

    Example:
        >>> import hanjax
        >>> profile = hanjax.describe(hanjax.simulate(accounts=20, seed=0).tables)
        >>> profile.figures.index[0]
        'accounts'
    """
    config = settings_of(config, PanelConfig)
    log = check(tables_of(data), config)
    return profile(log, config, make_panel(log, config, fit_encoding(log, config))[0])


def conversions(data: Data, config: PanelConfig | None = None) -> pd.Series:
    """When accounts converted, to be drawn beside their scores.

    Args:
        data: tables, or their folder.
        config: the data's settings; None for the defaults.

    Returns:
        The time of conversion by account id, in the settings' time zone, of the accounts that have converted.

    Example:
        >>> import hanjax
        >>> from hanjax.api import conversions
        >>> len(conversions(hanjax.simulate(accounts=50, conversions=0.2, seed=0).tables))
        10
    """
    config = settings_of(config, PanelConfig)
    log = check(tables_of(data), config)
    converted = log.converted_at != NEVER
    times = pd.DatetimeIndex(log.converted_at[converted].view("datetime64[us]")).tz_localize("UTC")
    return pd.Series(times.tz_convert(config.timezone), index=log.account_ids[converted])
