#pragma once

#include "hls_stream.h"
#include "window2d.h"

namespace kan4ml {

/// \brief The last ROWS rows of an image that comes pixel by pixel, as far as a window needs them.
///
/// ROWS - 1 rows lie in memories that are read and written once per pixel; the window itself lies in registers.
///
/// \tparam pixel_T  what is kept of a pixel
/// \tparam ROWS     rows of the window
/// \tparam COLUMNS  columns of the window
/// \tparam WIDTH    pixels of a row of the image, >= COLUMNS
template <class pixel_T, unsigned ROWS, unsigned COLUMNS, unsigned WIDTH>
struct line_buffer {
    static_assert(ROWS >= 1 && COLUMNS >= 1 && COLUMNS <= WIDTH, "a window lies within the rows");
    static const unsigned kept = ROWS == 1 ? 1 : ROWS - 1; // C++ has no arrays of size 0

    pixel_T rows[kept][WIDTH];
    pixel_T window[ROWS][COLUMNS];

    /// \brief Takes the next pixel: the window moves one column to the right, and its last pixel is this one.
    /// \param pixel   the pixel
    /// \param column  its column, 0 … WIDTH - 1
    void shift_in(const pixel_T &pixel, unsigned column) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rows complete dim = 1
#pragma HLS ARRAY_PARTITION variable = window complete dim = 0
    SHIFT_ROWS:
        for (unsigned r = 0; r < ROWS; r++) {
#pragma HLS UNROLL
        SHIFT_COLUMNS:
            for (unsigned c = 0; c + 1 < COLUMNS; c++) {
#pragma HLS UNROLL
                window[r][c] = window[r][c + 1];
            }
        }
    SHIFT_IN:
        for (unsigned r = 0; r + 1 < ROWS; r++) {
#pragma HLS UNROLL
            const pixel_T above = rows[r][column];
            window[r][COLUMNS - 1] = above;
            if (r > 0) {
                rows[r - 1][column] = above;
            }
        }
        window[ROWS - 1][COLUMNS - 1] = pixel;
        rows[kept - 1][column] = pixel;
    }
};

/// \brief One clock of every_window_stream: takes a pixel of the padded image, and if a window is complete with it,
/// computes it.
///
/// \param row, column  of the padded image
/// \param complete     whether the pixel is the last one of a window
/// \param buffer       what came before
///
/// The rest as in every_window_stream.
template <class UNIT, class data_T, class res_T, class CONFIG, class buffer_T, class... TABLES>
inline void next_pixel(unsigned row, unsigned column, bool complete, buffer_T &buffer, hls::stream<data_T> &x,
                       hls::stream<res_T> &y, const TABLES &...tables) {
#pragma HLS INLINE
    typedef typename CONFIG::geometry geometry;
    typedef typename data_T::value_type in_T;
    typedef typename res_T::value_type out_T;
    typedef typename UNIT::template pixel<in_T, CONFIG> pixel_T;
    static const unsigned n_taps = windows<geometry>::n_taps;
    static const unsigned first_row = geometry::padding_top, first_column = geometry::padding_left;

    pixel_T pixel;
    if (row >= first_row && row < first_row + geometry::height && column >= first_column &&
        column < first_column + geometry::width) {
        const data_T beat = x.read();
        in_T in[geometry::channels];
#pragma HLS ARRAY_PARTITION variable = in complete
    STREAM_CHANNELS:
        for (unsigned c = 0; c < geometry::channels; c++) {
#pragma HLS UNROLL
            in[c] = beat[c];
        }
        UNIT::template read<in_T, CONFIG>(in, pixel, tables...);
    } else {
        UNIT::template outside<in_T, CONFIG>(pixel);
    }
    buffer.shift_in(pixel, column);

    if (complete) {
        pixel_T taps[n_taps];
#pragma HLS ARRAY_PARTITION variable = taps complete
        out_T out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
        res_T beat;
    STREAM_TAPS:
        for (unsigned t = 0; t < n_taps; t++) {
#pragma HLS UNROLL
            taps[t] = buffer.window[t / geometry::kernel_width * geometry::dilation_h]
                                   [t % geometry::kernel_width * geometry::dilation_w];
        }
        UNIT::template window<in_T, out_T, CONFIG>(taps, out, tables...);
    STREAM_OUTPUTS:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            beat[o] = out[o];
        }
        y.write(beat);
    }
}

