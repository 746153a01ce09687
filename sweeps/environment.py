"""The names of the environment variables of sweeps.

A worker gets them from whoever starts it: a person, a supervisor, Slurm or Kubernetes.
"""

STORAGE_VARIABLE = "SWEEPS_STORAGE"  # the store's URL
STORAGE_FILE_VARIABLE = "SWEEPS_STORAGE_FILE"  # a file that holds the store's URL, such as a mounted secret
TRUST_VARIABLE = "SWEEPS_TRUST"  # packages whose functions may be imported
ARTIFACTS_VARIABLE = "SWEEPS_ARTIFACTS"  # where checkpoints and plots are kept
JOB_VARIABLE = "SWEEPS_JOB"  # what started a worker, as `sweeps status` shows it
GPU_MEMORY_VARIABLE = "SWEEPS_GPU_MEMORY_MIB"  # how much of a shared GPU's memory a worker may take
LOG_FORMAT_VARIABLE = "SWEEPS_LOG_FORMAT"  # "text" or "json"
