#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Gaussian radial basis functions as a ROM: code c_i to the K values G[c_i][0 … K-1] that may differ from 0 and
/// the index start[c_i] of the first one.
///
///   G_j(x) = exp(-((x - g_j) / h)^2), rounded to integers.
///
/// A Gaussian never ends, but rounded it does: K is the largest number of neighbouring centres g_j at which the rounded
/// value of any code is not 0, so a narrow Gaussian on many centres costs what a B-spline costs.
///
/// \tparam code_T    type of the codes (unsigned)
/// \tparam CONFIG    n_codes = C; n_tables (1: one table for all inputs, or N_IN); n_rows = n_tables * C; n_columns =
/// K;
///                   n_index = n_rows; window = K; n_basis (centres, >= K); value_t (holds every G); start_t (unsigned;
///                   holds every start)
/// \tparam N_IN      number of inputs
/// \tparam value_T   native integer type of the table of values
/// \tparam start_T   native integer type of the table of starts
///
/// \param code    codes, [N_IN], each in 0 … C - 1
/// \param rom     values G, [n_rows][K]; input i reads the rows from i * C, or from 0 if there is one table
/// \param starts  first centre, [n_rows], each in 0 … n_basis - K
/// \param value   window of every input, [N_IN][K]
/// \param start   start of every window, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class value_T, class start_T>
inline void rbf_rom(const code_T code[N_IN], const value_T rom[CONFIG::n_rows][CONFIG::window],
                    const start_T starts[CONFIG::n_rows], typename CONFIG::value_t value[N_IN][CONFIG::window],
                    typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rom complete dim = 0
#pragma HLS ARRAY_PARTITION variable = starts complete
    static_assert(CONFIG::window >= 1 && CONFIG::window <= CONFIG::n_basis, "a window lies within the basis");
    static_assert(!raw_bits<typename CONFIG::start_t>::is_signed, "a basis index is unsigned");
    static_assert(CONFIG::n_tables == 1 || CONFIG::n_tables == N_IN, "a basis has 1 table or one per input");
    static_assert((unsigned)CONFIG::n_rows == CONFIG::n_tables * CONFIG::n_codes, "a table has a row for every code");
    static_assert((unsigned)CONFIG::n_columns == (unsigned)CONFIG::window, "a row of the ROM holds one window");
    static_assert((unsigned)CONFIG::n_index == (unsigned)CONFIG::n_rows, "every row of the ROM has a start");

RBF_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const unsigned c = (CONFIG::n_tables == 1 ? 0 : i * CONFIG::n_codes) + (unsigned)code[i];
        start[i] = starts[c];
    RBF_WINDOW:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            value[i][j] = rom[c][j];
        }
    }
}

/// \brief Names rbf_rom as the basis unit of a layer (CONFIG::basis::unit, see kan_dense).
struct rbf_rom_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T index[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                         typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        rbf_rom<code_T, CONFIG, N_IN>(code, table, index, value, start);
    }
};

} // namespace kan4ml
