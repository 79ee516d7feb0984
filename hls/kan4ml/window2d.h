#pragma once

#include "rolled.h"

namespace kan4ml {

/// \brief Sizes of a window that slides over an image; channels last, one dimension is an image of height 1.
///
/// Window (oy, ox) reads at tap (ky, kx) pixel (oy*stride_h + ky*dilation_h - padding_top, ox*stride_w + kx*dilation_w
/// - padding_left); where that leaves the image, there is no pixel.
///
/// \tparam G  height, width, channels (of the input); kernel_height, kernel_width; stride_h, stride_w; padding_top,
///            padding_bottom, padding_left, padding_right; dilation_h, dilation_w
template <class G>
struct windows {
    static_assert(G::height >= 1 && G::width >= 1 && G::channels >= 1, "an image has pixels and channels");
    static_assert(G::kernel_height >= 1 && G::kernel_width >= 1, "a window has taps");
    static_assert(G::stride_h >= 1 && G::stride_w >= 1, "a window moves by at least one pixel");
    static_assert(G::dilation_h >= 1 && G::dilation_w >= 1, "taps lie at least one pixel apart");
    /// Rows and columns from the first to the last tap.
    static const unsigned extent_h = (G::kernel_height - 1) * G::dilation_h + 1;
    static const unsigned extent_w = (G::kernel_width - 1) * G::dilation_w + 1;
    static const unsigned padded_height = G::height + G::padding_top + G::padding_bottom;
    static const unsigned padded_width = G::width + G::padding_left + G::padding_right;
    static_assert(G::padding_top < extent_h && G::padding_bottom < extent_h, "a window is taller than the padding");
    static_assert(G::padding_left < extent_w && G::padding_right < extent_w, "a window is wider than the padding");
    static_assert(extent_h <= padded_height && extent_w <= padded_width, "a window fits in the padded image");
    static const unsigned out_height = (padded_height - extent_h) / G::stride_h + 1;
    static const unsigned out_width = (padded_width - extent_w) / G::stride_w + 1;
    static const unsigned n_pixels = G::height * G::width;
    static const unsigned n_taps = G::kernel_height * G::kernel_width;
    static const unsigned n_windows = out_height * out_width;
    static const bool is_padded = padded_height > G::height || padded_width > G::width;
};

/// \brief The pixels that a window reads.
///
/// \tparam G  as in windows
///
/// \param window  oy * out_width + ox
/// \param pixel   y * width + x of every tap, row by row, or -1 where the tap lies outside of the image, [n_taps]
template <class G>
inline void window2d(unsigned window, int pixel[windows<G>::n_taps]) {
#pragma HLS INLINE
    const unsigned oy = window / windows<G>::out_width, ox = window % windows<G>::out_width;
WINDOW_ROWS:
    for (unsigned ky = 0; ky < G::kernel_height; ky++) {
#pragma HLS UNROLL
        const int y = (int)(oy * G::stride_h + ky * G::dilation_h) - (int)G::padding_top;
    WINDOW_COLUMNS:
        for (unsigned kx = 0; kx < G::kernel_width; kx++) {
#pragma HLS UNROLL
            const int x = (int)(ox * G::stride_w + kx * G::dilation_w) - (int)G::padding_left;
            const bool inside = y >= 0 && y < (int)G::height && x >= 0 && x < (int)G::width;
            pixel[ky * G::kernel_width + kx] = inside ? y * (int)G::width + x : -1;
        }
    }
}

/// \brief Applies a unit to every window of an image in arrays: each pixel is read once, each window computed once.
///
/// All at once with reuse factor 1. With R, the hardware of n_windows / R windows is used R times per sample, in one
/// rolled loop of R iterations; the pixels are read in R iterations before.
///
/// \tparam UNIT    what is computed: a struct with
///                   pixel<data_T, CONFIG>         what the windows need of a pixel, a struct that can be copied;
///                   read<data_T, CONFIG>(x, p, tables...)              from the pixel's integers x, [channels];
///                   outside<data_T, CONFIG>(p)                         of a pixel that does not exist;
///                   window<data_T, res_T, CONFIG>(taps, y, tables...)  from pixels [n_taps] to integers y, [n_out]
/// \tparam data_T  type of the input, see raw_bits
/// \tparam res_T   type of the output, see raw_bits
/// \tparam CONFIG  geometry (see windows); n_out (integers of a window); reuse_factor = R (a divisor of n_windows);
/// what
///                 UNIT needs
/// \tparam TABLES  types of the tables, which are deduced
///
/// \param x       image, [height * width * channels]
/// \param y       image, [n_windows * n_out]
/// \param tables  those of UNIT
template <class UNIT, class data_T, class res_T, class CONFIG, class... TABLES>
inline void every_window(const data_T x[windows<typename CONFIG::geometry>::n_pixels * CONFIG::geometry::channels],
                         res_T y[windows<typename CONFIG::geometry>::n_windows * CONFIG::n_out],
                         const TABLES &...tables) {
#pragma HLS INLINE
    typedef typename CONFIG::geometry geometry;
    typedef windows<geometry> sizes;
    typedef typename UNIT::template pixel<data_T, CONFIG> pixel_T;
    static const unsigned steps = CONFIG::reuse_factor;
    static_assert(steps >= 1 && sizes::n_windows % steps == 0, "a reuse factor divides the number of windows");
    static const unsigned windows_per_step = sizes::n_windows / steps;
    static const unsigned pixels_per_step = (sizes::n_pixels + steps - 1) / steps;

    pixel_T pixels[sizes::n_pixels];
#pragma HLS ARRAY_PARTITION variable = pixels complete
KAN_PIXELS:
    KAN4ML_ROLLED
    for (unsigned r = 0; r < steps; r++) {
#pragma HLS PIPELINE II = 1
    PIXELS_OF_STEP:
        for (unsigned k = 0; k < pixels_per_step; k++) {
#pragma HLS UNROLL
            const unsigned p = r * pixels_per_step + k;
            if (p < sizes::n_pixels) {
                data_T in[geometry::channels];
#pragma HLS ARRAY_PARTITION variable = in complete
            PIXEL_CHANNELS:
                for (unsigned c = 0; c < geometry::channels; c++) {
#pragma HLS UNROLL
                    in[c] = x[p * geometry::channels + c];
                }
                UNIT::template read<data_T, CONFIG>(in, pixels[p], tables...);
            }
        }
    }

KAN_WINDOWS:
    KAN4ML_ROLLED
    for (unsigned r = 0; r < steps; r++) {
#pragma HLS PIPELINE II = 1
    WINDOWS_OF_STEP:
        for (unsigned k = 0; k < windows_per_step; k++) {
#pragma HLS UNROLL
            const unsigned w = r * windows_per_step + k;
            int pixel[sizes::n_taps];
#pragma HLS ARRAY_PARTITION variable = pixel complete
            pixel_T taps[sizes::n_taps];
#pragma HLS ARRAY_PARTITION variable = taps complete
            res_T out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
            window2d<geometry>(w, pixel);
        WINDOW_TAPS:
            for (unsigned t = 0; t < sizes::n_taps; t++) {
#pragma HLS UNROLL
                if (pixel[t] < 0) {
                    UNIT::template outside<data_T, CONFIG>(taps[t]);
                } else {
                    taps[t] = pixels[pixel[t]];
                }
            }
            UNIT::template window<data_T, res_T, CONFIG>(taps, out, tables...);
        WINDOW_OUTPUTS:
            for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
                y[w * CONFIG::n_out + o] = out[o];
            }
        }
    }
}

} // namespace kan4ml
