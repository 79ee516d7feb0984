#pragma once

#include "sums.h"

namespace kan4ml {

/// \brief One rounding, then saturation: Y = sat((sum + half) >> n), half = 2^(n-1), or 0 where n = 0.
///
/// ">>" floors, so ties go up. Y is written to the raw bits of the result and saturates to its width and sign.
///
/// \tparam res_T   type of the output, see raw_bits
/// \tparam CONFIG  shift = n (0 … 62); sum_t (signed; holds sum, half and sum + half)
template <class res_T, class CONFIG>
inline res_T round_saturate(const typename CONFIG::sum_t &sum) {
#pragma HLS INLINE
    typedef typename CONFIG::sum_t sum_t;
    typedef raw_bits<res_T> raw;
    typedef sums<sum_t> in;
    static_assert(CONFIG::shift <= 62, "a rescale shifts by 0 to 62");
    static_assert(raw_bits<sum_t>::is_signed, "a rescaled sum is signed");
    static_assert(CONFIG::shift == 0 || (int)CONFIG::shift < raw_bits<sum_t>::width,
                  "the sum's type does not hold the rounding constant");

    const sum_t half = CONFIG::shift == 0 ? 0LL : 1LL << (CONFIG::shift == 0 ? 0 : CONFIG::shift - 1);
    const typename in::number rounded = in::total(in::template term<sum_t>(sum) + in::template term<sum_t>(half));
    const typename in::number floored = rounded >> (int)CONFIG::shift;
    const ap_int<raw::width + 1> lowest = raw::lowest;
    const ap_int<raw::width + 1> highest = raw::highest;
    typename raw::type y = floored;
    if (floored < lowest) {
        y = lowest;
    } else if (floored > highest) {
        y = highest;
    }
    return from_raw<res_T>(y);
}

/// \brief Rescale of both branches: Y[o] = sat((acc_s[o]*ms[o] + acc_b[o]*mb[o] + bias[o] + half) >> n).
///
/// \tparam spline_T  type of the spline sums
/// \tparam base_T    type of the base sums
/// \tparam res_T     type of the output, see raw_bits
/// \tparam CONFIG    n_out; shift = n (0 … 62); spline_mult_t, base_mult_t, bias_t (hold every ms, mb, bias); sum_t
///                   (signed; holds every partial sum of the terms, half included)
/// \tparam ms_T      native integer type of the table of spline multipliers
/// \tparam mb_T      native integer type of the table of base multipliers
/// \tparam bias_T    native integer type of the table of biases
///
/// \param spline       sums of the spline branch, [n_out]
/// \param base         sums of the base branch, [n_out]
/// \param spline_mult  multipliers ms, [n_out]
/// \param base_mult    multipliers mb, [n_out]
/// \param bias         in units of 2^-n output LSBs, [n_out]
/// \param y            outputs, [n_out]
template <class spline_T, class base_T, class res_T, class CONFIG, class ms_T, class mb_T, class bias_T>
inline void rescale(const spline_T spline[CONFIG::n_out], const base_T base[CONFIG::n_out],
                    const ms_T spline_mult[CONFIG::n_out], const mb_T base_mult[CONFIG::n_out],
                    const bias_T bias[CONFIG::n_out], res_T y[CONFIG::n_out]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = spline_mult complete
#pragma HLS ARRAY_PARTITION variable = base_mult complete
#pragma HLS ARRAY_PARTITION variable = bias complete
    typedef sums<typename CONFIG::sum_t> in;
RESCALE_OUTPUTS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        const typename in::type from_spline =
            in::template term<spline_T>(spline[o]) * in::template term<typename CONFIG::spline_mult_t>(spline_mult[o]);
        const typename in::type from_base =
            in::template term<base_T>(base[o]) * in::template term<typename CONFIG::base_mult_t>(base_mult[o]);
        const typename CONFIG::sum_t sum =
            in::total(from_spline + from_base + in::template term<typename CONFIG::bias_t>(bias[o]));
        y[o] = round_saturate<res_T, CONFIG>(sum);
    }
}

/// \brief Rescale of a layer without base branch: Y[o] = sat((acc_s[o]*ms[o] + bias[o] + half) >> n).
///
/// Parameters as above.
template <class spline_T, class res_T, class CONFIG, class ms_T, class bias_T>
inline void rescale(const spline_T spline[CONFIG::n_out], const ms_T spline_mult[CONFIG::n_out],
                    const bias_T bias[CONFIG::n_out], res_T y[CONFIG::n_out]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = spline_mult complete
#pragma HLS ARRAY_PARTITION variable = bias complete
    typedef sums<typename CONFIG::sum_t> in;
RESCALE_OUTPUTS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        const typename in::type from_spline =
            in::template term<spline_T>(spline[o]) * in::template term<typename CONFIG::spline_mult_t>(spline_mult[o]);
        const typename CONFIG::sum_t sum = in::total(from_spline + in::template term<typename CONFIG::bias_t>(bias[o]));
        y[o] = round_saturate<res_T, CONFIG>(sum);
    }
}

} // namespace kan4ml
