#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Gram polynomials as a ROM: code c_i to all K = degree + 1 values V[c_i][0 … K-1].
///
///   V_n(x) = SiLU(P_n(tanh(x))), rounded to signed integers: tanh before and SiLU after cost nothing in a table.
///
/// Polynomials have no local support, so the window is the whole basis and always starts at 0.
///
/// \tparam code_T   type of the codes (unsigned)
/// \tparam CONFIG   n_codes = C; n_tables (1: one table for all inputs, or N_IN); n_rows = n_tables * C; n_columns = K
/// =
///                  window = n_basis; value_t (holds every V)
/// \tparam N_IN     number of inputs
/// \tparam value_T  native integer type of the table
///
/// \param code   codes, [N_IN], each in 0 … C - 1
/// \param rom    values V, [n_rows][K]; input i reads the rows from i * C, or from 0 if there is one table
/// \param value  values of every input, [N_IN][K]
template <class code_T, class CONFIG, unsigned N_IN, class value_T>
inline void gram_rom(const code_T code[N_IN], const value_T rom[CONFIG::n_rows][CONFIG::window],
                     typename CONFIG::value_t value[N_IN][CONFIG::window]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rom complete dim = 0
    static_assert(CONFIG::window >= 1 && (unsigned)CONFIG::window == (unsigned)CONFIG::n_basis,
                  "the window of a Gram basis is the whole basis");
    static_assert(CONFIG::n_tables == 1 || CONFIG::n_tables == N_IN, "a basis has 1 table or one per input");
    static_assert((unsigned)CONFIG::n_rows == CONFIG::n_tables * CONFIG::n_codes, "a table has a row for every code");
    static_assert((unsigned)CONFIG::n_columns == (unsigned)CONFIG::window, "a row of the ROM holds one window");

GRAM_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const unsigned c = (CONFIG::n_tables == 1 ? 0 : i * CONFIG::n_codes) + (unsigned)code[i];
    GRAM_DEGREES:
        for (unsigned n = 0; n < CONFIG::window; n++) {
#pragma HLS UNROLL
            value[i][n] = rom[c][n];
        }
    }
}

/// \brief Names gram_rom as the basis unit of a layer (CONFIG::basis::unit, see kan_dense); n_index is 1, not read.
struct gram_rom_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T * /* every window starts at 0 */,
                         typename CONFIG::value_t value[N_IN][CONFIG::window], typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        gram_rom<code_T, CONFIG, N_IN>(code, table, value);
    GRAM_STARTS:
        for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
            start[i] = 0;
        }
    }
};

} // namespace kan4ml
