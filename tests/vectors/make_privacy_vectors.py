#!/usr/bin/env python3
"""Writes tests/vectors/privacy/accountant.json: what dp-accounting and plain formulas say, apart from Covey.

Needs: pip install dp-accounting mpmath (0.6.0 and 1.4.1 were used). Gaussian rows come from dp-accounting's
RdpAccountant; it has no sums of integer noise, so those rows evaluate the theorems of Kairouz, Liu and Steinke
(2021), Agarwal, Kairouz and Liu (2021) and Zhu and Wang (2019) here with 60 digits. The last block is no
theorem: exact divergences in one dimension, which the theorems must not be below.
dp_public.csv beside it has the values that were published for this project, other parameters.
"""
import json
import pathlib

from dp_accounting import dp_event
from dp_accounting.rdp import rdp_privacy_accountant as rdp
from mpmath import mp, mpf, besseli, binomial, exp, floor, log, pi, sqrt

mp.dps = 60
REAL = [1 + x / 10 for x in range(1, 100)] + list(range(11, 64)) + [128, 256, 512, 1024]
WHOLE = list(range(2, 129)) + [256]


def gaussian_rows():
    rows = []
    cases = [
        # z, q, steps, delta
        (0.8, 0.02, 500, 1e-5), (1.3, 0.003, 20000, 1e-7), (3.0, 0.25, 200, 1e-6), (0.6, 0.0005, 3000, 1e-6),
        (1.7, 0.5, 40, 1e-5), (5.0, 0.9, 300, 1e-6), (2.5, 1.0, 12, 1e-5), (30.0, 1.0, 1000, 1e-7), (0.5, 1.0, 1, 1e-6),
        (12.0, 0.01, 50, 1e-9),
    ]
    for z, q, steps, delta in cases:
        accountant = rdp.RdpAccountant(REAL)
        event = dp_event.GaussianDpEvent(z)
        if q < 1:
            event = dp_event.PoissonSampledDpEvent(q, event)
        accountant.compose(event, steps)
        epsilon, order = accountant.get_epsilon_and_optimal_order(delta)
        picked = {a: float(accountant.rdp[i]) for i, a in enumerate(REAL) if a in (1.5, 2, 4.4, 8.7, 16, 63, 256)}
        rows.append({"z": z, "q": q, "steps": steps, "delta": delta, "epsilon": float(epsilon), "order": float(order),
                     "rdp": [[a, v] for a, v in picked.items() if v < float("inf")]})
    return rows


def tree_rows():
    rows = []
    for z, steps, delta in [(4.0, 100, 1e-6), (9.0, 4096, 1e-7), (2.0, 1, 1e-5)]:
        accountant = rdp.RdpAccountant(REAL, neighboring_relation=rdp.NeighborRel.REPLACE_SPECIAL)
        accountant.compose(dp_event.SingleEpochTreeAggregationDpEvent(z, steps), 1)
        rows.append({"z": z, "steps": steps, "delta": delta, "epsilon": float(accountant.get_epsilon(delta))})
    return rows


def bound(case):
    c, d = mpf(case["weight_max"]) * mpf(case["clip"]) / mpf(case["grid"]), mpf(case["dimension"])
    beta = exp(mpf(-1) / 2)
    squared = floor(min((c + sqrt(d)) ** 2, c * c + d / 4 + sqrt(2 * log(1 / beta)) * (c + sqrt(d) / 2)))
    l2 = sqrt(squared)
    return squared, l2, l2 * min(sqrt(d), l2)


def discrete_gaussian(case, a):
    squared, l2, l1 = bound(case)
    m, s, d = case["contributors"], mpf(case["deviation"]), mpf(case["dimension"])
    tau = 10 * sum(exp(-2 * pi**2 * s**2 * mpf(i) / (i + 1)) for i in range(1, case["members"]))
    l2, l1 = l2 / (sqrt(m) * s), l1 / (sqrt(m) * s)
    return min(a * l2**2 / 2 + tau * d, mpf(a) / 2 * (l2**2 + 2 * l1 * tau + tau**2 * d),
               mpf(a) / 2 * (l2 + sqrt(d) * tau) ** 2)


def skellam(case, a):
    squared, l2, l1 = bound(case)
    v = case["contributors"] * mpf(case["deviation"]) ** 2
    return a * squared / (2 * v) + min(((2 * a - 1) * squared + 6 * l1) / (4 * v**2), 3 * l1 / (2 * v))


def sampled(divergence, q, a):
    if q == 1:
        return divergence(a)
    q = mpf(q)
    total = (1 - q) ** (a - 1) * (a * q - q + 1)
    for l in range(2, a + 1):
        # Orders that are not computed are bounded by the next that is.
        total += (1 if l == 2 else 3) * binomial(a, l) * (1 - q) ** (a - l) * q**l * exp(
            (l - 1) * divergence(l if l <= 128 else 256))
    return min(log(total) / (a - 1), divergence(a))


