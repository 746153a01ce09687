"""Why runs die: the autopsy of one run, the survey of all runs of a study, and plots of both."""
