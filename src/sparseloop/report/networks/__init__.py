"""The layers of a network as a table; a network on several machines, as tables and a page."""
