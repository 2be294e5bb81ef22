from superserve_cli.serving.workers.backoff import LASTS_S, Backoff


def test_each_life_that_did_not_last_makes_the_next_come_later_up_to_a_bound() -> None:
    backoff = Backoff()
    assert [backoff.lost(0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.loops


def test_a_life_that_lasted_starts_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.lost(0)
    assert backoff.lost(LASTS_S) == 0.5
    assert not backoff.loops
    assert backoff.lost(0) == 1
