"""How workers are started: on this machine, by Slurm, by Kubernetes."""
