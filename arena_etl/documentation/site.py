"""MkDocs hooks: pages that live outside docs/, where people look for them, and the colours of code."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

# Page of the site: file of the checkout. Links between them and the pages of docs/ are turned into links of the site.
OUTSIDE = {"benchmarks.md": "benchmarks/README.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, file in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=file))
    light, dark = (HtmlFormatter(style=style) for style in ("friendly", "monokai"))
    css = "\n".join(
        f'[data-bs-theme="{mode}"] {rule}'
        for mode, formatter in (("light", light), ("dark", dark))
        for rule in formatter.get_style_defs(".codehilite").splitlines()
        if rule.startswith(".codehilite")
    )
    files.append(File.generated(config, "site.css", content=css + "\npre {white-space: pre; overflow-x: auto}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    markdown = re.sub(r"^<!--.*?-->\n", "", markdown, flags=re.MULTILINE | re.DOTALL)  # notes for the tests
    up = "../" * page.file.src_uri.count("/")
    for name, file in OUTSIDE.items():
        markdown = re.sub(rf"\]\((\.\./)+{re.escape(file)}", f"]({up}{name}", markdown)
    if page.file.src_uri in OUTSIDE:
        markdown = re.sub(r"\]\((\.\./)*docs/", "](", markdown)
    return markdown
