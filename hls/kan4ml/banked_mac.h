#pragma once

#include "rolled.h"

namespace kan4ml {

/// \brief The products of one input's window, read from K banks: sum[o] += sum_b V[c][b] * W[b][r*G + g[c][b]][o].
///
/// Basis function j lies in bank j mod K, group j / K (G = ceil(n_basis / K) groups). Any window of K functions touches
/// every bank once, so one word of each bank holds what is needed. V is the basis table rotated by the window's start
/// when the table is generated, V[c][b] = B[c][(b - start[c]) mod K]: no rotator in the datapath. Exact.
///
/// \tparam BASIS     n_codes = C; window = K; n_basis; value_t (holds every B); group_t (unsigned; holds G - 1)
/// \tparam CONFIG    n_out; weight_t (holds every W); acc_t (signed; holds every partial sum)
/// \tparam STEPS     R, the iterations of the rolled loop
/// \tparam value_T   native integer type of the rotated basis table
/// \tparam group_T   native integer type of the table of groups
/// \tparam weight_T  native integer type of the table of weights
///
/// \param step    r, the iteration, 0 … R - 1
/// \param code    c, 0 … C - 1
/// \param values  V, [C][K]
/// \param groups  g, [C][K], each in 0 … G - 1
/// \param banks   W, the K banks of this input, each of R*G words, [K][R*G][n_out]
/// \param sum     sums of the iteration so far, [n_out]
template <class BASIS, class CONFIG, unsigned STEPS, class value_T, class group_T, class weight_T>
inline void banked_mac(
    unsigned step, unsigned code, const value_T values[BASIS::n_codes][BASIS::window],
    const group_T groups[BASIS::n_codes][BASIS::window],
    const weight_T banks[BASIS::window][STEPS * ((BASIS::n_basis + BASIS::window - 1) / BASIS::window)][CONFIG::n_out],
    typename CONFIG::acc_t sum[CONFIG::n_out]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = values complete dim = 0
#pragma HLS ARRAY_PARTITION variable = groups complete dim = 0
    static const unsigned n_groups = (BASIS::n_basis + BASIS::window - 1) / BASIS::window;
    static_assert(BASIS::window >= 1 && BASIS::window <= BASIS::n_basis, "a window lies within the basis");
    static_assert(!raw_bits<typename BASIS::group_t>::is_signed, "a group is unsigned");
    static_assert(raw_bits<typename BASIS::group_t>::highest >= (long long)n_groups - 1,
                  "the group type does not hold the last group");
    static_assert(raw_bits<typename CONFIG::acc_t>::is_signed, "an accumulator is signed");

BANKS:
    for (unsigned b = 0; b < BASIS::window; b++) {
#pragma HLS UNROLL
        const typename BASIS::value_t v = values[code][b];
        const typename BASIS::group_t g = groups[code][b];
        const unsigned word = step * n_groups + (unsigned)g;
    BANK_WEIGHTS:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            const typename CONFIG::weight_t w = banks[b][word][o];
            sum[o] += v * w;
        }
    }
}

} // namespace kan4ml
