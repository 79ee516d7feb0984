#pragma once

#include "edge_table.h"
#include "window2d.h"

namespace kan4ml {

/// \brief What the windows of a layer need of a pixel where they look codes up: the code of every channel, C outside of
/// the image.
template <class CONFIG>
struct code_pixel {
    typename CONFIG::patch_t code[CONFIG::geometry::channels];
};

/// \brief The part that all units of codes share: the coder of a pixel, and the patch of codes of a window.
///
/// A pixel that does not exist has the code C, for which the tables have a row of zeros: it adds nothing. So a window
/// is a dense layer whose inputs are codes already.
struct code_pixels {
    template <class data_T, class CONFIG>
    using pixel = code_pixel<CONFIG>;

    template <class data_T, class CONFIG, class mult_T, class offset_T, class... REST>
    static void read(const data_T x[CONFIG::geometry::channels], code_pixel<CONFIG> &p, const mult_T &mult,
                     const offset_T &offset, const REST &.../* the windows' */) {
#pragma HLS INLINE
        typedef typename CONFIG::coder coder_config;
        static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::geometry::channels,
                      "a coder is for the channels of a pixel");
        static_assert(!raw_bits<typename CONFIG::patch_t>::is_signed &&
                          raw_bits<typename CONFIG::patch_t>::highest >=
                              (long long)coder_config::n_codes - 1 +
                                  (windows<typename CONFIG::geometry>::is_padded ? 1 : 0),
                      "the patch's type does not hold the code of a pixel that does not exist");
        typename coder_config::code_t code[CONFIG::geometry::channels];
#pragma HLS ARRAY_PARTITION variable = code complete
        coder<data_T, coder_config>(x, mult, offset, code);
    CODE_CHANNELS:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            p.code[c] = code[c];
        }
    }

    template <class data_T, class CONFIG>
    static void outside(code_pixel<CONFIG> &p) {
#pragma HLS INLINE
    CODE_OUTSIDE:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            p.code[c] = CONFIG::coder::n_codes;
        }
    }

    /// \brief The codes of a window, ordered by tap, then channel.
    template <class CONFIG>
    static void patch(const code_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                      typename CONFIG::patch_t code[CONFIG::dense::n_in]) {
#pragma HLS INLINE
        static const unsigned n_taps = windows<typename CONFIG::geometry>::n_taps;
        static_assert((unsigned)CONFIG::dense::n_in == n_taps * CONFIG::geometry::channels,
                      "the dense layer is for another patch");
        static_assert((unsigned)CONFIG::dense::n_out == (unsigned)CONFIG::n_out,
                      "the dense layer is for another n_out");
    PATCH_CODES:
        for (unsigned t = 0; t < n_taps; t++) {
#pragma HLS UNROLL
        PATCH_CODE_CHANNELS:
            for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
                code[t * CONFIG::geometry::channels + c] = taps[t].code[c];
            }
        }
    }
};

/// \brief The coder of a dense layer whose inputs are codes: the identity.
static const unsigned char code_mult[1] = {1};
static const unsigned char code_offset[1] = {0};

/// \brief The unit of every_window that computes a layer in edge-table form.
struct edge_table_unit : code_pixels {
    template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T, class... TABLES>
    static void window(const code_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const mult_T & /* the pixels' */, const offset_T &,
                       const TABLES &...tables) {
#pragma HLS INLINE
        typename CONFIG::patch_t code[CONFIG::dense::n_in];
#pragma HLS ARRAY_PARTITION variable = code complete
        patch<CONFIG>(taps, code);
        edge_table<typename CONFIG::patch_t, res_T, typename CONFIG::dense>(code, y, code_mult, code_offset, tables...);
    }
};

/// \brief A convolutional KAN layer in edge-table form: the layer of edge_table.h on every window of an image.
///
///   Y[w][o] = sat((sum over edges ((t, c) -> o) of E[e][code of channel c at tap t] + bias[o] + half) >> n);
///
/// a tap outside of the image adds 0. The coder is evaluated once per pixel. Input t * channels + c of the patch is the
/// patch's tap t, channel c. Groups are edges that do not exist. Exact but for the one rounding and saturation.
///
/// \tparam data_T  type of the input, see raw_bits
/// \tparam res_T   type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG  geometry (see windows); n_out (outputs of a window, of all groups); reuse_factor (a divisor of
///                 n_windows, see every_window); coder (of the channels of a pixel, C codes); patch_t (unsigned; holds
///                 C - 1, and C where the image is padded); dense (config of edge_table for patches of codes: its coder
///                 has one multiplier and C codes, C + 1 where the image is padded)
/// \tparam TABLES  types of the tables, which are deduced
///
/// \param x       image, [height * width * channels]
/// \param y       image, [n_windows * n_out]
/// \param tables  as in edge_table, in its order; mult and offset are for the channels of a pixel, the others for a
/// patch;
///                where the image is padded, entry C of every table is 0
template <class data_T, class res_T, class CONFIG, class... TABLES>
void edge_table_conv2d(const data_T x[windows<typename CONFIG::geometry>::n_pixels * CONFIG::geometry::channels],
                       res_T y[windows<typename CONFIG::geometry>::n_windows * CONFIG::n_out],
                       const TABLES &...tables) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
    every_window<edge_table_unit, data_T, res_T, CONFIG>(x, y, tables...);
}

} // namespace kan4ml
