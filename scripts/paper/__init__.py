"""The paper's experiments, reproduced and extended: a module a section, and the report that puts them together.

Each section has `NAME`, `TITLE` and three functions, which `report` calls:

    run(data: PaperData, progress: Callable[[str], None]) -> dict      plain JSON values, kept in results/<NAME>.json
    figures(result: dict) -> dict[str, Figure]                         by file stem; saved as PNG and SVG
    markdown(result: dict) -> str                                      tables, what they show, links to the figures

and may have two more:

    published(result: dict) -> list[dict]       rows of "Published and measured", see `wording.published_row`
    pages(result: dict) -> dict[str, str]       further text files by name, an HTML page say

The functions see the result as it comes back from JSON: keys are text, a tuple is a list, NaN is None.
"""
