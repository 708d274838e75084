"""key_map: what a dict would answer, in sorted arrays."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms import key_map
from transforms.key_map import KeyMap, key_of, keys_of, mix

KEYS = st.integers(0, 40) | st.integers(0, 2**64 - 1)
VALUES = st.integers(-(2**62), 2**62)


@given(st.lists(st.lists(st.tuples(KEYS, VALUES), max_size=30), max_size=6), st.lists(KEYS, max_size=10))
def test_a_key_map_answers_like_a_dict_that_keeps_the_greatest(
    batches: list[list[tuple[int, int]]], asked: list[int]
) -> None:
    was = key_map._MERGE_AT
    key_map._MERGE_AT = 7  # small, so that both the array and the recent keys are in play
    try:
        held, oracle = KeyMap(), dict[int, int]()
        for batch in batches:
            held.add(np.array([k for k, _ in batch], dtype=np.uint64), np.array([v for _, v in batch], dtype=np.int64))
            for key, value in batch:
                oracle[key] = max(value, oracle.get(key, value))
        wanted = [*asked, *oracle]
        assert held.get(wanted, default=-5).tolist() == [oracle.get(key, -5) for key in wanted]
        assert held.holds(wanted).tolist() == [key in oracle for key in wanted]
        assert len(held) == len(oracle)
    finally:
        key_map._MERGE_AT = was


def test_ids_of_sixteen_hex_digits_are_their_own_key_and_others_are_hashed() -> None:
    assert key_of("00000000000000ff") == 255
    assert keys_of(["00000000000000ff", "0000000000000100"]).tolist() == [255, 256]
    assert keys_of(pa.chunked_array([["00000000000000ff"], ["a"]])).tolist() == [255, key_of("a")]
    assert key_of("a") != key_of("b")


def test_a_column_and_its_ids_one_by_one_have_the_same_keys() -> None:
    mixed = ["00000000000000ff", "short", "", "zzzzzzzzzzzzzzzz", "00000000000000FF"]
    assert keys_of(mixed).tolist() == [key_of(i) for i in mixed]


def test_the_key_of_a_pair_depends_on_order_and_is_the_same_for_arrays() -> None:
    assert int(mix(1, 2)) != int(mix(2, 1))
    assert mix(np.array([1, 5], dtype=np.uint64), np.array([2, 6], dtype=np.uint64)).tolist() == [
        int(mix(1, 2)),
        int(mix(5, 6)),
    ]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), unique=True, min_size=2, max_size=50))
def test_small_pairs_do_not_collide(pairs: list[tuple[int, int]]) -> None:
    assert len({int(mix(a, b)) for a, b in pairs}) == len(pairs)
