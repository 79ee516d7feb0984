#pragma once

#include <type_traits>

#include "banked_mac.h"
#include "coder.h"
#include "rescale.h"

namespace kan4ml {

/// \brief What an iteration of kan_dense_rolled needs to know of the spline branch.
///
/// \tparam CONFIG  as in kan_dense_rolled
template <class CONFIG>
struct spline_banks {
    static const unsigned groups = (CONFIG::basis::n_basis + CONFIG::basis::window - 1) / CONFIG::basis::window;
    static const unsigned words = reuse<CONFIG>::steps * groups;
    static_assert((unsigned)CONFIG::spline_coder::n_in == (unsigned)CONFIG::n_in,
                  "the spline coder is for another n_in");
    static_assert((unsigned)CONFIG::spline_mac::n_out == (unsigned)CONFIG::n_out,
                  "the spline MACs are for another n_out");
    static_assert((unsigned)CONFIG::rescale::n_out == (unsigned)CONFIG::n_out, "the rescale is for another n_out");
    static_assert((unsigned)CONFIG::spline_coder::n_codes == (unsigned)CONFIG::basis::n_codes,
                  "the basis ROM has a row for every code of the spline coder");
};

/// \brief The code that the base branch reads: that of the spline branch where the coders are the same.
///
/// \tparam SHARED  true if both branches have one coder
template <bool SHARED>
struct base_code {
    template <class data_T, class CONFIG, class mult_T, class offset_T>
    static unsigned of(const data_T &x, const mult_T &mult, const offset_T &offset, unsigned /* another coder's */) {
#pragma HLS INLINE
        return (unsigned)encode<data_T, CONFIG>(x, mult, offset);
    }
};

template <>
struct base_code<true> {
    template <class data_T, class CONFIG, class mult_T, class offset_T>
    static unsigned of(const data_T & /* coded already */, const mult_T &, const offset_T &, unsigned spline_code) {
#pragma HLS INLINE
        return spline_code;
    }
};

/// \brief The layer of kan_dense.h with spline and base branch as one rolled loop.
///
/// An iteration reads P = n_in / R inputs; for each it multiplies the window of basis values with one word of each of K
/// weight memories (see banked_mac) and the activation with one word of base weights. II = 1, R iterations a sample,
/// P * n_out * (K + 1) multipliers. A pruned edge is a weight of 0 and saves nothing. Exact but for the one rounding
/// and saturation at the end.
///
/// \tparam data_T  type of the input, see raw_bits
/// \tparam res_T   type of the output, see raw_bits; Y saturates to its width and sign
/// \tparam CONFIG  n_in; n_out; reuse_factor = R (a divisor of n_in); has_base (true); shared_coder (true if both
///                 branches have one coder, which is then computed once); spline_coder, base_coder (see coder); basis
///                 (see banked_mac); base_table (see base_table); spline_mac, base_mac (n_out; weight_t; acc_t);
///                 rescale (see rescale)
///
/// The other template parameters are the native integer types of the tables, which are deduced.
///
/// \param x               inputs, [n_in]
/// \param y               outputs, [n_out]
/// \param spline_mult     multipliers of the spline coder, [spline_coder::n_mult]
/// \param spline_offset   offsets of the spline coder, [spline_coder::n_mult]
/// \param basis_values    rotated basis values V, [basis::n_codes][K]
/// \param basis_groups    groups g, [basis::n_codes][K]
/// \param spline_weights  spline_weights[k*K + b][r*G + g][o] = W[o][r*P + k][g*K + b], 0 beyond the basis,
/// [P*K][R*G][n_out]
/// \param base_mult       multipliers of the base coder, [base_coder::n_mult]; not read where shared_coder
/// \param base_offset     offsets of the base coder, [base_coder::n_mult]; not read where shared_coder
/// \param base_values     S, [base_table::n_codes]
/// \param base_weights    base_weights[i][o] = w[o][i], [n_in][n_out]
/// \param spline_rescale  ms, [n_out]
/// \param base_rescale    mb, [n_out]
/// \param bias            in units of 2^-n output LSBs, [n_out]
template <class data_T, class res_T, class CONFIG, class sm_T, class so_T, class bv_T, class bg_T, class sw_T,
          class bm_T, class bo_T, class bt_T, class bw_T, class ms_T, class mb_T, class bias_T>
void kan_dense_rolled(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out],
                      const sm_T spline_mult[CONFIG::spline_coder::n_mult],
                      const so_T spline_offset[CONFIG::spline_coder::n_mult],
                      const bv_T basis_values[CONFIG::basis::n_codes][CONFIG::basis::window],
                      const bg_T basis_groups[CONFIG::basis::n_codes][CONFIG::basis::window],
                      const sw_T spline_weights[reuse<CONFIG>::inputs_per_step * CONFIG::basis::window]
                                               [spline_banks<CONFIG>::words][CONFIG::n_out],
                      const bm_T base_mult[CONFIG::base_coder::n_mult],
                      const bo_T base_offset[CONFIG::base_coder::n_mult],
                      const bt_T base_values[CONFIG::base_table::n_codes],
                      const bw_T base_weights[CONFIG::n_in][CONFIG::n_out], const ms_T spline_rescale[CONFIG::n_out],
                      const mb_T base_rescale[CONFIG::n_out], const bias_T bias[CONFIG::n_out]) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
