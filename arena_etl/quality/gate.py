"""Audit one batch of a table before it is published: with Great Expectations (GX), which only this module and ``page`` know.

A table's suite is what its declaration demands (schema, not-null, unique grain) plus ``expectations/<table>.json`` in
GX's own shape: name, meta, expectations[{type, kwargs, severity, meta, notes}]. In ``meta``, ``owner`` and ``runbook``
come from the suite unless the expectation has its own, ``id`` tells two checks of one type and column apart, and
``quarantine: true`` with a ``reason`` makes a rule: the rows that break it are held back and the others go on.
"""

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb
import pyarrow
import pyarrow.compute

from arena_etl import resources
from arena_etl.config import digest
from arena_etl.errors import InputError
from arena_etl.lake.outcomes import Outcome
from arena_etl.lake.tables import Column, Table
from arena_etl.quality import page

_EXAMPLES = 3
_EXAMPLE_LENGTH = 80
_SAMPLES = 10
DEVIATION, USUAL = "_deviation", "_usual"  # how many spreads a figure is from its usual value, and that value
STRUCTURAL = ("schema", "partition")  # what breaks these has no place in the table, whoever accepts it


@dataclass(frozen=True)
class Held:
    """A row that broke a rule. ``key`` is the row's grain and ``row`` the whole row, both JSON with sorted keys."""

    key: str
    expectation: str
    row: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """``page``: GX's own report of the results, HTML."""

    table: str
    rows: int
    suite_hash: str
    outcomes: tuple[Outcome, ...]
    held: tuple[Held, ...]
    page: str | None = field(default=None, compare=False)

    @property
    def stopped(self) -> bool:
        """A critical expectation failed or is broken on the rows that were not held."""
        return bool(self.reasons)

    @property
    def reasons(self) -> list[str]:
        """One sentence per critical expectation that did not pass."""
        return [
            f"{self.table}: {o.expectation} {'is broken' if o.outcome == 'broken' else 'failed'}: "
            f"observed {o.observed}, limit {o.limit} (owner {o.owner}, see {o.runbook})"
            for o in self.outcomes
            if o.stops
        ]


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite. ``columns``: what it is about; ``reads``: these and the columns of its condition.

    ``never_null``: columns in which a null breaks it. ``measure``: it is about the figures of the batch.
    """

    name: str
    severity: str
    owner: str
    runbook: str
    quarantine: bool
    reason: str
    columns: tuple[str, ...]
    reads: frozenset[str]
    never_null: frozenset[str]
    measure: bool
    expectation: Any


@dataclass(frozen=True)
class Suite:
    hash: str
    owner: str
    runbook: str
    rules: tuple[Rule, ...]


def load(table: Table) -> Suite:
    """The table's declared expectations and those of its file, checked.

    Raises InputError that names the file when it is missing, not JSON, names an unknown type, argument or severity,
    lacks an owner or runbook, has two expectations of one name, or holds rows by a check that is not about rows.
    """
    gx = great_expectations()
    file = resources.EXPECTATIONS / f"{table.name}.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        meta, configured = document["meta"], document["expectations"]
        owner, runbook = meta["owner"], meta["runbook"]
        if set(document) != {"name", "meta", "expectations"} or document["name"] != table.name:
            raise ValueError(f"expected the keys name ({table.name}), meta and expectations")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a suite of {table.name}: {type(error).__name__}: {error}") from error
    rules: dict[str, Rule] = {}
    declared = {_not_null(column) for column in table.columns if not column.nullable}
    for config in (*_declared(table), *configured):
        try:
            rule = _rule(gx, table, config, meta)
            if rule.name in rules or rule.name in declared:
                raise ValueError(f"there is a second {rule.name}: give one of them a meta.id")
        except (gx.exceptions.GreatExpectationsError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: {_json(config)}: {type(error).__name__}: {error}") from error
        rules[rule.name] = rule
    return Suite(digest([_declared(table), document]), owner, runbook, tuple(rules.values()))


def audit(
    table: Table,
    rows: pyarrow.Table,
    parameters: Mapping[str, Any],
    max_quarantine_share: float,
    *,
    partition: Mapping[str, str] | None = None,
    exempt: frozenset[tuple[str, str]] = frozenset(),
    measures: pyarrow.Table | None = None,
) -> tuple[Audit, pyarrow.Table]:
    """Check a batch. Returns the audit and the rows that no rule holds, in their order.

    ``parameters``: values of the ``{"$PARAMETER": name}`` limits. ``max_quarantine_share``: 0 to 1; more held rows than
    this fail the critical outcome ``quarantine_share``. ``partition``: the values that the partition columns must have.
    ``exempt``: (key, expectation) of rows that a person released. ``measures``: a row per ``subject`` with figures of the
    whole batch; without them the expectations about figures are not checked.

    The rules that hold rows see the whole batch, every other check sees the rest. GX passes over nulls, so nulls where the
    rule has something to check are added to its failing rows. A batch of another schema or partition gets no further check;
    an empty one only those about the table as a whole.

    Raises InputError for a wrong suite (see ``load``) and for a limit that ``parameters`` does not have.
    """
    suite = load(table)
    outcomes = [_schema(table, rows, suite)]
    if outcomes[0].outcome == "pass" and partition:
        outcomes.append(_partition(table, rows, partition, suite))
    if any(outcome.outcome != "pass" for outcome in outcomes):
        return Audit(table.name, rows.num_rows, suite.hash, tuple(outcomes), ()), rows

    rows = rows.combine_chunks()  # taking rows out of many small chunks dominates otherwise
    rules = [rule for rule in suite.rules if not rule.measure and (rows.num_rows or not rule.columns)]
    holding = [rule for rule in rules if rule.quarantine]
    results: list[Any] = []
    held: list[Held] = []
    held_rows: set[int] = set()
    for rule, result in _validate(table.name, rows, holding, parameters):
        results.append(result)
        breaking = sorted(_unexpected(result) | _nulls(rows, rule.never_null))
        keys = [_json(key) for key in _rows_at(rows.select(table.grain), breaking)]
        failing = [index for index, key in zip(breaking, keys, strict=True) if (key, rule.name) not in exempt]
        outcomes.append(_outcome(table.grain, rows, rule, result, failing))
        held_rows.update(failing)
        for row in _rows_at(rows, failing):
            key = {name: row[name] for name in table.grain}
            held.append(Held(_json(key), rule.name, _json(row), rule.reason))
    if holding:
        share = len(held_rows) / max(1, rows.num_rows)
        outcomes.append(_quarantine_share(share, max_quarantine_share, len(held_rows), suite))

    rest = rows
    if held_rows:
        rest = rows.filter(pyarrow.array([index not in held_rows for index in range(rows.num_rows)], pyarrow.bool_()))
    outcomes += _required(table, rest, suite)
    frames = [(rest, table.grain, [r for r in rules if not r.quarantine and (rest.num_rows or not r.columns)])]
    if measures is not None and measures.num_rows:
        frames.append((measures, ("subject",), [rule for rule in suite.rules if rule.measure]))
    for frame, identity, checks in frames:
        for rule, result in _validate(table.name, frame, checks, parameters):
            results.append(result)
            by_row = "unexpected_index_list" in result.result
            outcomes.append(_outcome(identity, frame, rule, result, sorted(_unexpected(result)) if by_row else None))
    held.sort(key=lambda h: (h.key, h.expectation, h.row))
    return Audit(
        table.name, rows.num_rows, suite.hash, tuple(outcomes), tuple(held), page.render(table.name, results)
    ), rest


@cache
def great_expectations() -> Any:
    """GX, imported once (5 to 10 s), without usage reports and log lines: what it has to say is in its results."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    # Cut at the root of its loggers: some below it set a level of their own, and its import alone logs 200 lines.
    logger = logging.getLogger("great_expectations")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    import great_expectations as gx

    return gx