/// \brief The line buffer of every_window_stream.
template <class UNIT, class data_T, class CONFIG>
struct buffer_of {
    typedef windows<typename CONFIG::geometry> sizes;
    typedef line_buffer<typename UNIT::template pixel<typename data_T::value_type, CONFIG>, sizes::extent_h,
                        sizes::extent_w, sizes::padded_width>
        type;
};

/// \brief Applies a unit to every window of an image that comes pixel by pixel, and writes window by window.
///
/// Reads a beat per pixel, in the order of the image, and writes a beat as soon as a window is complete: one pixel of
/// the padded image per clock, and the hardware of one window. Reading blocks while no pixel has come, writing while
/// the output is full. Nothing is kept from one image to the next. The numbers are those of every_window.
///
/// \tparam UNIT    as in every_window
/// \tparam data_T  type of a beat of the input (channels values), see read_vector
/// \tparam res_T   type of a beat of the output (n_out values)
/// \tparam CONFIG  geometry (see windows); n_out (integers of a window); what UNIT needs
/// \tparam TABLES  types of the tables, which are deduced
///
/// \param x       one image: height * width beats
/// \param y       gets out_height * out_width beats
/// \param tables  those of UNIT
template <class UNIT, class data_T, class res_T, class CONFIG, class... TABLES>
inline void every_window_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
#pragma HLS INLINE
    typedef typename CONFIG::geometry geometry;
    typedef windows<geometry> sizes;
    static_assert((unsigned)data_T::size == (unsigned)geometry::channels, "a beat holds the channels of a pixel");
    static_assert((unsigned)res_T::size == (unsigned)CONFIG::n_out, "a beat holds the outputs of a window");

    typename buffer_of<UNIT, data_T, CONFIG>::type buffer;
    unsigned rows_left = sizes::extent_h - 1; // until a row of windows is complete
STREAM_ROWS:
    for (unsigned row = 0; row < sizes::padded_height; row++) {
        unsigned columns_left = sizes::extent_w - 1;
    STREAM_COLUMNS:
        for (unsigned column = 0; column < sizes::padded_width; column++) {
#pragma HLS PIPELINE II = 1
            next_pixel<UNIT, data_T, res_T, CONFIG>(row, column, rows_left == 0 && columns_left == 0, buffer, x, y,
                                                    tables...);
            columns_left = columns_left == 0 ? geometry::stride_w - 1 : columns_left - 1;
        }
        rows_left = rows_left == 0 ? geometry::stride_h - 1 : rows_left - 1;
    }
}

/// \brief The same with a unit whose window is a rolled loop: a pipelined loop of pixels would unroll it.
///
/// Parameters as in every_window_stream.
template <class UNIT, class data_T, class res_T, class CONFIG, class... TABLES>
inline void every_window_rolled(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
#pragma HLS INLINE
    typedef typename CONFIG::geometry geometry;
    typedef windows<geometry> sizes;
    static_assert((unsigned)data_T::size == (unsigned)geometry::channels, "a beat holds the channels of a pixel");
    static_assert((unsigned)res_T::size == (unsigned)CONFIG::n_out, "a beat holds the outputs of a window");

    typename buffer_of<UNIT, data_T, CONFIG>::type buffer;
    unsigned rows_left = sizes::extent_h - 1;
ROLLED_ROWS:
    KAN4ML_ROLLED
    for (unsigned row = 0; row < sizes::padded_height; row++) {
        unsigned columns_left = sizes::extent_w - 1;
    ROLLED_COLUMNS:
        KAN4ML_ROLLED
        for (unsigned column = 0; column < sizes::padded_width; column++) {
            next_pixel<UNIT, data_T, res_T, CONFIG>(row, column, rows_left == 0 && columns_left == 0, buffer, x, y,
                                                    tables...);
            columns_left = columns_left == 0 ? geometry::stride_w - 1 : columns_left - 1;
        }
        rows_left = rows_left == 0 ? geometry::stride_h - 1 : rows_left - 1;
    }
}

} // namespace kan4ml
