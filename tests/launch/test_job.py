"""Jobs: names that are names everywhere, and how workers are dealt to tasks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import InputError
from sweeps.launch.job import Job, parse_gpu_share

names = st.text(st.characters(exclude_characters="\0"), min_size=1)


@given(st.lists(names, max_size=3).map(tuple), st.text())
def test_the_name_of_a_job_is_a_label_of_kubernetes_whatever_its_studies_are_called(
    studies: tuple[str, ...], store: str
) -> None:
    name = Job(studies, store, 1, 1).name
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)  # RFC 1123
    assert len(name) <= 50


def test_studies_and_stores_have_names_of_their_own() -> None:
    jobs = [(("a",), "x"), (("a",), "y"), (("a", "b"), "x"), (("ab",), "x"), ((), "x"), (("A",), "x")]
    assert len({Job(studies, store, 1, 1).name for studies, store in jobs}) == len(jobs)
    assert Job(("a",), "x", 1, 1).name == Job(("a",), "x", 9, 3).name


@given(st.integers(1, 500), st.integers(0, 8))
def test_tasks_have_as_many_workers_as_were_asked_for(workers: int, per_gpu: int) -> None:
    job = Job(("a",), "x", workers, per_gpu)
    assert (job.tasks - 1) * job.workers_per_task + job.workers_of_last_task == workers
    assert 1 <= job.workers_of_last_task <= job.workers_per_task


@pytest.mark.parametrize(
    ("share", "workers"), [("1", 1), (".5", 2), ("0.5", 2), ("1/3", 3), (".33", 3), (".25", 4), ("0", 0), (" 1 ", 1)]
)
def test_shares_of_a_gpu(share: str, workers: int) -> None:
    assert parse_gpu_share(share) == workers


@pytest.mark.parametrize("share", ["2", "-1", "-.5", ".4", "x", "", "1/0", ".001", "nan", "inf"])
def test_what_is_no_share_of_a_gpu_is_refused(share: str) -> None:
    with pytest.raises(InputError, match="--gpus-per-worker"):
        parse_gpu_share(share)
