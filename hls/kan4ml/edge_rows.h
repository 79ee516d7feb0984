#pragma once

#include "coder.h"
#include "rescale.h"
#include "rolled.h"

namespace kan4ml {

/// \brief The layer of edge_table.h as one rolled loop: Y[o] = sat((sum_i E[i][c_i][o] + bias[o] + half) >> n).
///
/// An iteration reads P = n_in / R inputs and, for each, one row of the table that its code selects: the entries of all
/// outputs, side by side in one word of a block RAM. II = 1, R iterations a sample, no multiplier. A pruned edge is an
/// entry of 0 and saves nothing. Exact but for the one rounding and saturation at the end.
///
/// \tparam data_T    type of the input, see raw_bits
/// \tparam res_T     type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG    n_in; n_out; reuse_factor = R (a divisor of n_in); coder (see coder); value_t (holds every E);
/// acc_t
///                   (signed; holds every partial sum of E in any order); shift = n (0 … 62); bias_t (holds every
///                   bias); sum_t (signed; holds every partial sum, bias and half included)
/// \tparam mult_T    native integer type of the table of multipliers
/// \tparam offset_T  native integer type of the table of offsets
/// \tparam value_T   native integer type of the rows
/// \tparam bias_T    native integer type of the table of biases
///
/// \param x       inputs, [n_in]
/// \param y       outputs, [n_out]
/// \param mult    multipliers of the coder, [coder::n_mult]
/// \param offset  offsets of the coder, [coder::n_mult]
/// \param rows    rows[k][r*C + c][o] = E[r*P + k][c][o]: P memories of R*C words, [P][R*C][n_out]
/// \param bias    in the units of the tables, [n_out]
template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T, class value_T, class bias_T>
void edge_rows(
    const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out], const mult_T mult[CONFIG::coder::n_mult],
    const offset_T offset[CONFIG::coder::n_mult],
    const value_T rows[reuse<CONFIG>::inputs_per_step][reuse<CONFIG>::steps * CONFIG::coder::n_codes][CONFIG::n_out],
    const bias_T bias[CONFIG::n_out]) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
#pragma HLS ARRAY_PARTITION variable = rows complete dim = 1
#pragma HLS ARRAY_RESHAPE variable = rows complete dim = 3
#pragma HLS BIND_STORAGE variable = rows type = rom_1p impl = bram
#pragma HLS ARRAY_PARTITION variable = bias complete
    typedef typename CONFIG::coder coder_config;
    static const unsigned steps = reuse<CONFIG>::steps, inputs = reuse<CONFIG>::inputs_per_step;
    static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::n_in, "the coder is for another n_in");
    static_assert(raw_bits<typename CONFIG::acc_t>::is_signed, "an accumulator is signed");

    typename CONFIG::acc_t acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = acc complete
ROWS_CLEAR:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        acc[o] = 0;
    }

KAN_EDGE_ROWS:
    KAN4ML_ROLLED
    for (unsigned r = 0; r < steps; r++) {
#pragma HLS PIPELINE II = 1
        typename CONFIG::acc_t sum[CONFIG::n_out]; // so that one adder only lies in the feedback of acc
#pragma HLS ARRAY_PARTITION variable = sum complete
    ROWS_INPUTS:
        for (unsigned k = 0; k < inputs; k++) {
#pragma HLS UNROLL
            const unsigned i = r * inputs + k, m = coder_config::n_mult == 1 ? 0 : i;
            const unsigned code = (unsigned)encode<data_T, coder_config>(x[i], mult[m], offset[m]);
        ROWS_ENTRIES:
            for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
                const typename CONFIG::value_t entry = rows[k][r * coder_config::n_codes + code][o];
                if (k == 0) {
                    sum[o] = entry;
                } else {
                    sum[o] += entry;
                }
            }
        }
    ROWS_ACCUMULATE:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            acc[o] += sum[o];
        }
    }

ROWS_OUTPUTS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        const typename CONFIG::bias_t b = bias[o];
        const typename CONFIG::sum_t total = acc[o] + b;
        y[o] = round_saturate<res_T, CONFIG>(total);
    }
}

} // namespace kan4ml
