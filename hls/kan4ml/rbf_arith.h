#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Gaussian radial basis functions as arithmetic: distance to each centre of the window, then linear
/// interpolation of one half of a Gaussian.
///
///   T = (c_i * m + b) >> s                              position, in units of 2^-F of a centre's spacing
///   start = clip((T >> F) - L, 0, n_basis - K)
///   d = |T - (start + j) * 2^F|,   n = d >> R,   r = d mod 2^R
///   value[j] = (G[n] * 2^R + (G[n+1] - G[n]) * r + half) >> (R + g) if n < S, else 0,   half = 2^(R+g-1), or 0
///
/// G[0 … S] are samples of the Gaussian, in units of 2^-g LSBs of the values. The roundings above are the definition:
/// the numba reference and torch round alike. Every T, d and sum is checked by interval analysis (all codes).
///
/// \tparam code_T      type of the codes (unsigned)
/// \tparam CONFIG      n_codes = C; n_tables (1: one set of centres for all inputs, or N_IN); window = K; n_basis (>=
/// K);
///                     n_rows = S + 1; n_columns (1); n_index = 2 * n_tables; position_shift = s; fraction = F (0 …
///                     30); remainder = R (0 … F); guard = g; reach = L; sample_t (holds every G); constant_t (holds
///                     every m and b); position_t (signed; holds c * m, c * m + b and T - (start + j) * 2^F); product_t
///                     (signed; holds the sum above); value_t; start_t
/// \tparam N_IN        number of inputs
/// \tparam sample_T    native integer type of the samples
/// \tparam position_T  native integer type of m and b
///
/// \param code      codes, [N_IN], each in 0 … C - 1
/// \param samples   G, [S + 1][1]
/// \param position  m, b of each set of centres, [2 * n_tables]
/// \param value     window of every input, [N_IN][K]
/// \param start     start of every window, [N_IN]
template <class code_T, class CONFIG, unsigned N_IN, class sample_T, class position_T>
inline void rbf_arith(const code_T code[N_IN], const sample_T samples[CONFIG::n_rows][1],
                      const position_T position[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                      typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = samples complete dim = 0
#pragma HLS ARRAY_PARTITION variable = position complete
    static_assert(CONFIG::window >= 1 && CONFIG::window <= CONFIG::n_basis, "a window lies within the basis");
    static_assert(CONFIG::n_tables == 1 || CONFIG::n_tables == N_IN, "a basis has 1 set of centres or one per input");
    static_assert((unsigned)CONFIG::n_index == 2 * CONFIG::n_tables, "centres have a multiplier and an offset");
    static_assert(CONFIG::n_rows >= 2 && CONFIG::n_columns == 1,
                  "a half Gaussian has at least two samples, one column");
    static_assert(CONFIG::fraction <= 30 && CONFIG::remainder <= CONFIG::fraction,
                  "a segment is 2^-30 to 1 of a centre's spacing");
    static_assert(CONFIG::guard <= 52 && CONFIG::position_shift <= 62,
                  "a guard shifts by 0 to 52, a position by 0 to 62");
    static_assert(raw_bits<typename CONFIG::position_t>::is_signed,
                  "a position may lie below the centres: it is signed");
    static_assert(raw_bits<typename CONFIG::product_t>::is_signed, "a Gaussian falls: the interpolation is signed");
    typedef typename CONFIG::position_t position_t;
    typedef typename CONFIG::product_t product_t;
    const int fraction = (int)CONFIG::fraction;
    const int remainder = (int)CONFIG::remainder;
    const int down = remainder + (int)CONFIG::guard;
    const long long half = down == 0 ? 0LL : 1LL << (down == 0 ? 0 : down - 1);
    const int last = (int)(CONFIG::n_basis - CONFIG::window);
    const int n_segments = (int)CONFIG::n_rows - 1;
    // Shifting by width - 1 leaves only the sign; shifting further would give the same.
    const int shift = (int)CONFIG::position_shift < raw_bits<position_t>::width ? (int)CONFIG::position_shift
                                                                                : raw_bits<position_t>::width - 1;
    const int cell_shift = fraction < raw_bits<position_t>::width ? fraction : raw_bits<position_t>::width - 1;

RBF_ARITH_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        const unsigned t = CONFIG::n_tables == 1 ? 0 : i;
        const typename CONFIG::constant_t m = position[2 * t];
        const typename CONFIG::constant_t b = position[2 * t + 1];
        const position_t sum = m * code[i] + b;
        const position_t place = sum >> shift;
        const position_t cell = place >> cell_shift;
        int first = 0;
        if (cell - (int)CONFIG::reach > last) {
            first = last;
        } else if (cell > (int)CONFIG::reach) {
            first = (int)cell - (int)CONFIG::reach;
        }
        start[i] = first;
    RBF_ARITH_WINDOW:
        for (unsigned j = 0; j < CONFIG::window; j++) {
#pragma HLS UNROLL
            const position_t offset = place - ((long long)(first + (int)j) << fraction);
            const position_t distance = offset < 0 ? position_t(-offset) : offset;
            const position_t segment =
                distance >> (remainder < raw_bits<position_t>::width ? remainder : raw_bits<position_t>::width - 1);
            if (segment >= n_segments) {
                value[i][j] = 0;
            } else {
                const int n = (int)segment;
                const position_t r = distance & ((1LL << remainder) - 1);
                const product_t here = (typename CONFIG::sample_t)samples[n][0];
                const product_t next = (typename CONFIG::sample_t)samples[n + 1][0];
                const product_t from = here << remainder;
                const product_t slope = next - here;
                const product_t whole = from + slope * r + half;
                value[i][j] = whole >> down;
            }
        }
    }
}

/// \brief Names rbf_arith as the basis unit of a layer (CONFIG::basis::unit, see kan_dense).
struct rbf_arith_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T index[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                         typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        rbf_arith<code_T, CONFIG, N_IN>(code, table, index, value, start);
    }
};

} // namespace kan4ml
