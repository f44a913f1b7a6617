"""How much there may be at once, where several workers share it."""

from proxy.config.limits import DEFAULT_LIMITS, Limits


def test_workers_share_numbers_and_not_sizes() -> None:
    assert Limits(
        body=7, held_body=8, connections=9, connections_per_address=3, requests_per_peer=4,
        requests_per_app=1, websocket_message=6,
    ).shared_by(2) == Limits(
        body=7, held_body=8, connections=5, connections_per_address=2, requests_per_peer=2,
        requests_per_app=1, websocket_message=6,
    )  # fmt: skip


def test_one_worker_has_all_of_it() -> None:
    assert DEFAULT_LIMITS.shared_by(1) == DEFAULT_LIMITS
