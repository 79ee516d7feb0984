#pragma once

// Real numbers to the ports of a simulation, several times as fast as the constructors of ap_types.

#include "../kan4ml/types.h"

namespace kan_csim {

/// \brief T(x), as ap_types compute it.
/// \tparam EXACT  false where the formula below does not hold
/// \tparam F      bits behind the binary point
/// \tparam T      type of the port
template <bool EXACT, int F, class T>
struct round_and_saturate {
    static T convert(double x) { return T(x); }
};

/// \brief T(x) of a type that rounds half up and saturates: Y = sat(floor(x * 2^F + 1/2)), in integers.
///
/// x * 2^F is exact for F >= 0, or infinite and then saturated. The half is not added to it, which would round a second
/// time: the fraction is compared with it. Bounds and floors of at most 53 bits are exact as a double.
template <int F, class T>
struct round_and_saturate<true, F, T> {
    static T convert(double x) {
        typedef kan4ml::raw_bits<T> raw;
        const double scaled = x * (double)(1ULL << F);
        if (scaled <= (double)raw::lowest) {
            return kan4ml::from_raw<T>(raw::lowest);
        }
        if (scaled >= (double)raw::highest) {
            return kan4ml::from_raw<T>(raw::highest);
        }
        const long long towards_zero = (long long)scaled;
        const long long floored = towards_zero - ((double)towards_zero > scaled ? 1 : 0);
        return kan4ml::from_raw<T>(floored + (scaled - (double)floored >= 0.5 ? 1 : 0));
    }
};

/// \brief A port's value from a finite real number: T(x).
/// \tparam T  type of the port
template <class T>
struct from_real : round_and_saturate<false, 0, T> {};

template <int W, int I>
struct from_real<ap_fixed<W, I, AP_RND, AP_SAT, 0>>
    : round_and_saturate<(W <= 53 && W >= I && W - I <= 62), W - I, ap_fixed<W, I, AP_RND, AP_SAT, 0>> {};

template <int W, int I>
struct from_real<ap_ufixed<W, I, AP_RND, AP_SAT, 0>>
    : round_and_saturate<(W <= 53 && W >= I && W - I <= 62), W - I, ap_ufixed<W, I, AP_RND, AP_SAT, 0>> {};

/// \brief Set the ports y[0 .. N-1] to the real numbers x[0 .. N-1].
/// \tparam T     type of a port
/// \tparam real  float or double
template <class T, unsigned N, class real>
void write_reals(const real *x, T y[N]) {
    for (unsigned i = 0; i < N; i++) {
        y[i] = from_real<T>::convert((double)x[i]);
    }
}

} // namespace kan_csim
