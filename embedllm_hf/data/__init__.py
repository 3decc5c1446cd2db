"""The room of responses and of facts about LLMs: who answered which question correctly, and what each LLM costs.

The flow enters as files, a Hub data set, a table in memory or evaluation logs (`sources`, `files`, `long_table`,
`planted`, `evaluation_logs`) and leaves as a `ResponseMatrix`, or as the `ResponseSplits` of one data set; `upload` is
the way back to the Hub. `texts` tells texts apart, wherever those of two tables meet. `log_scores` says which of a
log's scores counts, `log_answers` finds one LLM's answers for a model. `sparse` reads stored entries, for the question
bank too. `rows` reads what users write by hand, `llm_table` costs and facts, for every choice among LLMs.
Text vectors do not live here (`encoding`), nor does anything that learns; no module here needs torch.
"""
