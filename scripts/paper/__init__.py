"""The paper's experiments, reproduced and extended: `python -m scripts.paper`, from the root of a clone.

A section is a module. Each has `NAME`, `TITLE` and three functions, which `report` calls:

    run(data: PaperData, progress: Callable[[str], None]) -> dict      plain JSON values, kept in results/<NAME>.json
    figures(result: dict) -> dict[str, Figure]                         by file stem; saved as PNG and SVG
    markdown(result: dict) -> str                                      tables, what they show, links to the figures

and may have two more:

    published(result: dict) -> list[dict]       rows of "Published and measured", see `wording.published_row`
    pages(result: dict) -> dict[str, str]       further text files by name, such as an HTML page

The functions see the result as it comes back from JSON: keys are text, a tuple is a list, NaN is None.

    sections     forecasting, routing, benchmark_scores, vectors (with disagreement and refits), transfer, llm_map,
                 ablations
    setting      the data with its text vectors, and all that is trained and predicted: the one door to the library
    statistics   scoring, score_table, halves (ridge regression and Kendall's tau over random halves), permutation
    report       runs the sections and writes the report; wording, figures, vector_figures, map_page (with
                 llm_map.html, its template) are what it is written and drawn with
"""
