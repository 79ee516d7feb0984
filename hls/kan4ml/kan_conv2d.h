#pragma once

#include "kan_dense.h"
#include "window2d.h"

namespace kan4ml {

/// \brief What the windows of a KAN layer need of a pixel: the window of basis values of every channel, and its start.
template <class CONFIG>
struct spline_pixel {
    typename CONFIG::basis::value_t value[CONFIG::geometry::channels][CONFIG::basis::window];
    typename CONFIG::basis::start_t start[CONFIG::geometry::channels];
};

/// \brief The spline branch of a pixel: coder and basis unit, once for all windows that read it.
///
/// Parameters as in kan_conv2d; code is also handed out, for a base branch that shares it, [channels].
template <class data_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T>
inline void read_spline(const data_T x[CONFIG::geometry::channels], spline_pixel<CONFIG> &pixel,
                        const sm_T spline_mult[CONFIG::spline_coder::n_mult],
                        const so_T spline_offset[CONFIG::spline_coder::n_mult],
                        const bv_T basis_values[CONFIG::basis::n_rows][CONFIG::basis::n_columns],
                        const bs_T basis_start[CONFIG::basis::n_index],
                        typename CONFIG::spline_coder::code_t code[CONFIG::geometry::channels]) {
#pragma HLS INLINE
    typedef typename CONFIG::spline_coder coder_config;
    typedef typename CONFIG::basis basis_config;
    static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::geometry::channels,
                  "a coder is for the channels of a pixel");
    static_assert((unsigned)coder_config::n_codes == (unsigned)basis_config::n_codes,
                  "the basis unit is for as many codes as the spline coder has");
    coder<data_T, coder_config>(x, spline_mult, spline_offset, code);
    basis_config::unit::template evaluate<typename coder_config::code_t, basis_config, CONFIG::geometry::channels>(
        code, basis_values, basis_start, pixel.value, pixel.start);
}

/// \brief The spline branch of a pixel that does not exist: every basis function is 0, so that it adds nothing.
template <class CONFIG>
inline void outside_spline(spline_pixel<CONFIG> &pixel) {
#pragma HLS INLINE
OUTSIDE_CHANNELS:
    for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
        pixel.start[c] = 0;
    OUTSIDE_WINDOW:
        for (unsigned j = 0; j < CONFIG::basis::window; j++) {
#pragma HLS UNROLL
            pixel.value[c][j] = 0;
        }
    }
}

/// \brief MAC array of the spline branch over a patch, whose inputs are ordered by tap, then channel.
///
/// \tparam pixel_T  spline_pixel, or what is derived from it
template <class CONFIG, class pixel_T, class ei_T, class eo_T, class sw_T>
inline void spline_patch(const pixel_T taps[windows<typename CONFIG::geometry>::n_taps],
                         const ei_T edge_input[CONFIG::spline_mac::n_edges],
                         const eo_T edge_output[CONFIG::spline_mac::n_edges],
                         const sw_T spline_weights[CONFIG::spline_mac::n_edges][CONFIG::basis::n_basis],
                         typename CONFIG::spline_mac::acc_t acc[CONFIG::n_out]) {
#pragma HLS INLINE
    static const unsigned channels = CONFIG::geometry::channels, n_taps = windows<typename CONFIG::geometry>::n_taps;
    static_assert((unsigned)CONFIG::spline_mac::n_in == n_taps * channels, "the spline MACs are for another patch");
    static_assert((unsigned)CONFIG::spline_mac::n_out == (unsigned)CONFIG::n_out,
                  "the spline MACs are for another n_out");
    static_assert((unsigned)CONFIG::rescale::n_out == (unsigned)CONFIG::n_out, "the rescale is for another n_out");
    typename CONFIG::basis::value_t value[n_taps * channels][CONFIG::basis::window];
#pragma HLS ARRAY_PARTITION variable = value complete dim = 0
    typename CONFIG::basis::start_t start[n_taps * channels];
#pragma HLS ARRAY_PARTITION variable = start complete
PATCH_TAPS:
    for (unsigned t = 0; t < n_taps; t++) {
#pragma HLS UNROLL
    PATCH_CHANNELS:
        for (unsigned c = 0; c < channels; c++) {
#pragma HLS UNROLL
            start[t * channels + c] = taps[t].start[c];
        PATCH_WINDOW:
            for (unsigned j = 0; j < CONFIG::basis::window; j++) {
#pragma HLS UNROLL
                value[t * channels + c][j] = taps[t].value[c][j];
            }
        }
    }
    spline_mac<typename CONFIG::basis, typename CONFIG::spline_mac>(value, start, edge_input, edge_output,
                                                                    spline_weights, acc);
}

