"""A network on several machines, as tables and a page."""