#pragma HLS ARRAY_PARTITION variable = spline_weights complete dim = 1
#pragma HLS ARRAY_RESHAPE variable = spline_weights complete dim = 3
#pragma HLS BIND_STORAGE variable = spline_weights type = rom_1p impl = bram
#pragma HLS ARRAY_PARTITION variable = base_values complete
#pragma HLS ARRAY_PARTITION variable = base_weights cyclic factor = CONFIG::n_in / CONFIG::reuse_factor dim = 1
#pragma HLS ARRAY_RESHAPE variable = base_weights complete dim = 2
#pragma HLS BIND_STORAGE variable = base_weights type = rom_1p impl = bram
    typedef typename CONFIG::spline_coder coder_config;
    typedef typename CONFIG::base_coder base_coder_config;
    typedef typename CONFIG::base_table table_config;
    typedef typename CONFIG::base_mac base_config;
    typedef typename CONFIG::spline_mac::acc_t spline_acc_t;
    typedef typename base_config::acc_t base_acc_t;
    static const unsigned steps = reuse<CONFIG>::steps, inputs = reuse<CONFIG>::inputs_per_step;
    static_assert(CONFIG::has_base, "this overload is for layers with a base branch");
    static_assert((unsigned)base_coder_config::n_in == (unsigned)CONFIG::n_in, "the base coder is for another n_in");
    static_assert((unsigned)base_config::n_out == (unsigned)CONFIG::n_out, "the base MACs are for another n_out");
    static_assert((unsigned)base_coder_config::n_codes == (unsigned)table_config::n_codes,
                  "the base table has an entry for every code of the base coder");
    static_assert(!CONFIG::shared_coder || std::is_same<coder_config, base_coder_config>::value,
                  "a shared coder has one config struct");
    static_assert(raw_bits<base_acc_t>::is_signed, "an accumulator is signed");

    spline_acc_t spline_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = spline_acc complete
    base_acc_t base_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = base_acc complete
ROLLED_CLEAR:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        spline_acc[o] = 0;
        base_acc[o] = 0;
    }

KAN_INPUTS:
    KAN4ML_ROLLED
    for (unsigned r = 0; r < steps; r++) {
#pragma HLS PIPELINE II = 1
        spline_acc_t spline_sum[CONFIG::n_out]; // so that one adder only lies in the feedback of each accumulator
#pragma HLS ARRAY_PARTITION variable = spline_sum complete
        base_acc_t base_sum[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = base_sum complete
    ROLLED_SUMS:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            spline_sum[o] = 0;
            base_sum[o] = 0;
        }
    ROLLED_INPUTS:
        for (unsigned k = 0; k < inputs; k++) {
#pragma HLS UNROLL
            const unsigned i = r * inputs + k;
            const unsigned m = coder_config::n_mult == 1 ? 0 : i, n = base_coder_config::n_mult == 1 ? 0 : i;
            const unsigned code = (unsigned)encode<data_T, coder_config>(x[i], spline_mult[m], spline_offset[m]);
            banked_mac<typename CONFIG::basis, typename CONFIG::spline_mac, steps>(
                r, code, basis_values, basis_groups, spline_weights + k * CONFIG::basis::window, spline_sum);
            const typename table_config::value_t activation =
                base_values[base_code<CONFIG::shared_coder>::template of<data_T, base_coder_config>(
                    x[i], base_mult[n], base_offset[n], code)];
        ROLLED_BASE:
            for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
                const typename base_config::weight_t w = base_weights[i][o];
                base_sum[o] += activation * w;
            }
        }
    ROLLED_ACCUMULATE:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            spline_acc[o] += spline_sum[o];
            base_acc[o] += base_sum[o];
        }
    }

    rescale<spline_acc_t, base_acc_t, res_T, typename CONFIG::rescale>(spline_acc, base_acc, spline_rescale,
                                                                       base_rescale, bias, y);
}

