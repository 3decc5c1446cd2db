"""Evaluation logs: what harnesses write about an LLM's answers, read as they are, one module a format.

    records.py    what every format gives: runs of one LLM on one task, over questions that are kept once
    texts.py      the texts that a question may be known by, without few-shots and without what its task adds
    formats.py    which files are logs, by their content, and which module reads each
    lm_eval.py  inspect_ai.py  promptfoo.py  lighteval.py  every_eval_ever.py  evalscope.py  llm_router_bench.py

The flow enters as files and leaves as `records.Runs`; which score counts, and the tables of responses, are
`data.evaluation_logs`'s, and `data.log_columns` reads any other table, its columns named by the user. No pickle is
read, no template runs outside a sandbox, and what was not scored is missing.
"""