/// \brief The unit of every_window that computes a KAN layer.
///
/// \tparam HAS_BASE  whether there is a base branch
template <bool HAS_BASE>
struct kan_conv_unit {
    template <class data_T, class CONFIG>
    using pixel = spline_pixel<CONFIG>;

    template <class data_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class... REST>
    static void read(const data_T x[CONFIG::geometry::channels], spline_pixel<CONFIG> &p, const sm_T &spline_mult,
                     const so_T &spline_offset, const bv_T &basis_values, const bs_T &basis_start,
                     const REST &.../* the windows' */) {
#pragma HLS INLINE
        typename CONFIG::spline_coder::code_t code[CONFIG::geometry::channels];
#pragma HLS ARRAY_PARTITION variable = code complete
        read_spline<data_T, CONFIG>(x, p, spline_mult, spline_offset, basis_values, basis_start, code);
    }

    template <class data_T, class CONFIG>
    static void outside(spline_pixel<CONFIG> &p) {
#pragma HLS INLINE
        outside_spline<CONFIG>(p);
    }

    template <class data_T, class res_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class ei_T,
              class eo_T, class sw_T, class ms_T, class bias_T>
    static void window(const spline_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const sm_T & /* the pixels' */, const so_T &, const bv_T &, const bs_T &,
                       const ei_T &edge_input, const eo_T &edge_output, const sw_T &spline_weights,
                       const ms_T &spline_rescale, const bias_T &bias) {
#pragma HLS INLINE
        static_assert(!CONFIG::has_base, "a layer without base branch has no tables of one");
        typedef typename CONFIG::spline_mac::acc_t acc_t;
        acc_t acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = acc complete
        spline_patch<CONFIG>(taps, edge_input, edge_output, spline_weights, acc);
        rescale<acc_t, res_T, typename CONFIG::rescale>(acc, spline_rescale, bias, y);
    }
};

/// \brief What the windows need of a pixel where there is a base branch: the activation of every channel, too.
template <class CONFIG>
struct branches_pixel : spline_pixel<CONFIG> {
    typename CONFIG::base_table::value_t activation[CONFIG::geometry::channels];
};

/// \brief The config of a pixel for the helpers of kan_dense.h, whose inputs are its channels.
template <class CONFIG>
struct pixel_config : CONFIG {
    static const unsigned n_in = CONFIG::geometry::channels;
};

template <>
struct kan_conv_unit<true> {
    template <class data_T, class CONFIG>
    using pixel = branches_pixel<CONFIG>;

