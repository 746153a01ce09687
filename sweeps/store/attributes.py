"""Names of the attributes that studies and trials have in Optuna's tables."""

# Attributes of a study.
SPACE_TEXT, SPACE_SHA256, SPACE_OVERRIDES, QUESTION = "space", "space_sha256", "space_overrides", "question"
CONFIRMS = "confirms"  # the study whose candidates it runs again
# Attributes of a trial.
CONFIG, SLOT, HOST, PID, FATE, REASON = "config", "slot", "host", "pid", "fate", "reason"
STEPS, SECONDS, TOP1, TOP5, LOSS, GAIN, CHANCE_TOP1 = "steps", "seconds", "top1", "top5", "loss", "gain", "chance_top1"
CHANCE_TOP5, CHANCE_LOSS = "chance_top5", "chance_loss"
F1, BEST_VALUE, BEST_STEP, BEST_EPOCH = "f1", "best_value", "best_step", "best_epoch"
# What it was trained with: digests of its config and its data, the shape of one input, versions of packages, the GPU.
CONFIG_DIGEST, DATA_DIGEST, INPUT_SHAPE = "config_digest", "data_digest", "input_shape"
VERSIONS, GPU = "versions", "gpu"
TRACEBACK = "traceback"
LEARNER, CONTROL, LOWEST_PROGNOSIS, BEST_GAIN = "learner", "could_not_be_stopped", "lowest_prognosis", "best_gain"
WOULD_STOP, WOULD_STOP_REASON = "would_stop_at_step", "would_stop_reason"  # of a control
JUDGED_BY = "judged_by"  # the limit that a trial was given when it was first drawn
NO_CHECKPOINT = "no_checkpoint"  # why none could be written
DEAD = "dead"  # Optuna's constraint: above zero is infeasible
INTERRUPTED, FAILED = "interrupted", "failed"  # fates that a worker gives, not a verdict
