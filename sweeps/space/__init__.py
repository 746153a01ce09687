"""Search spaces: hyperparameters, files, their schema, and samplers."""
