#pragma once

#include "basis_window.h"
#include "types.h"

namespace kan4ml {

/// \brief Basis unit as a ROM: code c_i to the K basis values B[c_i][0 … K-1] that may differ from 0 and the index
/// start[c_i] of the first one.
///
/// A B-spline of order k has K = k + 1. All other basis functions are 0 at that code. Any order, any knots: they are in
/// the table. With a grid per input there is a table per input, one after the other.
///
/// \tparam code_T    type of the codes (unsigned)
/// \tparam CONFIG    n_codes = C; n_tables (1: one table for all inputs, or N_IN); n_rows = n_tables * C; n_columns =
/// K;
///                   n_index = n_rows; window = K; n_basis (basis functions per input, >= K); value_t (holds every B);
///                   start_t (unsigned; holds every start)
/// \tparam N_IN      number of inputs
/// \tparam value_T   native integer type of the table of values
/// \tparam start_T   native integer type of the table of starts
///
/// \param code    codes, [N_IN], each in 0 … C - 1
/// \param rom     basis values B, [n_rows][K]; input i reads the rows from i * C, or from 0 if there is one table
/// \param starts  first basis index, [n_rows], each in 0 … n_basis - K
/// \param value   window of every input, [N_IN][K]
/// \param start   start of every window, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class value_T, class start_T>
inline void bspline_rom(const code_T code[N_IN], const value_T rom[CONFIG::n_rows][CONFIG::window],
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

BASIS_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const unsigned c = (CONFIG::n_tables == 1 ? 0 : i * CONFIG::n_codes) + (unsigned)code[i];
        start[i] = starts[c];
    BASIS_WINDOW:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            value[i][j] = rom[c][j];
        }
    }
}

/// \brief The same for codes that are aligned with a uniform grid: every cell of the grid reads the same 2^m rows, of
/// which the second half may be the first one mirrored.
///
///   T = c_i + offset,   cell q = T >> m,   phase p = T mod 2^m,   local[j] = R[p][j],
///
/// and the window of cell q is placed as basis_window.h says. The value of the j-th B-spline of a cell at position f is
/// that of the (k - j)-th at 1 - f. So with mirror 1 (the phases are p / 2^m) the ROM holds the phases 0 … 2^(m-1) and
/// R[p][j] = R[2^m - p][k - j] beyond; with mirror 2 (the phases are (p + 1/2) / 2^m) it holds 0 … 2^(m-1) - 1 and
/// R[p][j] = R[2^m - 1 - p][k - j] beyond; with mirror 0 it holds all.
///
/// \tparam code_T   type of the codes (unsigned)
/// \tparam CONFIG   n_codes = C; n_tables (1); n_rows (2^m, 2^(m-1) + 1 or 2^(m-1) for mirror 0, 1, 2); n_columns = K =
///                  window; n_index (1); n_basis; phase_bits = m; mirror; inside (see basis_window); cell_t (signed;
///                  holds T for every code); value_t; start_t
/// \tparam N_IN     number of inputs
/// \tparam value_T  native integer type of the table of values
/// \tparam start_T  native integer type of the offset
///
/// \param code    codes, [N_IN], each in 0 … C - 1
/// \param rom     values R of one cell, [n_rows][K]
/// \param offset  offset of the codes, [1]
/// \param value   window of every input, [N_IN][K]
/// \param start   start of every window, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class value_T, class start_T>
inline void bspline_rom_aligned(const code_T code[N_IN], const value_T rom[CONFIG::n_rows][CONFIG::window],
                                const start_T offset[1], typename CONFIG::value_t value[N_IN][CONFIG::window],
                                typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rom complete dim = 0
    static_assert(CONFIG::mirror <= 2, "a ROM is mirrored in no way (0), at the knots (1) or between the phases (2)");
    static_assert(CONFIG::mirror == 0 || CONFIG::phase_bits >= 1, "a single phase has no mirror image");
    static_assert(CONFIG::phase_bits <= 12, "a cell has at most 4096 phases");
    static_assert(CONFIG::n_tables == 1, "an aligned ROM is shared by all inputs");
    static_assert(CONFIG::n_index == 1, "an aligned ROM has one offset and no starts");
    static_assert((unsigned)CONFIG::n_columns == (unsigned)CONFIG::window, "a row of the ROM holds one window");
    static_assert((unsigned)CONFIG::n_rows == (CONFIG::mirror == 0
                                                   ? 1u << CONFIG::phase_bits
                                                   : (1u << CONFIG::phase_bits) / 2 + (CONFIG::mirror == 1 ? 1 : 0)),
                  "the ROM has a row for every phase that is not a mirror image");
    const unsigned n_phases = 1u << CONFIG::phase_bits;

ALIGNED_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const typename CONFIG::cell_t place = (int)code[i] + (int)offset[0];
        const typename CONFIG::cell_t cell = place >> (int)CONFIG::phase_bits;
        const unsigned phase = (unsigned)(int)place & (n_phases - 1);
        const bool mirrored = CONFIG::mirror != 0 && phase >= (unsigned)CONFIG::n_rows;
        const unsigned row = mirrored ? (CONFIG::mirror == 1 ? n_phases : n_phases - 1) - phase : phase;
        typename CONFIG::value_t local[CONFIG::window];
#pragma HLS ARRAY_PARTITION variable = local complete
    ALIGNED_WINDOW:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            local[j] = rom[row][mirrored ? CONFIG::window - 1 - j : j];
        }
        basis_window<CONFIG>(cell, local, value[i], start[i]);
    }
}

/// \brief Names bspline_rom as the basis unit of a layer (CONFIG::basis::unit, see kan_dense).
struct bspline_rom_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T index[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                         typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        bspline_rom<code_T, CONFIG, N_IN>(code, table, index, value, start);
    }
};

/// \brief Names bspline_rom_aligned as the basis unit of a layer.
struct bspline_rom_aligned_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T index[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                         typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        bspline_rom_aligned<code_T, CONFIG, N_IN>(code, table, index, value, start);
    }
};

} // namespace kan4ml
