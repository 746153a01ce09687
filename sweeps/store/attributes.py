"""Names of the attributes that studies and trials have in Optuna's tables."""

from sweeps.trials import FAILED as FAILED

# Attributes of a study.
SPACE_TEXT = "space"
SPACE_SHA256 = "space_sha256"
SPACE_OVERRIDES = "space_overrides"
DATA_DIGESTS = "data_digests"  # of the data that it was trained on; more than one where others were accepted
ACCEPT_NEXT_DATA = "accept_next_data"  # whether the next data with another digest are accepted
WARNINGS = "warnings"  # what its rehearsal found odd
QUESTION = "question"
DEFAULTS = "defaults"  # version of the defaults that keys have which its file does not give
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
CHANCE_TRAIN_LOSS = "chance_train_loss"
CHANCE_CONSTANT_LOSS = "chance_constant_loss"
F1 = "f1"
BEST_VALUE = "best_value"
BEST_STEP = "best_step"
BEST_EPOCH = "best_epoch"
# What it was trained with: digests of its config and its data, the shape of one input, versions of packages, the GPU.
CONFIG_DIGEST = "config_digest"
DATA_DIGEST = "data_digest"
INPUT_SHAPE = "input_shape"
TRAIN_IMAGES = "train_images"  # how many images or rows there were to train on
CLASS_NAMES = "class_names"  # by the numbers of the classes, where the labels were texts
NET_PARTS = "net_parts"  # what a user's net is made of
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
ENQUEUED_VALUES = "fixed_params"  # Optuna's system attribute: the values given to `study.enqueue_trial`
DEAD = "dead"  # Optuna's constraint: above zero is infeasible
INTERRUPTED = "interrupted"  # fates that a worker gives, not a verdict
