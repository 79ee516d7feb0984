#pragma once

#include "basis_window.h"
#include "types.h"

namespace kan4ml {

/// \brief Basis unit as arithmetic: the K = k + 1 non-zero B-splines of a uniform grid, as polynomials of the position
/// within a cell, by Horner's rule.
///
///   T = (c_i * m + b) >> s                             position, in units of 2^-F of a cell (">>" floors)
///   cell q = T >> F,   f = T mod 2^F                   0 <= f < 2^F
///   h = A[k][j];   h = ((h * f + 2^(F-1)) >> F) + A[p][j]  for p = k-1 … 0
///   local[j] = max(0, (h + half) >> g)                 half = 2^(g-1), or 0 where g = 0
///
/// and the window of cell q is placed as basis_window.h says. A[p][j] is the coefficient of f^p in the j-th B-spline of
/// a cell, in units of 2^-g LSBs of the values. The roundings above are the definition: the numba reference and torch
/// round alike. Every h, product and T is checked by interval analysis (all codes), which gives the types.
///
/// \tparam code_T         type of the codes (unsigned)
/// \tparam CONFIG         n_codes = C; n_tables (1: one grid for all inputs, or N_IN); window = K; n_basis; n_rows =
///                        n_columns = K; n_index = 2 * n_tables; position_shift = s; fraction = F (1 … 30); guard = g;
///                        inside (see basis_window); coefficient_t (signed; holds every A); constant_t (holds every m
///                        and b); position_t (signed; holds
///                        c * m, c * m + b); product_t (signed; holds h * f + 2^(F-1)); sum_t (signed; holds every h,
///                        h + half); value_t (holds every local value); start_t
/// \tparam N_IN           number of inputs
/// \tparam coefficient_T  native integer type of the coefficients
/// \tparam position_T     native integer type of m and b
///
/// \param code          codes, [N_IN], each in 0 … C - 1
/// \param coefficients  A, [K][K], by power and function
/// \param position      m, b of each grid, [2 * n_tables]
/// \param value         window of every input, [N_IN][K]
/// \param start         start of every window, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class coefficient_T, class position_T>
inline void bspline_arith(const code_T code[N_IN], const coefficient_T coefficients[CONFIG::window][CONFIG::window],
                          const position_T position[CONFIG::n_index],
                          typename CONFIG::value_t value[N_IN][CONFIG::window], typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = coefficients complete dim = 0
#pragma HLS ARRAY_PARTITION variable = position complete
    static_assert(CONFIG::window >= 2, "a B-spline of order k >= 1 has a window of k + 1 >= 2 values");
    static_assert(CONFIG::n_tables == 1 || CONFIG::n_tables == N_IN, "a basis has 1 grid or one per input");
    static_assert((unsigned)CONFIG::n_index == 2 * CONFIG::n_tables, "a grid has a multiplier and an offset");
    static_assert((unsigned)CONFIG::n_rows == (unsigned)CONFIG::window &&
                      (unsigned)CONFIG::n_columns == (unsigned)CONFIG::window,
                  "there is a coefficient for every power 0 … k of every function of a cell");
    static_assert(CONFIG::fraction >= 1 && CONFIG::fraction <= 30, "a position has 1 to 30 bits within its cell");
    static_assert(CONFIG::guard <= 52 && CONFIG::position_shift <= 62,
                  "a guard shifts by 0 to 52, a position by 0 to 62");
    static_assert(raw_bits<typename CONFIG::position_t>::is_signed, "a position may lie below the grid: it is signed");
    typedef typename CONFIG::position_t position_t;
    typedef typename CONFIG::product_t product_t;
    typedef typename CONFIG::sum_t sum_t;
    const int fraction = (int)CONFIG::fraction;
    // Shifting by width - 1 leaves only the sign; shifting further would give the same.
    const int shift = (int)CONFIG::position_shift < raw_bits<position_t>::width ? (int)CONFIG::position_shift
                                                                                : raw_bits<position_t>::width - 1;
    const int cell_shift = fraction < raw_bits<position_t>::width ? fraction : raw_bits<position_t>::width - 1;
    const long long half = CONFIG::guard == 0 ? 0LL : 1LL << (CONFIG::guard == 0 ? 0 : CONFIG::guard - 1);

SPLINE_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const unsigned t = CONFIG::n_tables == 1 ? 0 : i;
        const typename CONFIG::constant_t m = position[2 * t];
        const typename CONFIG::constant_t b = position[2 * t + 1];
        const position_t sum = m * code[i] + b;
        const position_t place = sum >> shift;
        const position_t cell = place >> cell_shift;
        const ap_uint<CONFIG::fraction> f = place;
        typename CONFIG::value_t local[CONFIG::window];
#pragma HLS ARRAY_PARTITION variable = local complete
    SPLINE_FUNCTIONS:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            sum_t h = (typename CONFIG::coefficient_t)coefficients[CONFIG::window - 1][j];
        SPLINE_HORNER:
            for (unsigned n = 1; n < CONFIG::window; n++) {
#pragma HLS UNROLL
                const product_t product = h * f + (1LL << (fraction - 1));
                const typename CONFIG::coefficient_t a = coefficients[CONFIG::window - 1 - n][j];
                h = (product >> fraction) + a;
            }
            const sum_t rounded = h + half;
            if (rounded < 0) {
                local[j] = 0;
            } else {
                local[j] = rounded >> (int)CONFIG::guard;
            }
        }
        basis_window<CONFIG>(cell, local, value[i], start[i]);
    }
}

/// \brief Names bspline_arith as the basis unit of a layer (CONFIG::basis::unit, see kan_dense).
struct bspline_arith_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T index[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                         typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        bspline_arith<code_T, CONFIG, N_IN>(code, table, index, value, start);
    }
};

} // namespace kan4ml
