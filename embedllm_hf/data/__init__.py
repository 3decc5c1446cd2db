"""Responses: reading, holding, splitting and making them."""
