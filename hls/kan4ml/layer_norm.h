#pragma once

#include "coder.h"
#include "rescale.h"

namespace kan4ml {

/// \brief The inputs' deviations from their mean over their standard deviation, t_i, in integers.
///
///   S = sum X_i, d_i = I*X_i - S, V = I * sum X_i^2 - S^2 + epsilon, V = about u * 2^e with B bits of u, e even,
///   R = table[u - 2^(B-2)], t_i = (d_i*R + 2^(s-1)) >> s, s = r + B/2 + e/2 - fraction.
///
/// V is shifted up by pairs of bits until one of its two highest bits is set; u is what then stands on top.
///
/// \tparam data_T  type of the input, see raw_bits
/// \tparam CONFIG  as in layer_norm
/// \tparam eps_T   native integer type of epsilon
/// \tparam root_T  native integer type of the table
///
/// \param x        inputs, [n_in]
/// \param epsilon  added to V, [1]
/// \param table    R, reciprocal square roots, [n_table]
/// \param t        [n_in], `fraction` bits behind the point
template <class data_T, class CONFIG, class eps_T, class root_T>
inline void normalise(const data_T x[CONFIG::n_in], const eps_T epsilon[1], const root_T table[CONFIG::n_table],
                      typename CONFIG::normal_t t[CONFIG::n_in]) {
#pragma HLS INLINE
    typedef typename CONFIG::mean_t mean_t;
    typedef typename CONFIG::variance_t variance_t;
    typedef typename CONFIG::product_t product_t;
    static_assert(CONFIG::n_in >= 2, "a norm is over at least two inputs");
    static_assert(CONFIG::table_bits % 2 == 0 && CONFIG::table_bits >= 4 && CONFIG::table_bits <= 12,
                  "the table is indexed by an even number of 4 to 12 bits");
    static_assert((unsigned)CONFIG::n_table == 3u << (CONFIG::table_bits - 2), "the table starts at u = 2^(B-2)");
    static_assert(CONFIG::fraction <= CONFIG::table_fraction && CONFIG::fraction >= 1,
                  "the normalised inputs have at most as many fractional bits as the table");
    static_assert(CONFIG::length % 2 == 0 && CONFIG::length >= CONFIG::table_bits && CONFIG::length <= 60,
                  "V is shifted up in an even number of bits, at least the table's");
    static_assert(raw_bits<mean_t>::is_signed && raw_bits<variance_t>::is_signed && raw_bits<product_t>::is_signed &&
                      raw_bits<typename CONFIG::normal_t>::is_signed,
                  "sums and products of deviations are signed");
    const int length = (int)CONFIG::length;
    const int bits = (int)CONFIG::table_bits;

    mean_t total = 0;
    variance_t squares = 0;
NORM_SUMS:
    for (unsigned i = 0; i < CONFIG::n_in; i++) {
#pragma HLS UNROLL
        const typename raw_bits<data_T>::type X = to_raw(x[i]);
        total += X;
        squares += X * X;
    }
    const ap_int<33> n = (int)CONFIG::n_in;
    const variance_t scaled = squares * n;
    const variance_t square = total * total;
    const variance_t variance = scaled - square + (ap_int<53>)epsilon[0];

    ap_uint<CONFIG::length> mantissa = variance;
    ap_uint<6> zeros = 0;
NORM_PAIRS:
    for (int step = 32; step >= 2; step >>= 1) {
#pragma HLS UNROLL
        if (step < length) {
            const ap_uint<CONFIG::length> top = mantissa >> (step < length ? length - step : 0);
            if (top == 0) {
                mantissa = mantissa << step;
                zeros = zeros + step;
            }
        }
    }
    const ap_uint<CONFIG::table_bits> u = mantissa >> (length - bits);
    // The two highest bits are 01, 10 or 11: the quarters 0, 1 and 2 of the table.
    const unsigned quarter = u[bits - 1] ? (u[bits - 2] ? 2u : 1u) : 0u;
    const ap_uint<CONFIG::table_bits - 2> within = u;
    const unsigned entry = (quarter << (bits - 2)) + (unsigned)within;
    const typename CONFIG::root_t root = table[entry];

    // One bit less than s, so that the rounding constant is a 1.
    const int most = (int)CONFIG::table_fraction + length / 2 - (int)CONFIG::fraction - 1;
    const ap_uint<6> down = most - (int)(zeros >> 1);
NORM_INPUTS:
    for (unsigned i = 0; i < CONFIG::n_in; i++) {
#pragma HLS UNROLL
        const mean_t scaled_x = to_raw(x[i]) * n;
        const mean_t difference = scaled_x - total;
        product_t value = difference * root;
    NORM_SHIFTS:
        for (int k = 0; k < 6; k++) {
#pragma HLS UNROLL
            if (down[k]) {
                const int by = (1 << k) < raw_bits<product_t>::width ? 1 << k : raw_bits<product_t>::width - 1;
                value = value >> by;
            }
        }
        const product_t rounded = value + 1;
        t[i] = rounded >> 1;
    }
}

/// \brief The codes of the inputs behind the normalised ones, or nothing.
///
/// \tparam PASSES  true if they pass
template <bool PASSES>
struct norm_passed {
    template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T>
    static void write(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out], const mult_T *mult,
                      const offset_T *offset) {
#pragma HLS INLINE
        static_assert((unsigned)CONFIG::n_out == 2 * CONFIG::n_in, "every input comes out twice");
        typename CONFIG::coder::code_t code[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = code complete
        coder<data_T, typename CONFIG::coder>(x, mult, offset, code);
    NORM_PASSED:
        for (unsigned i = 0; i < CONFIG::n_in; i++) {
#pragma HLS UNROLL
            y[CONFIG::n_in + i] = from_raw<res_T>(typename raw_bits<res_T>::type(code[i]));
        }
    }
};

template <>
struct norm_passed<false> {
    template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T>
    static void write(const data_T * /* nothing passes */, res_T *, const mult_T *, const offset_T *) {
#pragma HLS INLINE
        static_assert((unsigned)CONFIG::n_out == (unsigned)CONFIG::n_in, "every input comes out once");
    }
};

/// \brief Integer LayerNorm: Y_i = sat((t_i*gamma_i + beta_i + half) >> n), t_i as in normalise; if inputs pass, their
/// codes follow, Y_(I+i) = clip((X_i*m_i + b_i) >> s, 0, C - 1).
///
/// Fully parallel, II = 1. Its roundings are its definition (`pymodel/ir/_norm.py`).
///
/// \tparam data_T   type of the input, see raw_bits
/// \tparam res_T    type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG   n_in = I; n_out (I, or 2 I); reuse_factor (1); passes; coder (see coder; not read unless passes);
///                  table_bits = B; table_fraction = r; fraction; n_table (3 * 2^(B-2)); length (even; bits of the
///                  largest V, at least B); shift = n (0 … 62); mean_t (signed; holds I*X, S and d); variance_t
///                  (signed; holds I * sum X^2, S^2 and V); root_t (holds R); product_t (signed; holds d*R); normal_t
///                  (signed; holds t); gamma_t, beta_t; sum_t (signed; holds every partial sum of t*gamma, beta and
///                  half)
///
/// The other template parameters are the native integer types of the tables, which are deduced.
///
/// \param x        inputs, [n_in]
/// \param y        outputs, [n_out]
/// \param epsilon  added to V, [1]
/// \param table    R, [n_table]
/// \param gamma    [n_in]
/// \param beta     in units of 2^-n output LSBs, [n_in]
/// \param mult     multipliers m of the coder, [coder::n_mult]; not read unless passes
/// \param offset   offsets b of the coder, [coder::n_mult]; not read unless passes
template <class data_T, class res_T, class CONFIG, class eps_T, class root_T, class gamma_T, class beta_T, class mult_T,
          class offset_T>
void layer_norm(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out], const eps_T epsilon[1],
                const root_T table[CONFIG::n_table], const gamma_T gamma[CONFIG::n_in], const beta_T beta[CONFIG::n_in],
                const mult_T *mult, const offset_T *offset) {
#pragma HLS PIPELINE II = CONFIG::reuse_factor
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
#pragma HLS ARRAY_PARTITION variable = gamma complete
#pragma HLS ARRAY_PARTITION variable = beta complete
    static_assert(CONFIG::reuse_factor == 1, "this kernel is fully parallel: its reuse factor is 1");
    typename CONFIG::normal_t t[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = t complete
    normalise<data_T, CONFIG>(x, epsilon, table, t);
NORM_OUTPUTS:
    for (unsigned i = 0; i < CONFIG::n_in; i++) {
#pragma HLS UNROLL
        const typename CONFIG::gamma_t g = gamma[i];
        const typename CONFIG::beta_t b = beta[i];
        const typename CONFIG::sum_t scaled = t[i] * g;
        y[i] = round_saturate<res_T, CONFIG>(scaled + b);
    }
    norm_passed<CONFIG::passes>::template write<data_T, res_T, CONFIG>(x, y, mult, offset);
}

} // namespace kan4ml
