#pragma once

#include "coder.h"
#include "rescale.h"
#include "sums.h"

namespace kan4ml {

/// \brief A dense KAN layer in edge-table form: Y[o] = sat((sum over edges (i -> o) of E[e][c_i] + bias[o] + half) >>
/// n).
///
/// Fully parallel, II = 1: every alive edge is one small ROM, every output one adder tree. Exact but for the one
/// rounding and saturation at the end.
///
/// \tparam data_T    type of the input, see raw_bits
/// \tparam res_T     type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG    n_in; n_out; n_edges (>= 1); reuse_factor (1); coder (see coder); value_t (holds every E); acc_t
///                   (signed; holds every partial sum of E in any order); shift = n (0 … 62); bias_t (holds every
///                   bias); sum_t (signed; holds every partial sum, bias and half included)
/// \tparam mult_T    native integer type of the table of multipliers
/// \tparam offset_T  native integer type of the table of offsets
/// \tparam input_T   native integer type of the table of edge inputs
/// \tparam output_T  native integer type of the table of edge outputs
/// \tparam value_T   native integer type of the edge tables
/// \tparam bias_T    native integer type of the table of biases
///
/// \param x            inputs, [n_in]
/// \param y            outputs, [n_out]
/// \param mult         multipliers of the coder, [coder::n_mult]
/// \param offset       offsets of the coder, [coder::n_mult]
/// \param edge_input   input i of each alive edge, [n_edges], each in 0 … n_in - 1
/// \param edge_output  output o of each alive edge, [n_edges], each in 0 … n_out - 1
/// \param tables       E, [n_edges][coder::n_codes]
/// \param bias         in the units of the tables, [n_out]
template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T, class input_T, class output_T,
          class value_T, class bias_T>
void edge_table(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out], const mult_T mult[CONFIG::coder::n_mult],
                const offset_T offset[CONFIG::coder::n_mult], const input_T edge_input[CONFIG::n_edges],
                const output_T edge_output[CONFIG::n_edges],
                const value_T tables[CONFIG::n_edges][CONFIG::coder::n_codes], const bias_T bias[CONFIG::n_out]) {
#pragma HLS PIPELINE II = CONFIG::reuse_factor
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
#pragma HLS ARRAY_PARTITION variable = edge_input complete
#pragma HLS ARRAY_PARTITION variable = edge_output complete
#pragma HLS ARRAY_PARTITION variable = tables complete dim = 0
#pragma HLS ARRAY_PARTITION variable = bias complete
    typedef typename CONFIG::coder coder_config;
    static_assert(CONFIG::reuse_factor == 1, "this kernel is fully parallel: its reuse factor is 1");
    static_assert(CONFIG::n_edges >= 1, "a layer without alive edges is given one edge with a table of zeros");
    static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::n_in, "the coder is for another n_in");
    static_assert(raw_bits<typename CONFIG::acc_t>::is_signed, "an accumulator is signed");

    typename coder_config::code_t code[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = code complete
    typedef sums<typename CONFIG::acc_t> in;
    typename in::type acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = acc complete

    coder<data_T, coder_config>(x, mult, offset, code);
TABLE_CLEAR:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        acc[o] = 0;
    }
TABLE_EDGES:
    for (unsigned e = 0; e < CONFIG::n_edges; e++) {
#pragma HLS UNROLL
        acc[edge_output[e]] += in::template term<typename CONFIG::value_t>(tables[e][(unsigned)code[edge_input[e]]]);
    }
TABLE_OUTPUTS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        const typename CONFIG::bias_t b = bias[o];
        const typename CONFIG::sum_t sum = in::total(acc[o]) + b;
        y[o] = round_saturate<res_T, CONFIG>(sum);
    }
}

} // namespace kan4ml
