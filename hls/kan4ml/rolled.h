#pragma once

#include "types.h"

/// \brief Keeps a loop a loop in clang, which unrolls what it can: `LABEL: KAN4ML_ROLLED for (…)`. Vitis HLS, which is
/// told by `#pragma HLS PIPELINE`, and g++ see nothing.
#if defined(__clang__) && !defined(__VITIS_HLS__)
#define KAN4ML_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define KAN4ML_ROLLED
#endif

namespace kan4ml {

/// \brief How a layer's inputs are spread over the iterations of its rolled loop: iteration r < R reads the inputs
/// r*P … r*P + P - 1, P = n_in / R. A multiplier is used R times per sample, once in each iteration.
///
/// \tparam CONFIG  n_in; reuse_factor = R (a divisor of n_in)
template <class CONFIG>
struct reuse {
    static_assert(CONFIG::reuse_factor >= 1, "a reuse factor is at least 1");
    static_assert(CONFIG::n_in % CONFIG::reuse_factor == 0, "a reuse factor divides the number of inputs");
    static const unsigned steps = CONFIG::reuse_factor;
    static const unsigned inputs_per_step = CONFIG::n_in / CONFIG::reuse_factor;
};

} // namespace kan4ml
