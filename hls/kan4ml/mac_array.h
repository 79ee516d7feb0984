#pragma once

#include "sums.h"

namespace kan4ml {

/// \brief MAC array of the spline branch: acc[o] = sum over edges (i -> o) of sum_j B_i[j] * W[e][start_i + j]. Exact.
///
/// Only alive edges are listed, so a pruned edge costs nothing; a zero weight is a constant zero once the loops are
/// unrolled. Every partial sum fits in acc_t in any order of summation, so synthesis may balance the adder tree.
///
/// \tparam BASIS     window = K; n_basis; value_t; start_t (see bspline_rom)
/// \tparam CONFIG    n_in; n_out; n_edges (>= 1); weight_t (holds every W); acc_t (signed; holds every partial sum)
/// \tparam input_T   native integer type of the table of edge inputs
/// \tparam output_T  native integer type of the table of edge outputs
/// \tparam weight_T  native integer type of the table of weights
///
/// \param value        windows B_i, [n_in][K]
/// \param start        window starts, [n_in], each in 0 … n_basis - K
/// \param edge_input   input i of each edge, [n_edges], each in 0 … n_in - 1
/// \param edge_output  output o of each edge, [n_edges], each in 0 … n_out - 1
/// \param weights      weights W, [n_edges][n_basis]
/// \param acc          sums, [n_out]
template <class BASIS, class CONFIG, class input_T, class output_T, class weight_T>
inline void spline_mac(const typename BASIS::value_t value[CONFIG::n_in][BASIS::window],
                       const typename BASIS::start_t start[CONFIG::n_in], const input_T edge_input[CONFIG::n_edges],
                       const output_T edge_output[CONFIG::n_edges],
                       const weight_T weights[CONFIG::n_edges][BASIS::n_basis],
                       typename CONFIG::acc_t acc[CONFIG::n_out]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = edge_input complete
#pragma HLS ARRAY_PARTITION variable = edge_output complete
#pragma HLS ARRAY_PARTITION variable = weights complete dim = 0
    static_assert(CONFIG::n_edges >= 1, "a layer without alive edges is given one edge of weight 0");
    static_assert(raw_bits<typename CONFIG::acc_t>::is_signed, "an accumulator is signed");
    typedef sums<typename CONFIG::acc_t> in;
    typename in::type sum[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = sum complete

SPLINE_CLEAR:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        sum[o] = 0;
    }
SPLINE_EDGES:
    for (unsigned e = 0; e < CONFIG::n_edges; e++) {
#pragma HLS UNROLL
        const unsigned i = edge_input[e];
        const unsigned first = (unsigned)start[i];
        typename in::type edge = 0;
    SPLINE_WINDOW:
        for (unsigned j = 0; j < BASIS::window; j++) {
#pragma HLS UNROLL
            edge += in::template term<typename BASIS::value_t>(value[i][j]) *
                    in::template term<typename CONFIG::weight_t>(weights[e][first + j]);
        }
        sum[edge_output[e]] += edge;
    }
SPLINE_TOTALS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        acc[o] = in::total(sum[o]);
    }
}

/// \brief MACs of the base branch: acc[o] = sum over edges (i -> o) of S_i * w[e]. Exact.
///
/// \tparam value_T   type of the activations (see base_table)
/// \tparam CONFIG    n_in; n_out; n_edges (>= 1); weight_t (holds every w); acc_t (signed; holds every partial sum)
/// \tparam input_T   native integer type of the table of edge inputs
/// \tparam output_T  native integer type of the table of edge outputs
/// \tparam weight_T  native integer type of the table of weights
///
/// \param value        activations S_i, [n_in]
/// \param edge_input   input i of each edge, [n_edges], each in 0 … n_in - 1
/// \param edge_output  output o of each edge, [n_edges], each in 0 … n_out - 1
/// \param weights      weights w, [n_edges]
/// \param acc          sums, [n_out]
template <class value_T, class CONFIG, class input_T, class output_T, class weight_T>
inline void base_mac(const value_T value[CONFIG::n_in], const input_T edge_input[CONFIG::n_edges],
                     const output_T edge_output[CONFIG::n_edges], const weight_T weights[CONFIG::n_edges],
                     typename CONFIG::acc_t acc[CONFIG::n_out]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = edge_input complete
#pragma HLS ARRAY_PARTITION variable = edge_output complete
#pragma HLS ARRAY_PARTITION variable = weights complete
    static_assert(CONFIG::n_edges >= 1, "a layer without alive edges is given one edge of weight 0");
    static_assert(raw_bits<typename CONFIG::acc_t>::is_signed, "an accumulator is signed");
    typedef sums<typename CONFIG::acc_t> in;
    typename in::type sum[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = sum complete

BASE_CLEAR:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        sum[o] = 0;
    }
BASE_EDGES:
    for (unsigned e = 0; e < CONFIG::n_edges; e++) {
#pragma HLS UNROLL
        sum[edge_output[e]] +=
            in::template term<value_T>(value[edge_input[e]]) * in::template term<typename CONFIG::weight_t>(weights[e]);
    }
BASE_TOTALS:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        acc[o] = in::total(sum[o]);
    }
}

} // namespace kan4ml
