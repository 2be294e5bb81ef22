from superserve_cli.serving.workers.overlap import Foresight
from superserve_cli.serving.workers.turns import Job

JOB = Job(0, 1, 4)


def test_nothing_is_foreseen_of_a_batch_like_which_none_was() -> None:
    foresight = Foresight()
    foresight.took(Job(0, 1, 3), 100)
    assert foresight.lead_ns(JOB) is None


def test_the_next_batch_comes_as_long_before_the_end_as_it_takes_to_begin() -> None:
    foresight = Foresight()
    for _ in range(200):
        foresight.begun(30)
        foresight.took(JOB, 100)
    assert round(foresight.lead_ns(JOB) or 0) == 70


def test_a_batch_shorter_than_beginning_the_next_lets_it_come_at_once() -> None:
    foresight = Foresight()
    for _ in range(200):
        foresight.begun(300)
    foresight.took(JOB, 100)
    assert foresight.lead_ns(JOB) == 0
