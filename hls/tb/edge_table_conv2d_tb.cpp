// Convolutional layers in edge-table form of seven geometries, coder shared or per channel, all windows at once and
// rolled. The model sums over the edges of every window in plain long long.
#include "check.h"
#include "geometry.h"
#include "kan4ml/edge_table_conv2d.h"

static tb::Checker check("edge_table_conv2d");

// A table has an entry more where windows leave the image.
template <class G, unsigned N_OUT, unsigned REUSE, unsigned N_CODES, bool PER_CHANNEL>
struct config {
    static const unsigned PATCH = G::kernel_height * G::kernel_width * G::channels;
    typedef G geometry;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = REUSE;
    struct coder {
        static const unsigned n_in = G::channels;
        static const unsigned n_mult = PER_CHANNEL ? G::channels : 1;
        static const unsigned n_codes = N_CODES;
        static const unsigned shift = 2;
        typedef ap_int<5> mult_t;
        typedef ap_int<8> offset_t;
        typedef ap_int<12> sum_t;
        typedef ap_uint<4> code_t;
    };
    typedef ap_uint<4> patch_t;
    struct dense {
        static const unsigned n_in = PATCH;
        static const unsigned n_out = N_OUT;
        static const unsigned n_edges = PATCH * N_OUT / 2 + 1;
        static const unsigned reuse_factor = 1;
        struct coder {
            static const unsigned n_in = PATCH;
            static const unsigned n_mult = 1;
            static const unsigned n_codes = N_CODES + (kan4ml::windows<G>::is_padded ? 1 : 0);
            static const unsigned shift = 0;
            typedef ap_uint<1> mult_t;
            typedef ap_uint<1> offset_t;
            typedef ap_int<6> sum_t;
            typedef ap_uint<4> code_t;
        };
        typedef ap_int<7> value_t;
        typedef ap_int<13> acc_t;
        static const unsigned shift = 3;
        typedef ap_int<10> bias_t;
        typedef ap_int<14> sum_t;
    };
};

template <class data_T, class res_T, class G, unsigned N_OUT, unsigned REUSE, unsigned N_CODES, bool PER_CHANNEL>
static void layer(unsigned long long seed) {
    typedef config<G, N_OUT, REUSE, N_CODES, PER_CHANNEL> cfg;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    static const unsigned C = G::channels, n_in = G::height * G::width * C, n_windows = kan4ml::windows<G>::n_windows;
    static const unsigned N_MULT = cfg::coder::n_mult, EDGES = cfg::dense::n_edges, ROWS = cfg::dense::coder::n_codes;
    tb::Random random(seed);
    for (int n = 0; n < 4; n++) {
        signed char mult[N_MULT], tables[EDGES][ROWS];
        short offset[N_MULT], bias[N_OUT];
        unsigned char edge_input[EDGES], edge_output[EDGES];
        for (unsigned k = 0; k < N_MULT; k++) {
            mult[k] = (signed char)random.edgy(-16, 15);
            offset[k] = (short)random.edgy(-128, 127);
        }
        for (unsigned e = 0; e < EDGES; e++) {
            const unsigned k = e * 2 % (cfg::PATCH * N_OUT + 1) % (cfg::PATCH * N_OUT); // every second edge
            edge_input[e] = (unsigned char)(k % cfg::PATCH);
            edge_output[e] = (unsigned char)(k / cfg::PATCH);
            for (unsigned c = 0; c < ROWS; c++) {
                tables[e][c] = c < N_CODES ? (signed char)random.edgy(-64, 63) : (signed char)0;
            }
        }
        for (unsigned o = 0; o < N_OUT; o++) {
            bias[o] = (short)random.edgy(-512, 511);
        }
        for (int image = 0; image < 8; image++) {
            long long X[n_in];
            data_T x[n_in];
            res_T y[n_windows * N_OUT];
            for (unsigned i = 0; i < n_in; i++) {
                X[i] = random.edgy(in::lowest, in::highest);
                x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
            }
            kan4ml::edge_table_conv2d<data_T, res_T, cfg>(x, y, mult, offset, edge_input, edge_output, tables, bias);
            for (unsigned w = 0; w < n_windows; w++) {
                for (unsigned o = 0; o < N_OUT; o++) {
                    long long sum = bias[o];
                    for (unsigned e = 0; e < EDGES; e++) {
                        const int p = tb::sizes<G>::pixel(w, edge_input[e] / C);
                        const unsigned c = edge_input[e] % C, k = PER_CHANNEL ? c : 0;
                        if (edge_output[e] == o && p >= 0) {
                            sum += tables[e][tb::code(X[p * (int)C + (int)c], mult[k], offset[k], 2, N_CODES)];
                        }
                    }
                    check.equal("Y", (long long)kan4ml::to_raw(y[w * N_OUT + o]),
                                tb::rescaled(sum, 3, out::width, out::is_signed));
                }
            }
        }
    }
}

int main() {
    typedef ap_fixed<6, 2, AP_RND, AP_SAT> real_in;
    typedef ap_ufixed<5, 5, AP_RND, AP_SAT> code_in;
    typedef ap_ufixed<4, 4, AP_RND, AP_SAT> code_out;
    typedef ap_fixed<9, 4, AP_RND, AP_SAT> real_out;
    layer<real_in, code_out, tb::plain, 3, 1, 16, false>(1);
    layer<real_in, real_out, tb::padded, 2, 5, 15, true>(2);
    layer<code_in, real_out, tb::dilated, 2, 7, 9, false>(3);
    layer<code_in, code_out, tb::points, 5, 2, 13, true>(4);
    layer<real_in, real_out, tb::large, 1, 49, 11, false>(5);
    layer<real_in, ap_int<12>, tb::line, 2, 4, 15, true>(6);
    layer<code_in, real_out, tb::single, 1, 1, 2, false>(7);
    layer<code_in, real_out, tb::coarse, 2, 1, 5, false>(8);
    return check.finish();
}
