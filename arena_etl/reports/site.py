"""The site of a lake: an index over all rounds and models, which is the folder ``reports/`` of the lake, or a copy of it."""

import base64
import hashlib
import re
from typing import Any

from arena_etl.config import Config
from arena_etl.lake import sql
from arena_etl.lake.delta import Lake
from arena_etl.lake.releases import find, table_versions
from arena_etl.lake.storage import Storage
from arena_etl.reports import pages, report
from arena_etl.reports.names import display_names

Row = dict[str, Any]

_FOLDER = "reports"


def write(config: Config, lake: Lake, as_of: str | None = None, output: str | None = None) -> str:
    """Write the index and a page per model, and the reports of rounds that have none yet; return the index's URI.

    Reports that are there stay as they are: ``report.write`` makes one anew. ``output``: a folder or ``s3://`` prefix that the
    whole site is copied to. ``as_of``: as in ``releases.find``, whose errors it raises.
    """
    release = find(lake, as_of)
    state = f"release {release.release_id}" if release else "unreleased tables"
    with lake.connect(versions=table_versions(lake, release)) as connection:

        def rows(name: str, **parameters: Any) -> list[Row]:
            found: list[Row] = sql.run(connection, name, **parameters).to_arrow_table().to_pylist()
            return found

        rounds, models = rows("reports/rounds"), rows("reports/models")
        details = {
            row["contestant_id"]: {
                name: rows(f"reports/{file}", model=row["contestant_id"])
                for name, file in (("ratings", "model_ratings"), ("opponents", "opponents"), ("lineage", "lineage"))
            }
            for row in models
        }
    names = display_names((row["contestant_id"], row["name"]) for row in models)
    files = {model: f"models/{_file_name(model)}" for model in names}
    shared = {"names": names, "files": files, "state": state}
    for row in rounds:
        if not lake.storage.filesystem.exists(lake.storage.uri(_FOLDER, row["round"], "index.html")):
            report.write(config, lake, row["round"], as_of)
    for row in models:
        page = pages.render("model.html.j2", **shared, **details[row["contestant_id"]], model=row, script=None)
        lake.storage.put(lake.storage.uri(_FOLDER, files[row["contestant_id"]]), page.encode())
    index = pages.render("index.html.j2", **shared, rounds=rounds, models=models, release=release, script=_search())
    lake.storage.put(lake.storage.uri(_FOLDER, "index.html"), index.encode())
    if output is None:
        return lake.storage.uri(_FOLDER, "index.html")
    return _copy(lake.storage, Storage.of(config.model_copy(update={"root": output})))


def _file_name(model: str) -> str:
    """A name that any file system, bucket and address takes, different for different models."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", model)[:80]
    return f"{safe}.html" if safe == model else f"{safe}-{hashlib.sha256(model.encode()).hexdigest()[:8]}.html"


def _search() -> tuple[str, str]:
    """The script of the index and its hash for the page's Content-Security-Policy."""
    text = pages.render("search.js")
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _copy(storage: Storage, target: Storage) -> str:
    """Copy the site; the index last, so that what it links to is there. Files go one by one: one at a time is in memory."""
    start = storage.filesystem._strip_protocol(storage.uri(_FOLDER))
    paths = sorted(
        (str(path).removeprefix(f"{start}/") for path in storage.filesystem.find(start)),
        key=lambda path: (path == "index.html", path),
    )
    with target.errors():
        for path in paths:
            target.put(target.uri(path), storage.filesystem.cat_file(storage.uri(_FOLDER, path)))
    return target.uri("index.html")
