#pragma once

#include <type_traits>

#include "base_table.h"
#include "bspline_arith.h"
#include "bspline_rom.h"
#include "coder.h"
#include "gram_arith.h"
#include "gram_rom.h"
#include "mac_array.h"
#include "rbf_arith.h"
#include "rbf_rom.h"
#include "rescale.h"

namespace kan4ml {

/// \brief The spline branch of a layer up to its sums: coder, basis unit, MAC array.
///
/// Parameters as in kan_dense; code is also handed out, for a base branch that shares it, [n_in].
template <class data_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class ei_T, class eo_T,
          class sw_T>
inline void spline_branch(const data_T x[CONFIG::n_in], const sm_T spline_mult[CONFIG::spline_coder::n_mult],
                          const so_T spline_offset[CONFIG::spline_coder::n_mult],
                          const bv_T basis_values[CONFIG::basis::n_rows][CONFIG::basis::n_columns],
                          const bs_T basis_start[CONFIG::basis::n_index],
                          const ei_T edge_input[CONFIG::spline_mac::n_edges],
                          const eo_T edge_output[CONFIG::spline_mac::n_edges],
                          const sw_T spline_weights[CONFIG::spline_mac::n_edges][CONFIG::basis::n_basis],
                          typename CONFIG::spline_coder::code_t code[CONFIG::n_in],
                          typename CONFIG::spline_mac::acc_t acc[CONFIG::n_out]) {
#pragma HLS INLINE
    typedef typename CONFIG::spline_coder coder_config;
    typedef typename CONFIG::basis basis_config;
    typedef typename CONFIG::spline_mac mac_config;
    static_assert(CONFIG::reuse_factor == 1, "this kernel is fully parallel: its reuse factor is 1");
    static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::n_in, "the spline coder is for another n_in");
    static_assert((unsigned)mac_config::n_in == (unsigned)CONFIG::n_in, "the spline MACs are for another n_in");
    static_assert((unsigned)mac_config::n_out == (unsigned)CONFIG::n_out, "the spline MACs are for another n_out");
    static_assert((unsigned)CONFIG::rescale::n_out == (unsigned)CONFIG::n_out, "the rescale is for another n_out");
    static_assert((unsigned)coder_config::n_codes == (unsigned)basis_config::n_codes,
                  "the basis unit is for as many codes as the spline coder has");