def _declared(table: Table) -> list[dict[str, Any]]:
    """What the declaration demands of the grain, in the shape of a suite file; see ``_required`` for its columns."""
    if len(table.grain) == 1:
        unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": table.grain[0]}}
    else:
        unique = {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": list(table.grain)}}
    return [{**unique, "severity": "critical"}]


def _rule(gx: Any, table: Table, config: Mapping[str, Any], suite_meta: Mapping[str, Any]) -> Rule:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    meta, kwargs = config.get("meta", {}), config["kwargs"]
    columns = tuple(kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs)
    columns += tuple(kwargs.get("column_list", ()))
    name = config["type"] + (f"({', '.join(columns)})" if columns else "") + (f"/{meta['id']}" if "id" in meta else "")
    # ExpectationSuite(**document) only logs an unknown type or severity and goes on without the check; this raises.
    expectation = ExpectationConfiguration(**{**config, "meta": {**meta, "rule": name}}).to_domain_obj()
    quarantine = meta.get("quarantine", False)
    if quarantine:
        if not isinstance(expectation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation):
            raise ValueError("quarantine needs a check of single rows; this one is about all of them together")
        if config["severity"] == "critical":
            raise ValueError("a rule that holds rows lets the others go on: its severity is warning or info")
        if meta.get("measure"):
            raise ValueError("figures are not rows of the table: nothing can be quarantined")
    if meta.get("nulls", "fail") not in ("fail", "pass"):
        raise ValueError("meta.nulls is fail or pass")
    condition = kwargs.get("row_condition")
    # Where a condition chooses the rows, a null in what it compares would choose neither.
    never_null = set(_condition_columns(condition)) if condition else set(columns)
    if meta.get("nulls") == "pass":
        never_null.clear()
    return Rule(
        name=name,
        severity=config["severity"],
        owner=meta.get("owner", suite_meta["owner"]),
        runbook=meta.get("runbook", suite_meta["runbook"]),
        quarantine=quarantine,
        reason=meta["reason"] if quarantine else "",
        columns=columns,
        reads=frozenset(columns) | frozenset(_condition_columns(condition, nullity=True)),
        never_null=frozenset(never_null | {c.name for c in table.columns if c.name in columns and not c.nullable}),
        measure=bool(meta.get("measure", False)),
        expectation=expectation,
    )


def _condition_columns(condition: Any, nullity: bool = False) -> Iterable[str]:
    """The columns that a condition compares; with ``nullity``, also those that it asks to be null or not."""
    if not isinstance(condition, Mapping):
        return []
    if "conditions" in condition:
        return [name for part in condition["conditions"] for name in _condition_columns(part, nullity)]
    return [condition["column"]["name"]] if nullity or condition["type"] != "nullity" else []


def _schema(table: Table, rows: pyarrow.Table, suite: Suite) -> Outcome:
    """Columns, order and types in DuckDB's words: string or large_string, any name of a list's items are the same."""
    with duckdb.connect() as connection:
        relations = connection.from_arrow(rows.slice(0, 0)), connection.sql(table.empty_select())
        found, declared = ([f"{n} {t}" for n, t in zip(r.columns, r.types, strict=True)] for r in relations)
    same = found == declared
    # Only the differences, unless the columns are the same in another order.
    observed = [column for column in found if column not in declared] or found
    limit = [column for column in declared if column not in found] or declared
    return Outcome(
        expectation="schema",
        severity="critical",
        outcome="pass" if same else "fail",
        observed=_json(None if same else observed),
        limit=_json(None if same else limit),
        failed_rows=None,
        owner=suite.owner,
        runbook=suite.runbook,
    )


def _required(table: Table, rows: pyarrow.Table, suite: Suite) -> Iterator[Outcome]:
    """An outcome per column that is declared without nulls, named and read like GX's.

    Arrow has counted the nulls; GX takes 10 ms to see a column of any length, which for these is 40% of a small round's gates.
    """
    for column in table.columns if rows.num_rows else ():
        if column.nullable:
            continue
        failing = sorted(_nulls(rows, [column.name]))
        keys = _rows_at(rows.select(table.grain), failing[:_SAMPLES])
        observed = {"failed": len(failing), "of": rows.num_rows, "examples": keys[:_EXAMPLES]}
        yield Outcome(
            expectation=_not_null(column),
            severity="critical",
            outcome="fail" if failing else "pass",
            observed=_json(observed),
            limit=_json({"column": column.name}),
            failed_rows=len(failing),
            owner=suite.owner,
            runbook=suite.runbook,
            samples=_json(keys) if failing else None,
        )


def _not_null(column: Column) -> str:
    return f"expect_column_values_to_not_be_null({column.name})"


def _partition(table: Table, rows: pyarrow.Table, partition: Mapping[str, str], suite: Suite) -> Outcome:
    """Every row is of the partition that the batch is about."""
    elsewhere = [
        found
        for name, value in partition.items()
        for found in pyarrow.compute.unique(rows[name]).to_pylist()
        if found != value
    ]
    return Outcome(
        expectation="partition",
        severity="critical",
        outcome="fail" if elsewhere else "pass",
        observed=_json({"value": elsewhere[:_EXAMPLES]} if elsewhere else None),
        limit=_json(dict(partition)),
        failed_rows=None,
        owner=suite.owner,
        runbook="docs/runbook.md#partition",
    )


def _validate(
    name: str, rows: pyarrow.Table, rules: Sequence[Rule], parameters: Mapping[str, Any]
) -> list[tuple[Rule, Any]]:
    """GX's result of every rule, in the order of the rules; row indices in it count from 0."""
    if not rules:
        return []
    gx = great_expectations()
    import pandas
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # A context of its own per call, so that the frame is freed; it takes about 10 ms and leaves no file.
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    reads = frozenset().union(*(rule.reads for rule in rules))
    # Arrow-backed columns: integers with nulls stay integers, and NaN is a value that breaks a range, not a null.
    frame = rows.select([name for name in rows.column_names if name in reads]).to_pandas(types_mapper=pandas.ArrowDtype)
    batch = context.data_sources.pandas_default.read_dataframe(frame)
    suite = gx.ExpectationSuite(name=name, expectations=[rule.expectation for rule in rules])
    try:
        results = batch.validate(suite, result_format="COMPLETE", expectation_parameters=dict(parameters)).results
    except gx.exceptions.SuiteParameterError as error:
        raise InputError(f"the suite of {name} needs a limit that it was not given: {error}") from error
    by_name = {result.expectation_config.meta["rule"]: result for result in results}  # GX lists broken checks first
    return [(rule, by_name[rule.name]) for rule in rules]


def _unexpected(result: Any) -> set[int]:
    return {int(index) for index in result.result.get("unexpected_index_list", ())}


def _rows_at(rows: pyarrow.Table, indices: Sequence[int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.take(pyarrow.array(indices, pyarrow.int64())).to_pylist()
    return found


def _nulls(rows: pyarrow.Table, columns: Iterable[str]) -> set[int]:
    found: set[int] = set()
    for name in columns:
        if rows[name].null_count:
            found.update(index for index, null in enumerate(rows[name].is_null().to_pylist()) if null)
    return found


def _outcome(
    identity: Sequence[str], rows: pyarrow.Table, rule: Rule, result: Any, failing: list[int] | None
) -> Outcome:
    """``identity``: columns that name a row. ``failing``: indices of rows that break the rule; None if it is not about rows."""
    messages = _exceptions(result.exception_info)
    severity = rule.severity
    observed: dict[str, Any]
    samples = None
    if messages:
        outcome, observed, failing = "broken", {"error": messages[0]}, None
        # A rule that cannot be evaluated holds nothing back, so bad rows would pass: that stops the batch.
        severity = "critical" if rule.quarantine else severity
    elif failing is None:
        outcome = "pass" if result.success else "fail"
        observed = {"value": result.result.get("observed_value")}
    else:
        broken = bool(failing) if rule.quarantine else not result.success  # what a person released breaks nothing
        outcome = "fail" if broken else "pass"
        columns = [name for column in rule.columns for name in (column, column.removesuffix(DEVIATION))]
        columns += [f"{name.removesuffix(DEVIATION)}{USUAL}" for name in rule.columns if name.endswith(DEVIATION)]
        shown = rows.select(list(dict.fromkeys((*identity, *columns))))
        examples = [_cut(row) for row in _rows_at(shown, failing[:_EXAMPLES])]
        observed = {"failed": len(failing), "of": result.result["element_count"], "examples": examples}
        if failing and outcome == "fail":
            samples = _json(_rows_at(rows.select(list(identity)), failing[:_SAMPLES]))
    return Outcome(
        expectation=rule.name,
        severity=severity,
        outcome=outcome,
        observed=_json(observed),
        limit=_json({key: value for key, value in result.expectation_config.kwargs.items() if key != "batch_id"}),
        failed_rows=None if failing is None else len(failing),
        owner=rule.owner,
        runbook=rule.runbook,
        samples=samples,
    )


def _quarantine_share(share: float, limit: float, held_rows: int, suite: Suite) -> Outcome:
    return Outcome(
        expectation="quarantine_share",
        severity="critical",
        outcome="pass" if share <= limit else "fail",
        observed=_json({"value": share}),
        limit=_json({"max_value": limit}),
        failed_rows=held_rows,
        owner=suite.owner,
        runbook="docs/runbook.md#quarantine",
    )


def _exceptions(info: Mapping[str, Any]) -> list[str]:
    """Messages of the exceptions behind a result: GX gives one record, or one per metric."""
    records = [info] if "raised_exception" in info else list(info.values())
    return [record["exception_message"] for record in records if record["raised_exception"]]


def _cut(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:_EXAMPLE_LENGTH] if isinstance(value, str) else value for name, value in row.items()}


def _json(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """JSON has no timestamps and no NaN: they become text that DuckDB casts back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy scalar
        return _plain(value.item())
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
