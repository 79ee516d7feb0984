#pragma once

#include "ap_fixed.h"
#include "ap_int.h"

namespace kan4ml {

/// \brief The integer behind a port: width, sign, range, and access to the raw bits.
///
/// The contract is written on integers, so the layers ignore where the binary point of a port lies.
///
/// \tparam T  ap_int, ap_uint, ap_fixed or ap_ufixed of 1 … 53 bits. Other types have no definition here.
template <class T>
struct raw_bits;

/// \brief What all specialisations of raw_bits share.
///
/// \tparam WIDTH   bits
/// \tparam SIGNED  two's complement if true
/// \tparam INT     the integer type that holds the raw bits
template <int WIDTH, bool SIGNED, class INT>
struct raw_bits_of {
    static_assert(WIDTH >= 1 && WIDTH <= 62, "a port or sum has 1 to 62 bits: its limits must fit in a long long");
    typedef INT type;
    static const int width = WIDTH;
    static const bool is_signed = SIGNED;
    static const long long lowest = SIGNED ? -(1LL << (WIDTH - 1)) : 0LL;
    static const long long highest = SIGNED ? (1LL << (WIDTH - 1)) - 1LL : (1LL << WIDTH) - 1LL;
};

template <int W>
struct raw_bits<ap_int<W>> : raw_bits_of<W, true, ap_int<W>> {};

template <int W>
struct raw_bits<ap_uint<W>> : raw_bits_of<W, false, ap_uint<W>> {};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
struct raw_bits<ap_fixed<W, I, Q, O, N>> : raw_bits_of<W, true, ap_int<W>> {};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
struct raw_bits<ap_ufixed<W, I, Q, O, N>> : raw_bits_of<W, false, ap_uint<W>> {};

/// \brief X = the raw bits of x as an integer, sign-extended if T is signed.
/// \tparam T  type of the port, see raw_bits
template <class T>
inline typename raw_bits<T>::type to_raw(const T &x) {
#pragma HLS INLINE
    typename raw_bits<T>::type raw;
    raw.range(raw_bits<T>::width - 1, 0) = x.range(raw_bits<T>::width - 1, 0);
    return raw;
}

/// \brief The port value whose raw bits are the integer Y.
/// \tparam T  type of the port, see raw_bits
template <class T>
inline T from_raw(const typename raw_bits<T>::type &raw) {
#pragma HLS INLINE
    T y;
    y.range(raw_bits<T>::width - 1, 0) = raw.range(raw_bits<T>::width - 1, 0);
    return y;
}

} // namespace kan4ml
