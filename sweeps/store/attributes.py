"""Names of the attributes that studies and trials have in Optuna's tables."""

from sweeps.trials import FAILED as FAILED

# Attributes of a study.
SPACE_TEXT = "space"
SPACE_SHA256 = "space_sha256"
SPACE_OVERRIDES = "space_overrides"
QUESTION = "question"
CONFIRMS = "confirms"  # the study whose candidates it runs again
# Attributes of a trial.
CONFIG = "config"
SLOT = "slot"
HOST = "host"
PID = "pid"
FATE = "fate"
REASON = "reason"
STEPS = "steps"
SECONDS = "seconds"
TOP1 = "top1"
TOP5 = "top5"
LOSS = "loss"
GAIN = "gain"
CHANCE_TOP1 = "chance_top1"
CHANCE_TOP5 = "chance_top5"
CHANCE_LOSS = "chance_loss"
F1 = "f1"
BEST_VALUE = "best_value"
BEST_STEP = "best_step"
BEST_EPOCH = "best_epoch"
# What it was trained with: digests of its config and its data, the shape of one input, versions of packages, the GPU.
CONFIG_DIGEST = "config_digest"
DATA_DIGEST = "data_digest"
INPUT_SHAPE = "input_shape"
VERSIONS = "versions"
GPU = "gpu"
TRACEBACK = "traceback"
CAUSE = "autopsy_cause"  # of a death; `Autopsy.to_attributes` makes it, with others
LEARNER = "learner"
CONTROL = "could_not_be_stopped"
LOWEST_PROGNOSIS = "lowest_prognosis"
BEST_GAIN = "best_gain"
WOULD_STOP = "would_stop_at_step"  # of a control
WOULD_STOP_REASON = "would_stop_reason"
JUDGED_BY = "judged_by"  # the limit that a trial was given when it was first drawn
NO_CHECKPOINT = "no_checkpoint"  # why none could be written
DEAD = "dead"  # Optuna's constraint: above zero is infeasible
INTERRUPTED = "interrupted"  # fates that a worker gives, not a verdict
