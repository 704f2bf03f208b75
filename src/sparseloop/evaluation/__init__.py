"""From a specification to a result: one mapping, or a batch of them."""
