#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Basis unit as a ROM: code c_i to the K basis values B[c_i][0 … K-1] that may differ from 0 and the index
/// start[c_i] of the first one.
///
/// A B-spline of order k has K = k + 1. All other basis functions are 0 at that code.
///
/// \tparam code_T    type of the codes (unsigned)
/// \tparam CONFIG    n_codes = C; window = K; n_basis (basis functions per input, >= K); value_t (holds every B);
///                   start_t (unsigned; holds every start)
/// \tparam N_IN      number of inputs
/// \tparam value_T   native integer type of the table of values
/// \tparam start_T   native integer type of the table of starts
///
/// \param code    codes, [N_IN], each in 0 … C - 1
/// \param rom     basis values B, [C][K]
/// \param starts  first basis index, [C], each in 0 … n_basis - K
/// \param value   window of every input, [N_IN][K]
/// \param start   start of every window, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class value_T, class start_T>
inline void bspline_rom(const code_T code[N_IN], const value_T rom[CONFIG::n_codes][CONFIG::window],
                        const start_T starts[CONFIG::n_codes], typename CONFIG::value_t value[N_IN][CONFIG::window],
                        typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rom complete dim = 0
#pragma HLS ARRAY_PARTITION variable = starts complete
    static_assert(CONFIG::window >= 1 && CONFIG::window <= CONFIG::n_basis, "a window lies within the basis");
    static_assert(!raw_bits<typename CONFIG::start_t>::is_signed, "a basis index is unsigned");

BASIS_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const unsigned c = (unsigned)code[i];
        start[i] = starts[c];
    BASIS_WINDOW:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            value[i][j] = rom[c][j];
        }
    }
}

} // namespace kan4ml
