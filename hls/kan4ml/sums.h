#pragma once

#include "types.h"

namespace kan4ml {

/// \brief How products are added up in an accumulator: in its own type, as in hardware.
///
/// \tparam acc_T  ap_int or ap_uint of the accumulator
template <class acc_T>
struct ap_sums {
    /// The type of a running sum.
    typedef acc_T type;
    /// The type of a finished sum, to be shifted and compared.
    typedef acc_T number;

    /// \brief x as a T, to be multiplied or added.
    /// \tparam T  ap_int or ap_uint that the config gives to x
    /// \tparam X  T, or a native integer type
    template <class T, class X>
    static T term(const X &x) {
#pragma HLS INLINE
        return x;
    }

    /// \brief A running sum as a finished one, of the accumulator's width.
    static number total(const type &sum) {
#pragma HLS INLINE
        return sum;
    }
};

/// \brief A native unsigned integer of more than 32 bits, or of 32.
template <bool WIDE>
struct native_sum {
    typedef unsigned type;
};

template <>
struct native_sum<true> {
    typedef unsigned long long type;
};

/// \brief The same bits from native integers: for simulations, several times as fast as ap_types.
///
/// An accumulator of W bits holds a sum modulo 2^W. Native unsigned integers compute modulo 2^32 or 2^64, which 2^W
/// divides, so it makes no difference whether the sum is reduced after every step or once: the results are those of
/// ap_sums also where an accumulator is too narrow.
///
/// \tparam acc_T  as above
template <class acc_T>
struct native_sums {
    typedef typename native_sum<(raw_bits<acc_T>::width > 32)>::type type;
    typedef long long number;

    template <class T>
    static type term(const T &x) {
        return (type)x.to_int64();
    }

    /// \brief An entry of a table, cut to the width of T as the constructor of an ap_int does.
    template <class T>
    static type term(long long x) {
        return (type)cut<T>(x);
    }

    static number total(const type &sum) { return cut<acc_T>((long long)sum); }

  private:
    template <class T>
    static long long cut(long long x) {
        const int unused = 64 - raw_bits<T>::width;
        const unsigned long long top = (unsigned long long)x << unused;
        return raw_bits<T>::is_signed ? (long long)top >> unused : (long long)(top >> unused);
    }
};

#ifdef KAN4ML_NATIVE_SUMS // only a simulation that wants speed defines it
template <class acc_T>
using sums = native_sums<acc_T>;
#else
template <class acc_T>
using sums = ap_sums<acc_T>;
#endif

} // namespace kan4ml
