"""Starting workers: on this machine, by Slurm, by Kubernetes."""
