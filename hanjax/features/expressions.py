"""Expressions of features: DuckDB's SQL, that of the users themselves, and what it may not do."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hanjax.errors import ConfigError
from hanjax.features.feature import Feature
from hanjax.features.source import KNOWN, TIME, first_line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_NUMERIC += ("UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")

_CLOCKS = {"current_date", "current_time", "current_timestamp", "current_localtime", "current_localtimestamp"}
_CLOCKS |= {"localtime", "localtimestamp", "age"}
"""What depends on when it is called: ``age`` of one argument does."""


def connect(timezone: str) -> "DuckDBPyConnection":
    """A connection that has one thread and reaches neither files, the network nor Python's variables."""
    import duckdb

    shut = ("python_enable_replacements", "enable_external_access", "autoinstall_known_extensions")
    connection = duckdb.connect(":memory:", config={"threads": 1, **dict.fromkeys(shut, False)})
    connection.execute(f"SET TimeZone = '{timezone}'")  # which zoneinfo knows, so that it holds no quote
    return connection


def check_expressions(features: Iterable[Feature], tables: dict[str, pa.Table], timezone: str) -> None:
    """Raises a ConfigError unless each feature's expression is one number, of nothing but its rows.

    Args:
        features: those without an expression are passed over.
        tables: their sources, as ``read_source`` gives them.
        timezone: of the mart.
    """
    with connect(timezone) as connection:
        # Of date_diff and others one form alone depends on more than its arguments: on the time zone, which is set.
        unsteady = (
            "SELECT function_name FROM duckdb_functions() GROUP BY ALL HAVING bool_and(stability <> 'CONSISTENT')"
        )
        changing = {row[0] for row in connection.execute(unsteady).fetchall()} | _CLOCKS
        for feature in features:
            if feature.expression is not None:
                columns = {name.lower() for name in tables[feature.source].column_names}
                _check_parts(connection, feature, changing - columns)
                _check_type(connection, feature, tables[feature.source])


def _check_parts(connection: "DuckDBPyConnection", feature: Feature, changing: set[str]) -> None:
    """Raises if an expression is no SQL, is several, or has parts that see more than its rows."""
    where = f"{feature.name}.expression: {feature.expression!r}"
    asked = f"SELECT ({feature.expression}\n)"
    parsed = json.loads(connection.execute("SELECT json_serialize_sql(?)", [asked]).fetchall()[0][0])
    if parsed["error"]:
        raise ConfigError(f"{where} is no SQL ({parsed['error_message']}).")
    nodes = list(_nodes(parsed["statements"]))
    kinds = {node.get("class") for node in nodes}
    columns = sum(len(node.get("select_list", ())) for node in nodes)
    if len(parsed["statements"]) != 1 or columns != 1 or "SUBQUERY" in kinds:
        raise ConfigError(f"{where} is not one expression without queries of its own.")
    if "WINDOW" in kinds:
        raise ConfigError(f"{where} has a window (OVER), which would see other rows.")
    called = {str(node["function_name"]).lower() for node in nodes if "function_name" in node}
    called |= {str(node["column_names"][-1]).lower() for node in nodes if "column_names" in node}  # CURRENT_DATE
    if called & changing:
        raise ConfigError(f"{where}: {min(called & changing)} gives something else at another time. Leave it out.")


def _check_type(connection: "DuckDBPyConnection", feature: Feature, table: pa.Table) -> None:
    """Raises if DuckDB finds a column missing, no aggregate where one has to be, or something that is no number."""
    import duckdb

    where = f"{feature.name}.expression: {feature.expression!r}"
    rows, grouped = ", 0.0 AS days_before FROM empty", f"GROUP BY {TIME}"
    if feature.how == "latest":
        rows, grouped = " FROM empty", ""
    connection.register("empty", table.slice(0, 0))
    try:
        asked = f"DESCRIBE SELECT {TIME}, ({feature.expression}\n) FROM (SELECT *{rows}) {grouped}"
        kind = connection.execute(asked).fetchall()[-1][1]
    except duckdb.Error as problem:
        shown = ", ".join(name for name in table.column_names if name not in (TIME, KNOWN))
        what = "an aggregate" if feature.how == "window" else "the value of one row"
        raise ConfigError(
            f"{where} is not {what} of {feature.source} ({first_line(problem)}), which has the columns {shown}."
        ) from None
    if not kind.startswith(_NUMERIC):
        raise ConfigError(f"{where} is {kind}, but a feature is a number.")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a parsed query."""
    if isinstance(tree, dict):
        yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(part)
