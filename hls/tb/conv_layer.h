#pragma once

#include "check.h"
#include "geometry.h"
#include "kan4ml/kan_dense.h"

namespace tb {

/// \brief Configs and random tables of a convolutional KAN layer of any geometry, and what it must compute.
///
/// C codes, windows of 3 of 6 basis functions, one coder for the layer or one per channel. About half of the edges of a
/// patch are alive.
template <class G, unsigned N_OUT, unsigned N_CODES, bool PER_CHANNEL, bool SHARED>
struct conv_layer {
    static const unsigned C = G::channels, PATCH = G::kernel_height * G::kernel_width * C;
    static const unsigned N_MULT = PER_CHANNEL ? C : 1, EDGES = PATCH * N_OUT / 2 + 1;

    template <unsigned SHIFT>
    struct coder_config {
        static const unsigned n_in = C;
        static const unsigned n_mult = N_MULT;
        static const unsigned n_codes = N_CODES;
        static const unsigned shift = SHIFT;
        typedef ap_int<5> mult_t;
        typedef ap_int<8> offset_t;
        typedef ap_int<12> sum_t;
        typedef ap_uint<4> code_t;
    };

    struct basis_config {
        static const unsigned n_codes = N_CODES;
        static const unsigned n_tables = N_MULT;
        static const unsigned n_rows = N_MULT * N_CODES;
        static const unsigned n_columns = 3;
        static const unsigned n_index = N_MULT * N_CODES;
        static const unsigned window = 3;
        static const unsigned n_basis = 6;
        typedef kan4ml::bspline_rom_unit unit;
        typedef ap_uint<4> value_t;
        typedef ap_uint<2> start_t;
    };

    struct table_config {
        static const unsigned n_codes = N_CODES;
        typedef ap_int<5> value_t;
    };

    struct mac_config {
        static const unsigned n_in = PATCH;
        static const unsigned n_out = N_OUT;
        static const unsigned n_edges = EDGES;
        typedef ap_int<4> weight_t;
        typedef ap_int<16> acc_t;
    };

    struct rescale_config {
        static const unsigned n_out = N_OUT;
        static const unsigned shift = 6;
        typedef ap_int<5> spline_mult_t;
        typedef ap_int<5> base_mult_t;
        typedef ap_int<12> bias_t;
        typedef ap_int<22> sum_t;
    };

    template <unsigned REUSE>
    struct spline_config {
        typedef G geometry;
        static const unsigned n_out = N_OUT;
        static const unsigned reuse_factor = REUSE;
        static const bool has_base = false;
        typedef coder_config<2> spline_coder;
        typedef basis_config basis;
        typedef mac_config spline_mac;
        typedef rescale_config rescale;
    };

    template <bool SAME, class T>
    struct choose {
        typedef coder_config<2> type;
    };
    template <class T>
    struct choose<false, T> {
        typedef coder_config<3> type;
    };

    template <unsigned REUSE>
    struct both_config : spline_config<REUSE> {
        static const bool has_base = true;
        static const bool shared_coder = SHARED;
        typedef typename choose<SHARED, void>::type base_coder;
        typedef table_config base_table;
        typedef mac_config base_mac;
    };

    signed char mult[N_MULT], base_mult[N_MULT], weights[EDGES][6], base_table[N_CODES], base_weights[EDGES];
    signed char ms[N_OUT], mb[N_OUT];
    short offset[N_MULT], base_offset[N_MULT], bias[N_OUT];
    unsigned char basis[N_MULT * N_CODES][3], start[N_MULT * N_CODES], edge_input[EDGES], edge_output[EDGES];

    explicit conv_layer(Random &random) {
        for (unsigned k = 0; k < N_MULT; k++) {
            mult[k] = (signed char)random.edgy(-16, 15);
            offset[k] = (short)random.edgy(-128, 127);
            base_mult[k] = (signed char)random.edgy(-16, 15);
            base_offset[k] = (short)random.edgy(-128, 127);
        }
        for (unsigned r = 0; r < N_MULT * N_CODES; r++) {
            start[r] = (unsigned char)random.edgy(0, 3);
            for (unsigned j = 0; j < 3; j++) {
                basis[r][j] = (unsigned char)random.edgy(0, 15);
            }
        }
        for (unsigned c = 0; c < N_CODES; c++) {
            base_table[c] = (signed char)random.edgy(-16, 15);
        }
        for (unsigned e = 0; e < EDGES; e++) {
            const unsigned k = (e * 2) % (PATCH * N_OUT + 1) % (PATCH * N_OUT); // every second edge
            edge_input[e] = (unsigned char)(k % PATCH);
            edge_output[e] = (unsigned char)(k / PATCH);
            base_weights[e] = (signed char)random.edgy(-8, 7);
            for (unsigned b = 0; b < 6; b++) {
                weights[e][b] = (signed char)random.edgy(-8, 7);
            }
        }
        for (unsigned o = 0; o < N_OUT; o++) {
            ms[o] = (signed char)random.edgy(-16, 15);
            mb[o] = (signed char)random.edgy(-16, 15);
            bias[o] = (short)random.edgy(-2048, 2047);
        }
    }

    /// \brief The sum of output o of window w of image X before the rescale's shift, over taps that exist.
    long long sum(const long long *X, unsigned w, unsigned o, bool with_base) const {
        long long spline = 0, base = 0;
        for (unsigned e = 0; e < EDGES; e++) {
            const unsigned t = edge_input[e] / C, c = edge_input[e] % C, k = PER_CHANNEL ? c : 0;
            const int p = sizes<G>::pixel(w, t);
            if (edge_output[e] != o || p < 0) {
                continue;
            }
            const long long x = X[p * (int)C + (int)c];
            const unsigned code = (unsigned)tb::code(x, mult[k], offset[k], 2, N_CODES);
            const unsigned row = k * N_CODES + code;
            for (unsigned b = 0; b < 6; b++) {
                const bool inside = b >= start[row] && b < start[row] + 3u;
                spline += inside ? (long long)basis[row][b - start[row]] * weights[e][b] : 0;
            }
            const unsigned mine = SHARED ? code : (unsigned)tb::code(x, base_mult[k], base_offset[k], 3, N_CODES);
            base += (long long)base_table[mine] * base_weights[e];
        }
        return spline * ms[o] + (with_base ? base * mb[o] : 0) + bias[o];
    }
};

} // namespace tb
