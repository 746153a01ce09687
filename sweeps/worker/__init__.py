"""A worker: it claims trials, trains them, judges their readings and stores the results."""
