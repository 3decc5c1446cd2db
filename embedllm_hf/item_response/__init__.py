"""The item-response model: fitting it to a pool, placing an LLM in it, choosing questions, intervals that cover."""

from .fit import MIN_LLMS, fit_item_response

__all__ = ["MIN_LLMS", "fit_item_response"]
