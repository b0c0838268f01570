"""Times the client half of Flower's SecAgg+ masking: PRG and sum for one vector and its neighbours.

usage: flower_secagg.py VALUES NEIGHBOURS      prints "SECONDS VERSION"; 1 where flwr cannot be imported

It calls Flower's own functions as its client does: one pseudo-random vector per neighbour and one for the
self mask, each added or subtracted. Fewer neighbours are timed and scaled, since each costs the same.
"""
import sys
import time
from importlib.metadata import version

import numpy
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_addition, parameters_subtraction
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

TIMED = 3


def main() -> None:
    values, neighbours = int(sys.argv[1]), int(sys.argv[2])
    vector = [numpy.zeros(values, dtype=numpy.int64)]
    shapes = [vector[0].shape]
    seconds = []
    for turn in range(TIMED):
        begin = time.perf_counter()
        mask = pseudo_rand_gen(bytes([turn + 1]) * 32, 1 << 32, shapes)
        vector = parameters_addition(vector, mask) if turn % 2 == 0 else parameters_subtraction(vector, mask)
        seconds.append(time.perf_counter() - begin)
    print(sorted(seconds)[TIMED // 2] * (neighbours + 1), version("flwr"))


main()
