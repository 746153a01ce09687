"""How workers are started; one file per place."""
