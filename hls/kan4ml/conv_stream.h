#pragma once

#include "edge_rows.h"
#include "edge_table_conv2d.h"
#include "kan_conv2d.h"
#include "kan_dense_rolled.h"
#include "line_buffer.h"
#include "pool2d.h"

namespace kan4ml {

/// \brief The unit of every_window_rolled that computes a layer in edge-table form with edge_rows.h: a window takes
/// dense::reuse_factor iterations.
struct edge_rows_unit : code_pixels {
    template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T, class... TABLES>
    static void window(const code_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const mult_T & /* the pixels' */, const offset_T &,
                       const TABLES &...tables) {
#pragma HLS INLINE
        typename CONFIG::patch_t code[CONFIG::dense::n_in];
#pragma HLS ARRAY_PARTITION variable = code complete
        patch<CONFIG>(taps, code);
        edge_rows<typename CONFIG::patch_t, res_T, typename CONFIG::dense>(code, y, code_mult, code_offset, tables...);
    }
};

/// \brief The unit of every_window_rolled that computes a KAN layer with kan_dense_rolled.h, whose branches share one
/// coder: a window takes dense::reuse_factor iterations.
///
/// \tparam HAS_BASE  whether there is a base branch
template <bool HAS_BASE>
struct kan_rolled_unit : code_pixels {
    template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T, class... TABLES>
    static void window(const code_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const mult_T & /* the pixels' */, const offset_T &,
                       const TABLES &...tables) {
#pragma HLS INLINE
        typename CONFIG::patch_t code[CONFIG::dense::n_in];
#pragma HLS ARRAY_PARTITION variable = code complete
        patch<CONFIG>(taps, code);
        kan_dense_rolled<typename CONFIG::patch_t, res_T, typename CONFIG::dense>(code, y, code_mult, code_offset,
                                                                                  tables...);
    }
};

template <>
struct kan_rolled_unit<true> : code_pixels {
    template <class data_T, class res_T, class CONFIG, class mult_T, class offset_T, class bv_T, class bg_T, class sw_T,
              class... BASE>
    static void window(const code_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const mult_T & /* the pixels' */, const offset_T &,
                       const bv_T &basis_values, const bg_T &basis_groups, const sw_T &spline_weights,
                       const BASE &...base) {
#pragma HLS INLINE
        static_assert(CONFIG::dense::shared_coder, "a rolled convolution has one coder for both branches");
        typename CONFIG::patch_t code[CONFIG::dense::n_in];
#pragma HLS ARRAY_PARTITION variable = code complete
        patch<CONFIG>(taps, code);
        kan_dense_rolled<typename CONFIG::patch_t, res_T, typename CONFIG::dense>(
            code, y, code_mult, code_offset, basis_values, basis_groups, spline_weights, code_mult, code_offset,
            base...);
    }
};

/// \brief The layer of kan_conv2d.h between two streams: a pixel to a beat, a line buffer of basis values in between.
///
/// \tparam data_T  type of a beat of the input (channels values), see read_vector
/// \tparam res_T   type of a beat of the output (n_out values); Y saturates to the width and sign of res_T::value_type
/// \tparam CONFIG  as in kan_conv2d, without reuse_factor
/// \tparam TABLES  types of the tables, which are deduced
///
/// \param x       one image: height * width beats
/// \param y       gets out_height * out_width beats
/// \param tables  as in kan_conv2d
template <class data_T, class res_T, class CONFIG, class... TABLES>
void kan_conv2d_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    every_window_stream<kan_conv_unit<CONFIG::has_base>, data_T, res_T, CONFIG>(x, y, tables...);
}

/// \brief The layer of edge_table_conv2d.h between two streams; the line buffer holds codes. Parameters as in
/// kan_conv2d_stream.
///
/// \tparam CONFIG  as in edge_table_conv2d, without reuse_factor
template <class data_T, class res_T, class CONFIG, class... TABLES>
void edge_table_conv2d_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    every_window_stream<edge_table_unit, data_T, res_T, CONFIG>(x, y, tables...);
}

/// \brief A convolution whose windows are rolled layers of edge_rows.h: dense::reuse_factor clocks a window. Parameters
/// as in kan_conv2d_stream.
///
/// \tparam CONFIG  as in edge_table_conv2d, without reuse_factor; dense is a config of edge_rows
///
/// \param tables  as in edge_rows, in its order; mult and offset are for the channels of a pixel; where the image is
///                padded, row C of every input is 0
template <class data_T, class res_T, class CONFIG, class... TABLES>
void edge_rows_conv2d_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    every_window_rolled<edge_rows_unit, data_T, res_T, CONFIG>(x, y, tables...);
}

/// \brief A convolution whose windows are rolled layers of kan_dense_rolled.h: dense::reuse_factor clocks a window. The
/// branches share one coder; the line buffer holds its codes. Parameters as in kan_conv2d_stream.
///
/// \tparam CONFIG  geometry; n_out; coder; patch_t as in edge_table_conv2d; dense: a config of kan_dense_rolled whose
///                 coders are as there
///
/// \param tables  as in kan_dense_rolled without base_mult and base_offset, in its order; mult and offset are for the
///                channels of a pixel; where the image is padded, row C of basis values and entry C of base values are
///                0
template <class data_T, class res_T, class CONFIG, class... TABLES>
void kan_conv2d_rolled_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    every_window_rolled<kan_rolled_unit<CONFIG::dense::has_base>, data_T, res_T, CONFIG>(x, y, tables...);
}

/// \brief max_pool2d between two streams. Parameters as in kan_conv2d_stream.
///
/// \tparam CONFIG  as in max_pool2d, without reuse_factor
template <class data_T, class res_T, class CONFIG>
void max_pool2d_stream(hls::stream<data_T> &x, hls::stream<res_T> &y) {
    every_window_stream<max_pool_unit, data_T, res_T, CONFIG>(x, y);
}

/// \brief average_pool2d between two streams. Parameters as in kan_conv2d_stream.
///
/// \tparam CONFIG  as in average_pool2d, without reuse_factor
template <class data_T, class res_T, class CONFIG>
void average_pool2d_stream(hls::stream<data_T> &x, hls::stream<res_T> &y) {
    every_window_stream<average_pool_unit, data_T, res_T, CONFIG>(x, y);
}

} // namespace kan4ml
