"""What the papers promise, as numbers: pure functions of floats and arrays, one file a topic, each with its formula and
its source.

Three kinds of source are told apart: "as printed" (the formula stands in the paper), "derived" (exact, follows from the
definitions; the tests check it against simulation) and "our reading" (an order statement whose constants we did not see
in print: every hidden constant is set to 1, so only slopes, ratios and orderings mean anything).

Symbols: `n` workers, `seconds` (n,) the fixed time of each worker for one gradient, `L` smoothness, `delta` = F(x0) -
inf F, `sigma_sq` the variance of a stochastic gradient (expected squared norm), `eps` the target for E|grad F|^2, `lr`
the step size.
"""

from asgd_lib.theory.daso import (
    BFLOAT16_ROUNDOFF,
    daso_batch_time,
    daso_bytes,
    daso_critical_step,
    daso_efficiency,
    daso_multiplier,
    daso_own_weight,
    daso_saving,
    daso_share_for,
    flat_ring_bytes,
)
from asgd_lib.theory.delays import (
    arrival_shares,
    delay_shares_memoryless,
    delay_sum,
    delay_tail_bound,
    delay_weights_asgd,
    delay_weights_dude,
    dude_tau_max,
    mean_delay,
    mean_delay_by_worker,
)
from asgd_lib.theory.dude import dude_delays, dude_noise_factor, dude_noise_time, dude_straggler_cycles
from asgd_lib.theory.fixed_points import adaptive_weights, fixed_point, measured_adaptive_weights, uniform_weights
from asgd_lib.theory.hogwild import (
    hogwild_bound,
    hogwild_log_start,
    hogwild_permissible_delay,
    hogwild_round_ratio,
    hogwild_rounds,
    logistic_facts,
    sgd_bound,
    sgd_error_constant,
    sgd_lower_bound,
)
from asgd_lib.theory.momentum import critical_step_naive_momentum, critical_step_ormo
from asgd_lib.theory.noise import average_grad_norm_sq, noise_floor
from asgd_lib.theory.rates import (
    dude_cautious_step,
    dude_iterations,
    dude_least_arrivals,
    dude_step,
    minimax_gradients,
    rate_convex,
    rate_heterogeneous,
    rate_nonconvex,
)
from asgd_lib.theory.stability import (
    critical_step,
    critical_step_asgd,
    critical_step_dude,
    critical_step_minibatch,
    linear_recursion_radius,
)
from asgd_lib.theory.times import (
    lower_bound_time_heterogeneous,
    lower_bound_time_homogeneous,
    round_time_asynchronous,
    round_time_synchronous,
    throughput_ratio,
    time_asgd,
    time_dude,
    time_minibatch,
)

__all__ = [
    "BFLOAT16_ROUNDOFF",
    "adaptive_weights",
    "arrival_shares",
    "average_grad_norm_sq",
    "critical_step",
    "critical_step_asgd",
    "critical_step_dude",
    "critical_step_minibatch",
    "critical_step_naive_momentum",
    "critical_step_ormo",
    "daso_batch_time",
    "daso_bytes",
    "daso_critical_step",
    "daso_efficiency",
    "daso_multiplier",
    "daso_own_weight",
    "daso_saving",
    "daso_share_for",
    "delay_shares_memoryless",
    "delay_sum",
    "delay_tail_bound",
    "delay_weights_asgd",
    "delay_weights_dude",
    "dude_cautious_step",
    "dude_delays",
    "dude_iterations",
    "dude_least_arrivals",
    "dude_noise_factor",
    "dude_noise_time",
    "dude_step",
    "dude_straggler_cycles",
    "dude_tau_max",
    "fixed_point",
    "flat_ring_bytes",
    "hogwild_bound",
    "hogwild_log_start",
    "hogwild_permissible_delay",
    "hogwild_round_ratio",
    "hogwild_rounds",
    "linear_recursion_radius",
    "logistic_facts",
    "lower_bound_time_heterogeneous",
    "lower_bound_time_homogeneous",
    "mean_delay",
    "mean_delay_by_worker",
    "measured_adaptive_weights",
    "minimax_gradients",
    "noise_floor",
    "rate_convex",
    "rate_heterogeneous",
    "rate_nonconvex",
    "round_time_asynchronous",
    "round_time_synchronous",
    "sgd_bound",
    "sgd_error_constant",
    "sgd_lower_bound",
    "throughput_ratio",
    "time_asgd",
    "time_dude",
    "time_minibatch",
    "uniform_weights",
]
