"""Densities as a user writes them: the records, and the words that are short for them."""
