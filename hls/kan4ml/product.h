#pragma once

#include "rescale.h"

namespace kan4ml {

/// \brief Multiplication nodes (pykan): Y[o] = sat((P[o]*m[o] + b[o] + half) >> n), where
///
///   P[o] = X[first[o]] * X[first[o] + 1] * ... * X[first[o] + arity[o] - 1], exact.
///
/// An arity of 1 lets an input pass. Fully parallel, II = 1.
///
/// \tparam data_T   type of the input, see raw_bits; X are its raw integers
/// \tparam res_T    type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG   n_in; n_out; max_arity (1 … 16); reuse_factor (1); shift = n (0 … 62); product_t (signed; holds
/// every
///                  partial product); mult_t, bias_t (hold every m, b); sum_t (signed; holds every partial sum of
///                  scaled product, bias and half)
/// \tparam first_T  native integer type of the table of first factors
/// \tparam arity_T  native integer type of the table of arities
/// \tparam mult_T   native integer type of the table of multipliers
/// \tparam bias_T   native integer type of the table of biases
///
/// \param x      inputs, [n_in]
/// \param y      outputs, [n_out]
/// \param first  number of each output's first factor, [n_out]
/// \param arity  number of its factors, [n_out]; first[o] + arity[o] <= n_in
/// \param mult   multipliers m, [n_out]
/// \param bias   b, in units of 2^-n output LSBs, [n_out]
template <class data_T, class res_T, class CONFIG, class first_T, class arity_T, class mult_T, class bias_T>
void product(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out], const first_T first[CONFIG::n_out],
             const arity_T arity[CONFIG::n_out], const mult_T mult[CONFIG::n_out], const bias_T bias[CONFIG::n_out]) {
#pragma HLS PIPELINE II = CONFIG::reuse_factor
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
#pragma HLS ARRAY_PARTITION variable = first complete
#pragma HLS ARRAY_PARTITION variable = arity complete
#pragma HLS ARRAY_PARTITION variable = mult complete
#pragma HLS ARRAY_PARTITION variable = bias complete
    typedef typename CONFIG::product_t product_t;
    static_assert(CONFIG::reuse_factor == 1, "this kernel is fully parallel: its reuse factor is 1");
    static_assert(CONFIG::max_arity >= 1 && CONFIG::max_arity <= 16, "a multiplication node has 1 to 16 factors");
    static_assert(CONFIG::max_arity <= CONFIG::n_in, "every factor is an input");
    static_assert(raw_bits<product_t>::is_signed, "a product is signed");

PRODUCT_OUTPUTS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        product_t value = to_raw(x[first[o]]);
    PRODUCT_FACTORS:
        for (unsigned j = 1; j < CONFIG::max_arity; j++) {
#pragma HLS UNROLL
            if (j < (unsigned)arity[o]) {
                value = value * to_raw(x[first[o] + j]);
            }
        }
        const typename CONFIG::mult_t m = mult[o];
        const typename CONFIG::bias_t b = bias[o];
        const typename CONFIG::sum_t scaled = value * m;
        y[o] = round_saturate<res_T, CONFIG>(scaled + b);
    }
}

} // namespace kan4ml
