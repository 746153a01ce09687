"""The SQL store: only this room knows Optuna's storage and SQLAlchemy's engines.

`studies` opens it and keeps search spaces; `queue` says which studies are served; `leases` who trains which trial;
`batches` how a trial's words get into the tables; `worker_storage` is Optuna's view of all this for one worker.
"""

from sweeps.store.attributes import *  # noqa: F403
from sweeps.store.data import admit_data as admit_data
from sweeps.store.engines import absolute as absolute
from sweeps.store.engines import has_secret as has_secret
from sweeps.store.engines import masked as masked
from sweeps.store.engines import release_connections as release_connections
from sweeps.store.engines import require_creatable as require_creatable
from sweeps.store.finished import count_train_images as count_train_images
from sweeps.store.finished import finished_trials as finished_trials
from sweeps.store.finished import is_added as is_added
from sweeps.store.finished import is_enqueued as is_enqueued
from sweeps.store.finished import is_interrupted as is_interrupted
from sweeps.store.finished import make_finished as make_finished
from sweeps.store.finished import read_config as read_config
from sweeps.store.readable import describe_unreadable as describe_unreadable
from sweeps.store.readable import keep_readable as keep_readable
from sweeps.store.readings import finished_readings as finished_readings
from sweeps.store.readings import readings as readings
from sweeps.store.readings import readings_of_each as readings_of_each
from sweeps.store.studies import DEFAULT_URL as DEFAULT_URL
from sweeps.store.studies import artifacts as artifacts
from sweeps.store.studies import confirming as confirming
from sweeps.store.studies import connect as connect
from sweeps.store.studies import create_study as create_study
from sweeps.store.studies import differences as differences
from sweeps.store.studies import find_study as find_study
from sweeps.store.studies import id_of as id_of
from sweeps.store.studies import is_half_made as is_half_made
from sweeps.store.studies import load_study as load_study
from sweeps.store.studies import record_space as record_space
from sweeps.store.studies import space_of as space_of
from sweeps.store.studies import study_names as study_names
from sweeps.store.studies import url as url
from sweeps.store.trials import read_trials as read_trials
