"""What the papers promise, as numbers: pure functions of floats and arrays, one file a topic, each with its formula and
its source.

Three kinds of source are told apart: "as printed" (the formula stands in the paper), "derived" (exact, follows from the
definitions; the tests check it against simulation) and "our reading" (an order statement whose constants we did not see
in print: every hidden constant is set to 1, so only slopes, ratios and orderings mean anything).

Symbols: `n` workers, `seconds` (n,) the fixed time of each worker for one gradient, `L` smoothness, `delta` = F(x0) -
inf F, `sigma_sq` the variance of a stochastic gradient (expected squared norm), `eps` the target for E|grad F|^2, `lr`
the step size. What is called `time_...`, `lower_bound_time_...` or `round_time_...` is in seconds; `L_delta_over_eps` =
L delta / eps and `sigma_sq_over_eps` are pure numbers. A step size that is returned is `lr` itself where the
function takes `L`, else a multiple of 1/L.
"""

from asgd_lib.arguments import guard
from asgd_lib.theory.complexity import (
    equilibrium_time,
    fastest_workers,
    lower_bound_time_convex,
    round_time_batch,
    round_time_first_k,
    time_malenia,
    time_mindflayer,
    time_rennala,
    time_ringleader,
    time_ringmaster,
    time_shadowheart,
)
from asgd_lib.theory.constants import Constants, dissimilarity, gradient_variance, initial_gap, problem_constants, smoothness
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
    LogisticFacts,
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
from asgd_lib.theory.steps import (
    gradients_a_step,
    rate_delay_filter,
    rennala_step,
    rennala_updates,
    ringleader_most_delay,
    ringleader_step,
    ringmaster_step,
    ringmaster_updates,
    tree_step,
    tree_updates,
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
    "Constants",
    "LogisticFacts",
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
    "dissimilarity",
    "dude_cautious_step",
    "dude_delays",
    "dude_iterations",
    "dude_least_arrivals",
    "dude_noise_factor",
    "dude_noise_time",
    "dude_step",
    "dude_straggler_cycles",
    "dude_tau_max",
    "equilibrium_time",
    "fastest_workers",
    "fixed_point",
    "flat_ring_bytes",
    "gradient_variance",
    "gradients_a_step",
    "hogwild_bound",
    "hogwild_log_start",
    "hogwild_permissible_delay",
    "hogwild_round_ratio",
    "hogwild_rounds",
    "initial_gap",
    "linear_recursion_radius",
    "logistic_facts",
    "lower_bound_time_convex",
    "lower_bound_time_heterogeneous",
    "lower_bound_time_homogeneous",
    "mean_delay",
    "mean_delay_by_worker",
    "measured_adaptive_weights",
    "minimax_gradients",
    "noise_floor",
    "problem_constants",
    "rate_convex",
    "rate_delay_filter",
    "rate_heterogeneous",
    "rate_nonconvex",
    "rennala_step",
    "rennala_updates",
    "ringleader_most_delay",
    "ringleader_step",
    "ringmaster_step",
    "ringmaster_updates",
    "round_time_asynchronous",
    "round_time_batch",
    "round_time_first_k",
    "round_time_synchronous",
    "sgd_bound",
    "sgd_error_constant",
    "sgd_lower_bound",
    "smoothness",
    "throughput_ratio",
    "time_asgd",
    "time_dude",
    "time_malenia",
    "time_mindflayer",
    "time_minibatch",
    "time_rennala",
    "time_ringleader",
    "time_ringmaster",
    "time_shadowheart",
    "tree_step",
    "tree_updates",
    "uniform_weights",
]

guard(__name__)
