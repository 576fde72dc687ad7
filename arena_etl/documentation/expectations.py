"""docs/reference/expectations.md: the suites of expectations/."""

import json
from collections.abc import Iterator
from typing import Any

from arena_etl import resources
from arena_etl.documentation.markdown import code, heading, page, table


def reference() -> str:
    """The list of expectations as Markdown, a table per suite."""
    return page(_lines())


def _lines() -> Iterator[str]:
    yield from heading("Expectations", "`expectations/`")
    yield ""
    yield (
        "What every batch of a table meets before it is published, beside what the table's [declaration](tables.md) demands: "
        "its schema, required columns, a unique grain, the right partition. *critical* stops the batch, *warning* tells, "
        "*holds* keeps the rows that break it back in `quarantine`. A figure is a column of `sql/quality/TABLE.sql`. A value "
        "`$name` comes from the round's configuration or from the batch. How a suite is read: [quality](../quality.md)."
    )
    for file in sorted(resources.EXPECTATIONS.glob("*.json")):
        yield from _suite(json.loads(file.read_text(encoding="utf-8")))


def _suite(suite: dict[str, Any]) -> Iterator[str]:
    meta = suite["meta"]
    yield from ("", f"## {suite['name']}", "", f"Owner: {meta['owner']}. Runbook: {_runbook(meta['runbook'])}.")
    yield from table(
        ["about", "expectation", "severity", "runbook", "note"],
        (
            [
                _about(each),
                _demand(each),
                "holds" if each.get("meta", {}).get("quarantine") else each["severity"],
                _runbook(each.get("meta", {}).get("runbook", "")),
                each.get("notes") or each.get("meta", {}).get("reason", ""),
            ]
            for each in suite["expectations"]
        ),
    )


def _about(expectation: dict[str, Any]) -> str:
    arguments = expectation["kwargs"]
    columns = [arguments[key] for key in ("column", "column_A", "column_B") if key in arguments]
    columns += arguments.get("column_list", [])
    figure = "figure " if expectation.get("meta", {}).get("measure") else ""
    return figure + ", ".join(columns) if columns else "the batch"


def _demand(expectation: dict[str, Any]) -> str:
    """The type in words and its arguments; the condition on rows as it is in the file."""
    words = expectation["type"].removeprefix("expect_").replace("_", " ")
    for prefix in ("column values to ", "column pair values ", "column ", "table "):
        words = words.removeprefix(prefix)
    told = {
        key: value
        for key, value in expectation["kwargs"].items()
        if key not in ("column", "column_A", "column_B", "column_list")
    }
    arguments = ", ".join(code(f"{key}={_value(value)}") for key, value in told.items())
    return f"{words}: {arguments}" if arguments else words


def _value(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"$PARAMETER"}:
        return f"${value['$PARAMETER']}"
    if isinstance(value, dict) and "type" in value:
        return _condition(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _condition(condition: dict[str, Any]) -> str:
    if condition["type"] == "nullity":
        return f"{condition['column']['name']} is {'null' if condition['is_null'] else 'not null'}"
    if condition["type"] == "comparison":
        return f"{condition['column']['name']} {condition['operator']} {_value(condition['parameter'])}"
    return f" {condition['type']} ".join(_condition(each) for each in condition["conditions"])


def _runbook(anchor: str) -> str:
    """A link to the heading that an expectation names as docs/runbook.md#heading."""
    heading_ = anchor.rpartition("#")[2]
    return f"[{heading_}](../runbook.md#{heading_})" if heading_ else ""
