#pragma once

#include "types.h"

namespace kan4ml {

/// \brief Gram polynomials as arithmetic: tanh from a table, the three-term recurrence in integers, SiLU from a table.
///
///   t = tanh[c_i],   P_0 = 2^F,   P_1 = t                                   in units of 2^-F
///   P_n = ((t * P_{n-1} + half_F) >> F) - ((beta[n] * P_{n-2} + half_B) >> B)   for n = 2 … degree
///   value[n] = silu[clip((P_n + o) >> s, 0, M - 1)]
///
/// half_F = 2^(F-1), half_B = 2^(B-1), or 0 where B = 0; ">>" floors. The roundings above are the definition: the numba
/// reference and torch round alike. Every P_n, product and sum is checked by interval analysis (all codes), since the
/// polynomials may leave -1 … 1.
///
/// \tparam code_T      type of the codes (unsigned)
/// \tparam CONFIG      n_codes = C; n_tables (1); window = n_basis = degree + 1 (>= 2); n_silu = M; n_rows = C + M;
///                     n_columns (1); n_index = degree + 1; fraction = F (1 … 30); factor_shift = B; silu_offset = o;
///                     silu_shift = s; function_t (holds every entry of both tables); factor_t (holds every beta);
///                     product_t (signed; holds both products, their rounding constants included); sum_t (signed; holds
///                     every P_n, their parts, and P_n + o); value_t (holds every SiLU)
/// \tparam N_IN        number of inputs
/// \tparam function_T  native integer type of the tables of functions
/// \tparam factor_T    native integer type of the factors
///
/// \param code       codes, [N_IN], each in 0 … C - 1
/// \param functions  tanh of every code, then SiLU of every index, [C + M][1]
/// \param beta       factors of the recurrence, [degree + 1]; the first two are not read
/// \param value      values of every input, [N_IN][degree + 1]
template <class code_T, class CONFIG, unsigned N_IN, class function_T, class factor_T>
inline void gram_arith(const code_T code[N_IN], const function_T functions[CONFIG::n_rows][1],
                       const factor_T beta[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = functions complete dim = 0
#pragma HLS ARRAY_PARTITION variable = beta complete
    static_assert(CONFIG::window >= 2 && (unsigned)CONFIG::window == (unsigned)CONFIG::n_basis,
                  "the window of a Gram basis is the whole basis, of degree 1 at least");
    static_assert(CONFIG::n_tables == 1, "the recurrence is shared by all inputs");
    static_assert((unsigned)CONFIG::n_rows == CONFIG::n_codes + CONFIG::n_silu && CONFIG::n_columns == 1,
                  "the functions are tanh of every code and SiLU of every index, one column");
    static_assert((unsigned)CONFIG::n_index == (unsigned)CONFIG::window, "the recurrence has a factor per degree");
    static_assert(CONFIG::fraction >= 1 && CONFIG::fraction <= 30, "the polynomials have 1 to 30 fractional bits");
    static_assert(CONFIG::factor_shift <= 52 && CONFIG::silu_shift <= 52, "a recurrence shifts by 0 to 52");
    static_assert(raw_bits<typename CONFIG::sum_t>::is_signed && raw_bits<typename CONFIG::product_t>::is_signed,
                  "polynomials are signed");
    typedef typename CONFIG::product_t product_t;
    typedef typename CONFIG::sum_t sum_t;
    const int fraction = (int)CONFIG::fraction;
    const int down = (int)CONFIG::factor_shift;
    const long long half = down == 0 ? 0LL : 1LL << (down == 0 ? 0 : down - 1);

GRAM_ARITH_INPUTS:
    for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
        sum_t p[CONFIG::window];
#pragma HLS ARRAY_PARTITION variable = p complete
        const typename CONFIG::function_t t = functions[(unsigned)code[i]][0];
        p[0] = 1LL << fraction;
        p[1] = t;
    GRAM_ARITH_RECURRENCE:
        for (unsigned n = 2; n < CONFIG::window; n++) {
#pragma HLS UNROLL
            const typename CONFIG::factor_t factor = beta[n];
            const product_t first = t * p[n - 1] + (1LL << (fraction - 1));
            const product_t second = factor * p[n - 2] + half;
            p[n] = (first >> fraction) - (second >> down);
        }
    GRAM_ARITH_SILU:
        for (unsigned n = 0; n < CONFIG::window; n++) {
#pragma HLS UNROLL
            const sum_t index = (p[n] + (int)CONFIG::silu_offset) >> (int)CONFIG::silu_shift;
            unsigned row = CONFIG::n_codes;
            if (index > (int)CONFIG::n_silu - 1) {
                row += CONFIG::n_silu - 1;
            } else if (index > 0) {
                row += (unsigned)(int)index;
            }
            value[i][n] = functions[row][0];
        }
    }
}

/// \brief Names gram_arith as the basis unit of a layer (CONFIG::basis::unit, see kan_dense).
struct gram_arith_unit {
    template <class code_T, class CONFIG, unsigned N_IN, class table_T, class index_T>
    static void evaluate(const code_T code[N_IN], const table_T table[CONFIG::n_rows][CONFIG::n_columns],
                         const index_T index[CONFIG::n_index], typename CONFIG::value_t value[N_IN][CONFIG::window],
                         typename CONFIG::start_t start[N_IN]) {
#pragma HLS INLINE
        gram_arith<code_T, CONFIG, N_IN>(code, table, index, value);
    GRAM_ARITH_STARTS:
        for (unsigned i = 0; i < N_IN; i++) {
#pragma HLS UNROLL
            start[i] = 0;
        }
    }
};

} // namespace kan4ml
