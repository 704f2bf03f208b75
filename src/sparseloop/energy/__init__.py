"""Prices: what an action and a component cost."""
