"""What an audit found, as a page by Great Expectations' own renderer of sections.

GX's page around them loads scripts and style sheets of six hosts, and GX writes values into it as they are, also those that a
contestant wrote. Here values are escaped, nothing is loaded and no script may run. What only a script would unfold, tracebacks
and links to GX's own pages, is hidden.
"""

import html
from collections.abc import Sequence
from typing import Any

_SAMPLES = 10
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{name}: audit</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}
h5, h6 {{ font-size: 1.1rem; margin: 2rem 0 0.5rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border-bottom: 1px solid #8886; padding: 0.4rem 0.6rem; text-align: left; vertical-align: top }}
th, td {{ overflow-wrap: anywhere }}
.collapse, [data-toggle=collapse] {{ display: none }}
a {{ color: inherit; text-decoration: none; pointer-events: none }}
.fas {{ font-style: normal; font-weight: bold }}
.fa-check-circle::before {{ content: "passed"; color: #2a7f3f }}
.fa-times::before {{ content: "failed"; color: #c0392b }}
.fa-exclamation-triangle::before {{ content: "broken"; color: #b8860b }}
</style>
</head>
<body>
<main>
<h1>{name}</h1>
{sections}
</main>
</body>
</html>
"""


def render(name: str, results: Sequence[Any]) -> str | None:
    """The page of these results of GX, with a few of the failing values; None without results. The results are changed."""
    if not results:
        return None
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaSectionView

    for result in results:
        result.result.pop("unexpected_index_query", None)
        for key, value in result.result.items():
            few = "unexpected" in key and isinstance(value, list)
            result.result[key] = _shown(value[:_SAMPLES] if few else value)
    passed = sum(bool(result.success) for result in results)
    whole = ExpectationSuiteValidationResult(
        results=list(results),
        success=passed == len(results),
        suite_name=name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100 * passed / len(results),
        },
        meta={},
    )
    view = DefaultJinjaSectionView()
    sections = [
        view.render({"section": section.to_json_dict(), "section_loop": {"index": number}})
        for number, section in enumerate(ValidationResultsPageRenderer().render(whole).sections, start=1)
    ]
    return _FRAME.format(name=html.escape(name), sections="\n".join(sections))


def _shown(value: Any) -> Any:
    """The value as GX may write it into a page: texts escaped, numpy's numbers as Python's."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    return value.item() if hasattr(value, "item") else value
