#pragma once

#include "sums.h"

namespace kan4ml {

/// \brief The code of one input: c = clip((X*m + b) >> s, 0, C - 1), X the raw integer of x; see coder.
///
/// \tparam data_T    type of the input, see raw_bits
/// \tparam CONFIG    as in coder
/// \tparam mult_T    native integer type of the multiplier
/// \tparam offset_T  native integer type of the offset
template <class data_T, class CONFIG, class mult_T, class offset_T>
inline typename CONFIG::code_t encode(const data_T &x, const mult_T &mult, const offset_T &offset) {
#pragma HLS INLINE
    typedef typename CONFIG::sum_t sum_t;
    static_assert(CONFIG::n_mult == 1 || CONFIG::n_mult == CONFIG::n_in, "a coder has 1 or n_in multipliers");
    static_assert(CONFIG::n_codes >= 1 && CONFIG::n_codes <= 4096, "a coder has 1 to 4096 codes");
    static_assert(CONFIG::shift <= 62, "a coder shifts by 0 to 62");
    static_assert(raw_bits<sum_t>::is_signed, "a coder's sum is signed: it may lie below the first code");
    static_assert(!raw_bits<typename CONFIG::code_t>::is_signed, "a code is unsigned");
    static_assert(raw_bits<typename CONFIG::code_t>::highest >= (long long)CONFIG::n_codes - 1,
                  "the code type does not hold the last code");

    // Shifting by width - 1 leaves only the sign; shifting further would give the same.
    const int shift = (int)CONFIG::shift < raw_bits<sum_t>::width ? (int)CONFIG::shift : raw_bits<sum_t>::width - 1;
    const int last = (int)CONFIG::n_codes - 1;

    typedef sums<sum_t> in;
    const typename in::number sum = in::total(in::template term<typename raw_bits<data_T>::type>(to_raw(x)) *
                                                  in::template term<typename CONFIG::mult_t>(mult) +
                                              in::template term<typename CONFIG::offset_t>(offset));
    const typename in::number floored = sum >> shift;
    if (floored < 0) {
        return 0;
    } else if (floored > last) {
        return last;
    }
    return floored;
}

/// \brief Affine coder: c_i = clip((X_i * m_i + b_i) >> s, 0, C - 1); ">>" floors, so ties of the rounding go up.
///
/// X_i are the raw integers of x. The rounding constant is part of b. An identity coder (m = 1, b = 0, s = 0) folds
/// away in synthesis.
///
/// \tparam data_T    type of the input, see raw_bits
/// \tparam CONFIG    n_in; n_mult (1: one m and b for all inputs, or n_in); n_codes = C (1 … 4096); shift = s (0 … 62);
///                   mult_t, offset_t (hold every m, b); sum_t (signed; holds X*m and X*m + b for every X);
///                   code_t (unsigned; holds C - 1)
/// \tparam mult_T    native integer type of the table of multipliers
/// \tparam offset_T  native integer type of the table of offsets
///
/// \param x       inputs, [n_in]
/// \param mult    multipliers m, [n_mult]
/// \param offset  offsets b, [n_mult]
/// \param code    codes, [n_in], each in 0 … C - 1
template <class data_T, class CONFIG, class mult_T, class offset_T>
inline void coder(const data_T x[CONFIG::n_in], const mult_T mult[CONFIG::n_mult],
                  const offset_T offset[CONFIG::n_mult], typename CONFIG::code_t code[CONFIG::n_in]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = mult complete
#pragma HLS ARRAY_PARTITION variable = offset complete
CODER_INPUTS:
    for (unsigned i = 0; i < CONFIG::n_in; i++) {
#pragma HLS UNROLL
        const unsigned k = CONFIG::n_mult == 1 ? 0 : i;
        code[i] = encode<data_T, CONFIG>(x[i], mult[k], offset[k]);
    }
}

} // namespace kan4ml