/// \brief The layer of kan_dense.h without base branch as one rolled loop.
///
/// CONFIG needs has_base (false) and no field of the base branch. Parameters as above.
template <class data_T, class res_T, class CONFIG, class sm_T, class so_T, class bv_T, class bg_T, class sw_T,
          class ms_T, class bias_T>
void kan_dense_rolled(const data_T x[CONFIG::n_in], res_T y[CONFIG::n_out],
                      const sm_T spline_mult[CONFIG::spline_coder::n_mult],
                      const so_T spline_offset[CONFIG::spline_coder::n_mult],
                      const bv_T basis_values[CONFIG::basis::n_codes][CONFIG::basis::window],
                      const bg_T basis_groups[CONFIG::basis::n_codes][CONFIG::basis::window],
                      const sw_T spline_weights[reuse<CONFIG>::inputs_per_step * CONFIG::basis::window]
                                               [spline_banks<CONFIG>::words][CONFIG::n_out],
                      const ms_T spline_rescale[CONFIG::n_out], const bias_T bias[CONFIG::n_out]) {
#pragma HLS ARRAY_PARTITION variable = x complete
#pragma HLS ARRAY_PARTITION variable = y complete
#pragma HLS ARRAY_PARTITION variable = spline_weights complete dim = 1
#pragma HLS ARRAY_RESHAPE variable = spline_weights complete dim = 3
#pragma HLS BIND_STORAGE variable = spline_weights type = rom_1p impl = bram
    typedef typename CONFIG::spline_coder coder_config;
    typedef typename CONFIG::spline_mac::acc_t spline_acc_t;
    static const unsigned steps = reuse<CONFIG>::steps, inputs = reuse<CONFIG>::inputs_per_step;
    static_assert(!CONFIG::has_base, "this overload is for layers without a base branch");

    spline_acc_t spline_acc[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = spline_acc complete
ROLLED_CLEAR:
    for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
        spline_acc[o] = 0;
    }

KAN_INPUTS:
    KAN4ML_ROLLED
    for (unsigned r = 0; r < steps; r++) {
#pragma HLS PIPELINE II = 1
        spline_acc_t spline_sum[CONFIG::n_out]; // so that one adder only lies in the feedback of the accumulator
#pragma HLS ARRAY_PARTITION variable = spline_sum complete
    ROLLED_SUMS:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            spline_sum[o] = 0;
        }
    ROLLED_INPUTS:
        for (unsigned k = 0; k < inputs; k++) {
#pragma HLS UNROLL
            const unsigned i = r * inputs + k, m = coder_config::n_mult == 1 ? 0 : i;
            const unsigned code = (unsigned)encode<data_T, coder_config>(x[i], spline_mult[m], spline_offset[m]);
            banked_mac<typename CONFIG::basis, typename CONFIG::spline_mac, steps>(
                r, code, basis_values, basis_groups, spline_weights + k * CONFIG::basis::window, spline_sum);
        }
    ROLLED_ACCUMULATE:
        for (unsigned o = 0; o < CONFIG::n_out; o++) {
#pragma HLS UNROLL
            spline_acc[o] += spline_sum[o];
        }
    }

    rescale<spline_acc_t, res_T, typename CONFIG::rescale>(spline_acc, spline_rescale, bias, y);
}

} // namespace kan4ml
