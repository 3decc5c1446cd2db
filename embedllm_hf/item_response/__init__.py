"""The item-response model: fitting it to a pool, placing an LLM in it, choosing questions, intervals that cover.

It takes a network and a bank and gives the bank's `ItemParameters`, or what follows from them for one LLM. Answers by
name and question, and models, are not here (`new_llms/`, `inference/`).
"""
