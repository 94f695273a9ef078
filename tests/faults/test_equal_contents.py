"""Equal contents in flight are decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.faults.poisoned_share import Share


def test_a_content_whose_analysis_is_on_its_way_is_not_decoded_again(share: Share) -> None:
    """The record, asked between two looks, knows what was delivered, and nothing of what is about to be."""
    jobs = []
    for number in range(3000):
        share.write(f"{number:04}", f"an image, number {number // 30}")
        jobs.append(share.job(f"{number:04}"))
    delivered: set[bytes] = set()

    def known(digests: Sequence[bytes]) -> set[bytes]:
        return delivered.intersection(digests)

    analysed: Counter[bytes] = Counter()
    with share.pool(known=known) as pool:
        for job in jobs:
            pool.submit(job)
        while pool.outstanding:
            for inspection in pool.poll(1.0):
                assert inspection.sha256 is not None
                delivered.add(inspection.sha256)
                analysed[inspection.sha256] += inspection.analysis is not None
    assert set(analysed.values()) == {1}
