#pragma once

#include "rescale.h"
#include "window2d.h"

namespace kan4ml {

/// \brief What pools keep of a pixel: its integers.
template <class data_T, class CONFIG>
struct pool_pixel {
    typename raw_bits<data_T>::type value[CONFIG::geometry::channels];
};

/// \brief Maximum of every channel over the pixels of a window, as the unit of every_window.
struct max_pool_unit {
    template <class data_T, class CONFIG>
    using pixel = pool_pixel<data_T, CONFIG>;

    template <class data_T, class CONFIG>
    static void read(const data_T x[CONFIG::geometry::channels], pixel<data_T, CONFIG> &p) {
#pragma HLS INLINE
    POOL_READ:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            p.value[c] = to_raw(x[c]);
        }
    }

    /// A pixel that does not exist is never larger than one that does.
    template <class data_T, class CONFIG>
    static void outside(pixel<data_T, CONFIG> &p) {
#pragma HLS INLINE
    POOL_OUTSIDE:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            p.value[c] = raw_bits<data_T>::lowest;
        }
    }

    template <class data_T, class res_T, class CONFIG>
    static void window(const pixel<data_T, CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out]) {
#pragma HLS INLINE
        static_assert((int)raw_bits<data_T>::width == (int)raw_bits<res_T>::width &&
                          (bool)raw_bits<data_T>::is_signed == (bool)raw_bits<res_T>::is_signed,
                      "a maximum keeps the type of its input");
        static_assert((unsigned)CONFIG::n_out == (unsigned)CONFIG::geometry::channels, "channels never mix in a pool");
    POOL_CHANNELS:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            typename raw_bits<data_T>::type largest = taps[0].value[c];
        POOL_TAPS:
            for (unsigned t = 1; t < windows<typename CONFIG::geometry>::n_taps; t++) {
#pragma HLS UNROLL
                if (taps[t].value[c] > largest) {
                    largest = taps[t].value[c];
                }
            }
            y[c] = from_raw<res_T>(largest);
        }
    }
};

/// \brief Average of every channel over the pixels of a window, as the unit of every_window.
struct average_pool_unit : max_pool_unit {
    /// A tap outside of the image adds nothing.
    template <class data_T, class CONFIG>
    static void outside(pixel<data_T, CONFIG> &p) {
#pragma HLS INLINE
    POOL_OUTSIDE:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            p.value[c] = 0;
        }
    }

    template <class data_T, class res_T, class CONFIG>
    static void window(const pixel<data_T, CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out]) {
#pragma HLS INLINE
        static_assert((unsigned)CONFIG::n_out == (unsigned)CONFIG::geometry::channels, "channels never mix in a pool");
        static_assert(raw_bits<typename CONFIG::acc_t>::is_signed, "an accumulator is signed");
        const ap_uint<31> mult = CONFIG::mult;
    POOL_CHANNELS:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            typename CONFIG::acc_t sum = 0;
        POOL_TAPS:
            for (unsigned t = 0; t < windows<typename CONFIG::geometry>::n_taps; t++) {
#pragma HLS UNROLL
                sum += taps[t].value[c];
            }
            const typename CONFIG::sum_t total = sum * mult;
            y[c] = round_saturate<res_T, CONFIG>(total);
        }
    }
};

/// \brief Y[w][c] = the largest X[pixel][c] of the pixels that window w reads and that exist; every window has one.
///
/// \tparam data_T  type of the input, see raw_bits
/// \tparam res_T   type of the output, of the same width and sign
/// \tparam CONFIG  geometry (see windows); n_out (= channels); reuse_factor (a divisor of n_windows, see every_window)
///
/// \param x  image, [height * width * channels]
/// \param y  image, [n_windows * channels]
template <class data_T, class res_T, class CONFIG>
void max_pool2d(const data_T x[windows<typename CONFIG::geometry>::n_pixels * CONFIG::geometry::channels],
                res_T y[windows<typename CONFIG::geometry>::n_windows * CONFIG::n_out]) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
    every_window<max_pool_unit, data_T, res_T, CONFIG>(x, y);
}

/// \brief Y[w][c] = sat((m * sum of X[pixel][c] over the pixels of window w + half) >> n), half = 2^(n-1), or 0 where n
/// = 0.
///
/// \tparam CONFIG  as in max_pool2d, and mult = m (1 … 2^31 - 1); shift = n (0 … 62); acc_t (signed; holds every sum of
///                 pixels); sum_t (signed; holds m times such a sum, half included)
///
/// The rest as in max_pool2d.
template <class data_T, class res_T, class CONFIG>
void average_pool2d(const data_T x[windows<typename CONFIG::geometry>::n_pixels * CONFIG::geometry::channels],
                    res_T y[windows<typename CONFIG::geometry>::n_windows * CONFIG::n_out]) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
    every_window<average_pool_unit, data_T, res_T, CONFIG>(x, y);
}

} // namespace kan4ml