def epsilon(values, delta):
    return max(mpf(0), min(v + log(1 - mpf(1) / a) - log(delta * a) / (a - 1) for a, v in values))


def sum_rows():
    rows = []
    cases = [
        dict(mechanism="discrete_gaussian", clip=1, weight_max=1, grid=1 / 512, dimension=1 << 16, deviation=20.0,
             contributors=70, q=1, releases=20, delta=1e-6),
        dict(mechanism="discrete_gaussian", clip=0.5, weight_max=2, grid=1 / 64, dimension=1 << 12, deviation=4.0,
             contributors=1000, members=60000, q=1, releases=5, delta=1e-5),
        dict(mechanism="discrete_gaussian", clip=1, weight_max=1, grid=1 / 256, dimension=1 << 14, deviation=60.0,
             contributors=30, q=0.05, releases=300, delta=1e-6),
        dict(mechanism="skellam", clip=1, weight_max=1, grid=1 / 512, dimension=1 << 16, deviation=20.0,
             contributors=70, q=1, releases=20, delta=1e-6),
        dict(mechanism="skellam", clip=2, weight_max=1, grid=1 / 8, dimension=64, deviation=1.5, contributors=400, q=1,
             releases=3, delta=1e-5),
        dict(mechanism="skellam", clip=1, weight_max=3, grid=1 / 256, dimension=1 << 14, deviation=130.0,
             contributors=40, q=0.02, releases=500, delta=1e-6),
    ]
    for case in cases:
        case.setdefault("members", case["contributors"] + 20)
        of = discrete_gaussian if case["mechanism"] == "discrete_gaussian" else skellam
        cache = {a: of(case, a) for a in WHOLE}
        values = [(a, case["releases"] * sampled(cache.__getitem__, case["q"], a)) for a in WHOLE]
        squared, l2, l1 = bound(case)
        rows.append(case | {"norm_squared": int(squared), "l2": float(l2), "l1": float(l1),
                            "rdp": [[a, float(v / case["releases"])] for a, v in values if a in (2, 5, 17, 128, 256)],
                            "epsilon": float(epsilon(values, mpf(case["delta"])))})
    return rows


def convolved(law, times):
    out = {0: mpf(1)}
    for _ in range(times):
        fresh = {}
        for x, p in out.items():
            for y, r in law.items():
                fresh[x + y] = fresh.get(x + y, mpf(0)) + p * r
        out = fresh
    return out


def exact_divergence(law, shift, a):
    lost = sum(p**a * law.get(x + shift, mpf(0)) ** (1 - a) for x, p in law.items() if x + shift in law)
    return log(lost) / (a - 1)


def exact_rows():
    """Divergences of whole laws, d = 1, of one member moving the sum by `norm` whole steps."""
    mp.dps = 40
    rows = []
    reach = 60
    weights = {x: exp(-mpf(x * x) / (2 * 16)) for x in range(-reach, reach + 1)}
    whole = sum(weights.values())
    law = convolved({x: w / whole for x, w in weights.items()}, 3)
    for a in (2, 3, 8):
        rows.append({"mechanism": "discrete_gaussian", "deviation": 4.0, "contributors": 3, "norm": 2, "order": a,
                     "divergence": float(exact_divergence(law, 2, a))})
    variance = mpf(48)
    law = {x: exp(-variance) * besseli(abs(x), variance) for x in range(-120, 121)}
    for a in (2, 3, 8):
        rows.append({"mechanism": "skellam", "deviation": 4.0, "contributors": 3, "norm": 2, "order": a,
                     "divergence": float(exact_divergence(law, 2, a))})
    return rows


def skellam_tables():
    """The Poisson law of half a Skellam's variance, cumulated, floor(chance * 2^110) in hex."""
    mp.dps = 80
    rows = []
    for variance in (1, 16, 614**2):
        mean = mpf(variance) / 2
        spread = int(sqrt(mean)) + 1
        wanted = sorted({max(0, int(mean) + k * spread) for k in (-6, -2, -1, 0, 1, 3, 7)})
        term, total, chances = exp(-mean), mpf(0), []
        for k in range(wanted[-1] + 1):
            total += term
            if k in wanted:
                chances.append([k, "%x" % int(floor(total * 2**110))])
            term = term * mean / (k + 1)
        rows.append({"variance": variance, "up_to": chances})
    return rows


out = pathlib.Path(__file__).parent / "privacy" / "accountant.json"
out.write_text(json.dumps({"gaussian": gaussian_rows(), "tree": tree_rows(), "sums": sum_rows(),
                           "exact": exact_rows(), "poisson": skellam_tables()}, indent=1) + "\n")
