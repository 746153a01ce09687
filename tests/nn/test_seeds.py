"""Seeds of layers."""

import itertools

from sweeps.nn.seeds import STREAMS, layer_seed


def test_seeds_differ_by_trial_layer_and_use_and_fit_32_bits() -> None:
    keys = list(itertools.product(range(5), range(20), STREAMS))
    seeds = list(itertools.starmap(layer_seed, keys))
    assert len(set(seeds)) == len(keys)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_is_a_function_of_its_arguments() -> None:
    assert layer_seed(2**31 - 1, 3, "kernel") == layer_seed(2**31 - 1, 3, "kernel")