    typename basis_config::value_t value[CONFIG::n_in][basis_config::window];
#pragma HLS ARRAY_PARTITION variable = value complete dim = 0
    typename basis_config::start_t start[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = start complete

    coder<data_T, coder_config>(x, spline_mult, spline_offset, code);
    basis_config::unit::template evaluate<typename coder_config::code_t, basis_config, CONFIG::n_in>(
        code, basis_values, basis_start, value, start);
    spline_mac<basis_config, mac_config>(value, start, edge_input, edge_output, spline_weights, acc);
}

/// \brief The codes that the base branch reads: those of the spline branch where the coders are the same.
///
/// \tparam SHARED  true if both branches have one coder
template <bool SHARED>
struct base_codes {
    template <class data_T, class CONFIG, class bm_T, class bo_T>
    static void read(const data_T x[CONFIG::n_in], const bm_T mult[CONFIG::base_coder::n_mult],
                     const bo_T offset[CONFIG::base_coder::n_mult],
                     const typename CONFIG::spline_coder::code_t * /* another coder's */,
                     typename CONFIG::base_coder::code_t code[CONFIG::n_in]) {
#pragma HLS INLINE
        coder<data_T, typename CONFIG::base_coder>(x, mult, offset, code);
    }
};

template <>
struct base_codes<true> {
    template <class data_T, class CONFIG, class bm_T, class bo_T>
    static void read(const data_T * /* coded already */, const bm_T *, const bo_T *,
                     const typename CONFIG::spline_coder::code_t spline_code[CONFIG::n_in],
                     typename CONFIG::base_coder::code_t code[CONFIG::n_in]) {
#pragma HLS INLINE
    SHARED_CODES:
        for (unsigned i = 0; i < CONFIG::n_in; i++) {
#pragma HLS UNROLL
            code[i] = spline_code[i];
        }
    }
};

/// \brief A dense KAN layer with spline and base branch:
///
///   Y[o] = sat((acc_s[o]*ms[o] + acc_b[o]*mb[o] + bias[o] + half) >> n), where
///   acc_s[o] = sum over edges (i -> o) of sum_j B[c_i][j] * W[e][start[c_i] + j], c_i the spline coder's code,
///   acc_b[o] = sum over edges (i -> o) of S[c'_i] * w[e], c'_i the base coder's code.
///
/// Fully parallel, II = 1. Exact but for the one rounding and saturation at the end.
///
/// \tparam data_T  type of the input, see raw_bits
/// \tparam res_T   type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG  n_in; n_out; reuse_factor (1); has_base (true); shared_coder (true if both branches have one
///                 coder, which is then computed once); spline_coder, base_coder (see coder); basis (unit: one of
///                 bspline_rom_unit, bspline_rom_aligned_unit, bspline_arith_unit, rbf_rom_unit, rbf_arith_unit,
///                 gram_rom_unit, gram_arith_unit; the other fields as that unit's header says); base_table (see
///                 base_table); spline_mac, base_mac (see mac_array.h); rescale (see rescale)
///
/// The other template parameters are the native integer types of the tables, which are deduced.
///
/// \param x               inputs, [n_in]
/// \param y               outputs, [n_out]
/// \param spline_mult     multipliers of the spline coder, [spline_coder::n_mult]
/// \param spline_offset   offsets of the spline coder, [spline_coder::n_mult]
/// \param basis_values    table of the basis unit (a ROM's values B), [basis::n_rows][basis::n_columns]
/// \param basis_start     index table of the basis unit (a ROM's starts), [basis::n_index]
/// \param edge_input      input of each alive edge, [n_edges]
/// \param edge_output     output of each alive edge, [n_edges]
/// \param spline_weights  W, [n_edges][basis::n_basis]
/// \param base_mult       multipliers of the base coder, [base_coder::n_mult]; not read where shared_coder
/// \param base_offset     offsets of the base coder, [base_coder::n_mult]; not read where shared_coder
/// \param base_values     S, [base_table::n_codes]
/// \param base_weights    w, [n_edges]
/// \param spline_rescale  ms, [n_out]
/// \param base_rescale    mb, [n_out]
/// \param bias            in units of 2^-n output LSBs, [n_out]
template <class data_T, class res_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class ei_T,
          class eo_T, class sw_T, class bm_T, class bo_T, class bt_T, class bw_T, class ms_T, class mb_T, class bias_T>
void kan_dense(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out],
               const sm_T spline_mult[CONFIG::spline_coder::n_mult],
               const so_T spline_offset[CONFIG::spline_coder::n_mult],
               const bv_T basis_values[CONFIG::basis::n_rows][CONFIG::basis::n_columns],
               const bs_T basis_start[CONFIG::basis::n_index], const ei_T edge_input[CONFIG::spline_mac::n_edges],
               const eo_T edge_output[CONFIG::spline_mac::n_edges],
               const sw_T spline_weights[CONFIG::spline_mac::n_edges][CONFIG::basis::n_basis],
               const bm_T base_mult[CONFIG::base_coder::n_mult], const bo_T base_offset[CONFIG::base_coder::n_mult],
               const bt_T base_values[CONFIG::base_table::n_codes], const bw_T base_weights[CONFIG::base_mac::n_edges],
               const ms_T spline_rescale[CONFIG::n_out], const mb_T base_rescale[CONFIG::n_out],
               const bias_T bias[CONFIG::n_out]) {
#pragma HLS PIPELINE II = CONFIG::reuse_factor
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
    typedef typename CONFIG::base_coder coder_config;
    typedef typename CONFIG::base_table table_config;
    typedef typename CONFIG::base_mac mac_config;
    typedef typename CONFIG::spline_mac::acc_t spline_acc_t;
    static_assert(CONFIG::has_base, "this overload is for layers with a base branch");
    static_assert((unsigned)coder_config::n_in == (unsigned)CONFIG::n_in, "the base coder is for another n_in");
    static_assert((unsigned)mac_config::n_in == (unsigned)CONFIG::n_in, "the base MACs are for another n_in");
    static_assert((unsigned)mac_config::n_out == (unsigned)CONFIG::n_out, "the base MACs are for another n_out");
    static_assert((unsigned)mac_config::n_edges == (unsigned)CONFIG::spline_mac::n_edges,
                  "both branches run over one list of edges");
    static_assert((unsigned)coder_config::n_codes == (unsigned)table_config::n_codes,
                  "the base table has an entry for every code of the base coder");
    static_assert(!CONFIG::shared_coder || std::is_same<typename CONFIG::spline_coder, coder_config>::value,
                  "a shared coder has one config struct");

    typename CONFIG::spline_coder::code_t spline_code[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = spline_code complete
    typename coder_config::code_t base_code[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = base_code complete
    typename table_config::value_t base_value[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = base_value complete
    spline_acc_t spline_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = spline_acc complete
    typename mac_config::acc_t base_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = base_acc complete

    spline_branch<data_T, CONFIG>(x, spline_mult, spline_offset, basis_values, basis_start, edge_input, edge_output,
                                  spline_weights, spline_code, spline_acc);
    base_codes<CONFIG::shared_coder>::template read<data_T, CONFIG>(x, base_mult, base_offset, spline_code, base_code);
    base_table<typename coder_config::code_t, table_config, CONFIG::n_in>(base_code, base_values, base_value);
    base_mac<typename table_config::value_t, mac_config>(base_value, edge_input, edge_output, base_weights, base_acc);
    rescale<spline_acc_t, typename mac_config::acc_t, res_T, typename CONFIG::rescale>(
        spline_acc, base_acc, spline_rescale, base_rescale, bias, y);
}

/// \brief A dense KAN layer without base branch: Y[o] = sat((acc_s[o]*ms[o] + bias[o] + half) >> n).
///
/// CONFIG needs has_base (false) and no field of the base branch. Parameters as above.
template <class data_T, class res_T, class CONFIG, class sm_T, class so_T, class bv_T, class bs_T, class ei_T,
          class eo_T, class sw_T, class ms_T, class bias_T>
void kan_dense(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out],
               const sm_T spline_mult[CONFIG::spline_coder::n_mult],
               const so_T spline_offset[CONFIG::spline_coder::n_mult],
               const bv_T basis_values[CONFIG::basis::n_rows][CONFIG::basis::n_columns],
               const bs_T basis_start[CONFIG::basis::n_index], const ei_T edge_input[CONFIG::spline_mac::n_edges],
               const eo_T edge_output[CONFIG::spline_mac::n_edges],
               const sw_T spline_weights[CONFIG::spline_mac::n_edges][CONFIG::basis::n_basis],
               const ms_T spline_rescale[CONFIG::n_out], const bias_T bias[CONFIG::n_out]) {
#pragma HLS PIPELINE II = CONFIG::reuse_factor
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
    typedef typename CONFIG::spline_mac::acc_t spline_acc_t;
    static_assert(!CONFIG::has_base, "this overload is for layers without a base branch");

    typename CONFIG::spline_coder::code_t spline_code[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = spline_code complete
    spline_acc_t spline_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = spline_acc complete

    spline_branch<data_T, CONFIG>(x, spline_mult, spline_offset, basis_values, basis_start, edge_input, edge_output,
                                  spline_weights, spline_code, spline_acc);
    rescale<spline_acc_t, res_T, typename CONFIG::rescale>(spline_acc, spline_rescale, bias, y);
}

} // namespace kan4ml
