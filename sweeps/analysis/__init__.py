"""What the finished trials of a study come to: summary, ranking, agreement, candidates, confirmation, autopsies."""