    template <class data_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class ei_T, class eo_T,
              class sw_T, class bm_T, class bo_T, class bt_T, class... REST>
    static void read(const data_T x[CONFIG::geometry::channels], branches_pixel<CONFIG> &p, const sm_T &spline_mult,
                     const so_T &spline_offset, const bv_T &basis_values, const bs_T &basis_start,
                     const ei_T & /* the windows' */, const eo_T &, const sw_T &, const bm_T &base_mult,
                     const bo_T &base_offset, const bt_T &base_values, const REST &...) {
#pragma HLS INLINE
        typedef typename CONFIG::base_coder coder_config;
        typedef typename CONFIG::base_table table_config;
        static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::geometry::channels,
                      "a coder is for the channels of a pixel");
        static_assert((unsigned)coder_config::n_codes == (unsigned)table_config::n_codes,
                      "the base table has an entry for every code of the base coder");
        static_assert(!CONFIG::shared_coder || std::is_same<typename CONFIG::spline_coder, coder_config>::value,
                      "a shared coder has one config struct");
        typename CONFIG::spline_coder::code_t spline_code[CONFIG::geometry::channels];
#pragma HLS ARRAY_PARTITION variable = spline_code complete
        typename coder_config::code_t base_code[CONFIG::geometry::channels];
#pragma HLS ARRAY_PARTITION variable = base_code complete
        read_spline<data_T, CONFIG>(x, p, spline_mult, spline_offset, basis_values, basis_start, spline_code);
        base_codes<CONFIG::shared_coder>::template read<data_T, pixel_config<CONFIG>>(x, base_mult, base_offset,
                                                                                      spline_code, base_code);
        base_table<typename coder_config::code_t, table_config, CONFIG::geometry::channels>(base_code, base_values,
                                                                                            p.activation);
    }

    template <class data_T, class CONFIG>
    static void outside(branches_pixel<CONFIG> &p) {
#pragma HLS INLINE
        outside_spline<CONFIG>(p);
    OUTSIDE_ACTIVATIONS:
        for (unsigned c = 0; c < CONFIG::geometry::channels; c++) {
#pragma HLS UNROLL
            p.activation[c] = 0;
        }
    }

    template <class data_T, class res_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class ei_T,
              class eo_T, class sw_T, class bm_T, class bo_T, class bt_T, class bw_T, class ms_T, class mb_T,
              class bias_T>
    static void window(const branches_pixel<CONFIG> taps[windows<typename CONFIG::geometry>::n_taps],
                       res_T y[CONFIG::n_out], const sm_T & /* the pixels' */, const so_T &, const bv_T &, const bs_T &,
                       const ei_T &edge_input, const eo_T &edge_output, const sw_T &spline_weights,
                       const bm_T & /* the pixels' */, const bo_T &, const bt_T &, const bw_T &base_weights,
                       const ms_T &spline_rescale, const mb_T &base_rescale, const bias_T &bias) {
#pragma HLS INLINE
        typedef typename CONFIG::spline_mac::acc_t spline_acc_t;
        typedef typename CONFIG::base_mac mac_config;
        typedef typename CONFIG::base_table::value_t activation_t;
        static const unsigned channels = CONFIG::geometry::channels;
        static const unsigned n_taps = windows<typename CONFIG::geometry>::n_taps;
        static_assert(CONFIG::has_base, "a layer with a base branch has tables of one");
        static_assert((unsigned)mac_config::n_in == n_taps * channels, "the base MACs are for another patch");
        static_assert((unsigned)mac_config::n_out == (unsigned)CONFIG::n_out, "the base MACs are for another n_out");
        static_assert((unsigned)mac_config::n_edges == (unsigned)CONFIG::spline_mac::n_edges,
                      "both branches run over one list of edges");
        spline_acc_t spline_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = spline_acc complete
        typename mac_config::acc_t base_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = base_acc complete
        activation_t activation[n_taps * channels];
#pragma HLS ARRAY_PARTITION variable = activation complete
    BASE_TAPS:
        for (unsigned t = 0; t < n_taps; t++) {
#pragma HLS UNROLL
        BASE_CHANNELS:
            for (unsigned c = 0; c < channels; c++) {
#pragma HLS UNROLL
                activation[t * channels + c] = taps[t].activation[c];
            }
        }
        spline_patch<CONFIG>(taps, edge_input, edge_output, spline_weights, spline_acc);
        base_mac<activation_t, mac_config>(activation, edge_input, edge_output, base_weights, base_acc);
        rescale<spline_acc_t, typename mac_config::acc_t, res_T, typename CONFIG::rescale>(
            spline_acc, base_acc, spline_rescale, base_rescale, bias, y);
    }
};

/// \brief A convolutional KAN layer: the layer of kan_dense.h on every window of an image.
///
///   Y[w][o] = sat((acc_s[o]*ms[o] + acc_b[o]*mb[o] + bias[o] + half) >> n),
///
/// whose sums run over the inputs (tap t, channel c) of the patch of window w; a tap outside of the image adds 0 to
/// both. Coder, basis unit and activation are evaluated once per pixel. Input t * channels + c of the patch is the
/// patch's tap t, channel c. Groups are edges that do not exist. Exact but for the one rounding and saturation.
///
/// \tparam data_T  type of the input, see raw_bits
/// \tparam res_T   type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG  geometry (see windows); n_out (outputs of a window, of all groups); reuse_factor (a divisor of
///                 n_windows, see every_window); has_base; spline_coder, basis (for the channels of a pixel),
///                 spline_mac (for a patch); where has_base: shared_coder, base_coder, base_table, base_mac likewise;
///                 rescale; all of them as in kan_dense
/// \tparam TABLES  types of the tables, which are deduced
///
/// \param x       image, [height * width * channels]
/// \param y       image, [n_windows * n_out]
/// \param tables  as in kan_dense with or without base branch, in its order; those of coders, basis unit and activation
///                are for the channels of a pixel, edges and weights for a patch
template <class data_T, class res_T, class CONFIG, class... TABLES>
void kan_conv2d(const data_T x[windows<typename CONFIG::geometry>::n_pixels * CONFIG::geometry::channels],
                res_T y[windows<typename CONFIG::geometry>::n_windows * CONFIG::n_out], const TABLES &...tables) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
    every_window<kan_conv_unit<CONFIG::has_base>, data_T, res_T, CONFIG>(x, y, tables...);
}

} // namespace kan4ml
