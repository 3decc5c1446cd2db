"""The room of responses and of facts about LLMs: who answered which question correctly, and what each LLM costs.

The flow enters as files, a Hub data set, or a table in memory (`sources`, `files`, `long_table`, `planted`) and leaves
as a `ResponseMatrix`, or as the `ResponseSplits` of one data set; `upload` is the way back to the Hub. `texts` tells
texts apart, wherever those of two tables meet. `sparse` reads stored entries, for the question bank too. `rows` reads
what users write by hand, `llm_table` costs and facts, for every choice among LLMs.
Text vectors do not live here (`encoding`), nor does anything that learns; no module here needs torch.
"""
