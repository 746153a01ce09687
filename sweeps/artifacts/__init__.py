"""Where a study's files lie (a folder, S3, Google Cloud Storage), and the checkpoints kept there."""
