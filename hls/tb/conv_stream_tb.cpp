// Convolutions and pools between streams, several images one after the other. The layers of kan_conv2d.h and the rolled
// ones are compared with plain loops over every window, edge tables and pools with their kernels for arrays.
#include "conv_layer.h"
#include "kan4ml/conv_stream.h"
#include "pack.h"

static tb::Checker check("conv_stream");

static const unsigned IMAGES = 6;

typedef ap_fixed<6, 2, AP_RND, AP_SAT> in_T;
typedef ap_fixed<9, 4, AP_RND, AP_SAT> out_T;

// Random images: in a stream, as arrays of ports, and as integers.
template <class G>
struct images {
    static const unsigned n_in = G::height * G::width * G::channels;
    typedef tb::pack<in_T, G::channels> beat_T;
    long long X[IMAGES][n_in];
    in_T x[IMAGES][n_in];
    hls::stream<beat_T> stream;

    explicit images(tb::Random &random) : stream("x") {
        for (unsigned n = 0; n < IMAGES; n++) {
            beat_T beat;
            for (unsigned i = 0; i < n_in; i++) {
                X[n][i] = random.edgy(-32, 31);
                x[n][i] = kan4ml::from_raw<in_T>(X[n][i]);
                beat[i % G::channels] = x[n][i];
                if (i % G::channels == G::channels - 1) {
                    stream.write(beat);
                }
            }
        }
    }

    void read_once(unsigned n) {
        check.equal("beats left", (long long)stream.size(), (IMAGES - 1 - n) * G::height * G::width);
    }
};

static long long saturated(long long sum, unsigned shift) { return tb::rescaled(sum, shift, 9, true); }

template <class G, bool PER_CHANNEL, bool SHARED>
static void kan_layers(unsigned long long seed) {
    typedef tb::conv_layer<G, 3, 11, PER_CHANNEL, SHARED> tables;
    typedef tb::pack<out_T, 3> res_T;
    tb::Random random(seed);
    const tables t(random);
    images<G> both(random), alone(random);
    hls::stream<res_T> y("y"), z("z");
    for (unsigned n = 0; n < IMAGES; n++) {
        kan4ml::kan_conv2d_stream<typename images<G>::beat_T, res_T, typename tables::template both_config<1>>(
            both.stream, y, t.mult, t.offset, t.basis, t.start, t.edge_input, t.edge_output, t.weights, t.base_mult,
            t.base_offset, t.base_table, t.base_weights, t.ms, t.mb, t.bias);
        kan4ml::kan_conv2d_stream<typename images<G>::beat_T, res_T, typename tables::template spline_config<1>>(
            alone.stream, z, t.mult, t.offset, t.basis, t.start, t.edge_input, t.edge_output, t.weights, t.ms, t.bias);
        both.read_once(n);
        alone.read_once(n);
        for (unsigned w = 0; w < kan4ml::windows<G>::n_windows; w++) {
            const res_T a = y.read(), b = z.read();
            for (unsigned o = 0; o < 3; o++) {
                check.equal("Y", (long long)kan4ml::to_raw(a[o]), saturated(t.sum(both.X[n], w, o, true), 6));
                check.equal("Y without base", (long long)kan4ml::to_raw(b[o]),
                            saturated(t.sum(alone.X[n], w, o, false), 6));
            }
        }
        check.equal("beats written", (long long)(y.size() + z.size()), 0);
    }
}

// The configs of layers whose windows read codes: C of a pixel, and one more of a patch where windows leave the image.
template <class G, unsigned N_OUT, unsigned REUSE>
struct codes {
    static const unsigned C = 13, PATCH = G::kernel_height * G::kernel_width * G::channels;
    static const unsigned ROWS = C + (kan4ml::windows<G>::is_padded ? 1 : 0);
    struct coder {
        static const unsigned n_in = G::channels, n_mult = G::channels, n_codes = C, shift = 2;
        typedef ap_int<5> mult_t;
        typedef ap_int<8> offset_t;
        typedef ap_int<12> sum_t;
        typedef ap_uint<4> code_t;
    };
    struct identity {
        static const unsigned n_in = PATCH, n_mult = 1, n_codes = ROWS, shift = 0;
        typedef ap_uint<1> mult_t;
        typedef ap_uint<1> offset_t;
        typedef ap_int<6> sum_t;
        typedef ap_uint<4> code_t;
    };
    struct edge_dense {
        static const unsigned n_in = PATCH, n_out = N_OUT, n_edges = PATCH * N_OUT, reuse_factor = REUSE, shift = 3;
        typedef identity coder;
        typedef ap_int<7> value_t;
        typedef ap_int<13> acc_t;
        typedef ap_int<10> bias_t;
        typedef ap_int<14> sum_t;
    };
    struct rolled_basis {
        static const unsigned n_codes = ROWS, window = 3, n_basis = 7;
        typedef ap_uint<4> value_t;
        typedef ap_uint<2> group_t;
    };
    struct table {
        static const unsigned n_codes = ROWS;
        typedef ap_int<5> value_t;
    };
    struct mac {
        static const unsigned n_out = N_OUT;
        typedef ap_int<4> weight_t;
        typedef ap_int<16> acc_t;
    };
    struct rescale_config {
        static const unsigned n_out = N_OUT, shift = 6;
        typedef ap_int<5> spline_mult_t;
        typedef ap_int<5> base_mult_t;
        typedef ap_int<12> bias_t;
        typedef ap_int<22> sum_t;
    };
    struct alone_dense {
        static const unsigned n_in = PATCH, n_out = N_OUT, reuse_factor = REUSE;
        static const bool has_base = false;
        typedef identity spline_coder;
        typedef rolled_basis basis;
        typedef mac spline_mac;
        typedef rescale_config rescale;
    };
    struct both_dense : alone_dense {
        static const bool has_base = true, shared_coder = true;
        typedef identity base_coder;
        typedef table base_table;
        typedef mac base_mac;
    };
    template <class DENSE>
    struct config {
        typedef G geometry;
        static const unsigned n_out = N_OUT, reuse_factor = 1;
        typedef codes::coder coder;
        typedef ap_uint<4> patch_t;
        typedef DENSE dense;
    };
};

template <class G, unsigned REUSE>
static void code_layers(unsigned long long seed) {
    static const unsigned N_OUT = 2, P = codes<G, N_OUT, REUSE>::PATCH / REUSE, PATCH = P * REUSE, K = 3, GROUPS = 3;
    static const unsigned C = codes<G, N_OUT, REUSE>::C, ROWS = codes<G, N_OUT, REUSE>::ROWS, CH = G::channels;
    typedef codes<G, N_OUT, REUSE> rolled;
    typedef codes<G, N_OUT, 1> parallel;
    typedef typename images<G>::beat_T data_T;
    typedef tb::pack<out_T, N_OUT> res_T;
    tb::Random random(seed);

    // The numbers as the contract writes them; zeros where nothing is set.
    static signed char mult[CH], E[PATCH][ROWS][N_OUT], table[ROWS], base[PATCH][N_OUT], ms[N_OUT], mb[N_OUT];
    static short offset[CH], bias[N_OUT], edge_bias[N_OUT];
    static long long B[C][7], W[N_OUT][PATCH][7];
    // As the kernels read them.
    static unsigned char edge_input[PATCH * N_OUT], edge_output[PATCH * N_OUT], values[ROWS][K], groups[ROWS][K];
    static signed char edges[PATCH * N_OUT][ROWS], rows[P][REUSE * ROWS][N_OUT], banks[P * K][REUSE * GROUPS][N_OUT];
    for (unsigned c = 0; c < CH; c++) {
        mult[c] = (signed char)random.edgy(-16, 15);
        offset[c] = (short)random.edgy(-128, 127);
    }
    for (unsigned c = 0; c < C; c++) {
        table[c] = (signed char)random.edgy(-16, 15);
        const unsigned start = (unsigned)random.edgy(0, 4);
        for (unsigned j = start; j < start + K; j++) {
            B[c][j] = random.edgy(0, 15);
            values[c][j % K] = (unsigned char)B[c][j];
            groups[c][j % K] = (unsigned char)(j / K);
        }
    }
    for (unsigned o = 0; o < N_OUT; o++) {
        ms[o] = (signed char)random.edgy(-16, 15);
        mb[o] = (signed char)random.edgy(-16, 15);
        bias[o] = (short)random.edgy(-2048, 2047);
        edge_bias[o] = (short)random.edgy(-512, 511);
        for (unsigned i = 0; i < PATCH; i++) {
            edge_input[o * PATCH + i] = (unsigned char)i;
            edge_output[o * PATCH + i] = (unsigned char)o;
            base[i][o] = (signed char)random.edgy(-8, 7);
            for (unsigned c = 0; c < C; c++) {
                E[i][c][o] = (signed char)random.edgy(-64, 63);
                edges[o * PATCH + i][c] = E[i][c][o];
                rows[i % P][i / P * ROWS + c][o] = E[i][c][o];
            }
            for (unsigned j = 0; j < 7; j++) {
                W[o][i][j] = random.edgy(-8, 7);
                banks[i % P * K + j % K][i / P * GROUPS + j / K][o] = (signed char)W[o][i][j];
            }
        }
    }

    images<G> first(random), second(random), third(random), fourth(random);
    hls::stream<res_T> a("a"), b("b"), c("c"), d("d");
    for (unsigned n = 0; n < IMAGES; n++) {
        typedef typename parallel::template config<typename parallel::edge_dense> edge_config;
        kan4ml::edge_table_conv2d_stream<data_T, res_T, edge_config>(first.stream, a, mult, offset, edge_input,
                                                                     edge_output, edges, edge_bias);
        kan4ml::edge_rows_conv2d_stream<data_T, res_T, typename rolled::template config<typename rolled::edge_dense>>(
            second.stream, b, mult, offset, rows, edge_bias);
        kan4ml::kan_conv2d_rolled_stream<data_T, res_T, typename rolled::template config<typename rolled::both_dense>>(
            third.stream, c, mult, offset, values, groups, banks, table, base, ms, mb, bias);
        kan4ml::kan_conv2d_rolled_stream<data_T, res_T, typename rolled::template config<typename rolled::alone_dense>>(
            fourth.stream, d, mult, offset, values, groups, banks, ms, bias);
        first.read_once(n);
        second.read_once(n);
        third.read_once(n);
        fourth.read_once(n);
        out_T array[kan4ml::windows<G>::n_windows * N_OUT];
        kan4ml::edge_table_conv2d<in_T, out_T, edge_config>(first.x[n], array, mult, offset, edge_input, edge_output,
                                                            edges, edge_bias);
        for (unsigned w = 0; w < kan4ml::windows<G>::n_windows; w++) {
            const res_T ya = a.read(), yb = b.read(), yc = c.read(), yd = d.read();
            for (unsigned o = 0; o < N_OUT; o++) {
                long long sum = edge_bias[o], spline = 0, activation = 0, alone = 0;
                for (unsigned i = 0; i < PATCH; i++) {
                    const int p = tb::sizes<G>::pixel(w, i / CH);
                    if (p < 0) {
                        continue;
                    }
                    const unsigned ch = i % CH, at = (unsigned)p * CH + ch;
                    const unsigned second_code = (unsigned)tb::code(second.X[n][at], mult[ch], offset[ch], 2, C);
                    const unsigned third_code = (unsigned)tb::code(third.X[n][at], mult[ch], offset[ch], 2, C);
                    const unsigned fourth_code = (unsigned)tb::code(fourth.X[n][at], mult[ch], offset[ch], 2, C);
                    sum += E[i][second_code][o];
                    for (unsigned j = 0; j < 7; j++) {
                        spline += B[third_code][j] * W[o][i][j];
                        alone += B[fourth_code][j] * W[o][i][j];
                    }
                    activation += (long long)table[third_code] * base[i][o];
                }
                check.equal("edge table", (long long)kan4ml::to_raw(ya[o]),
                            (long long)kan4ml::to_raw(array[w * N_OUT + o]));
                check.equal("rows", (long long)kan4ml::to_raw(yb[o]), saturated(sum, 3));
                check.equal("rolled", (long long)kan4ml::to_raw(yc[o]),
                            saturated(spline * ms[o] + activation * mb[o] + bias[o], 6));
                check.equal("rolled without base", (long long)kan4ml::to_raw(yd[o]),
                            saturated(alone * ms[o] + bias[o], 6));
            }
        }
    }
}

template <class G>
struct pool_config {
    typedef G geometry;
    static const unsigned n_out = G::channels, reuse_factor = 1, mult = 9362, shift = 16;
    typedef ap_int<12> acc_t;
    typedef ap_int<30> sum_t;
};

template <class G>
static void pools(unsigned long long seed) {
    typedef typename images<G>::beat_T beat_T;
    static const unsigned C = G::channels, n_windows = kan4ml::windows<G>::n_windows;
    tb::Random random(seed);
    images<G> first(random), second(random);
    hls::stream<beat_T> largest("largest"), average("average");
    for (unsigned n = 0; n < IMAGES; n++) {
        kan4ml::max_pool2d_stream<beat_T, beat_T, pool_config<G>>(first.stream, largest);
        kan4ml::average_pool2d_stream<beat_T, beat_T, pool_config<G>>(second.stream, average);
        first.read_once(n);
        second.read_once(n);
        in_T a[n_windows * C], b[n_windows * C];
        kan4ml::max_pool2d<in_T, in_T, pool_config<G>>(first.x[n], a);
        kan4ml::average_pool2d<in_T, in_T, pool_config<G>>(second.x[n], b);
        for (unsigned i = 0; i < n_windows; i++) {
            const beat_T most = largest.read(), mean = average.read();
            for (unsigned c = 0; c < C; c++) {
                check.equal("maximum", (long long)kan4ml::to_raw(most[c]), (long long)kan4ml::to_raw(a[i * C + c]));
                check.equal("average", (long long)kan4ml::to_raw(mean[c]), (long long)kan4ml::to_raw(b[i * C + c]));
            }
        }
    }
}

int main() {
    kan_layers<tb::plain, false, true>(1);
    kan_layers<tb::padded, true, false>(2);
    kan_layers<tb::large, true, true>(3);
    kan_layers<tb::points, false, false>(4);
    code_layers<tb::plain, 4>(5);
    code_layers<tb::padded, 18>(6);
    code_layers<tb::line, 5>(7);
    code_layers<tb::single, 1>(8);
    pools<tb::plain>(9);
    pools<tb::padded>(10);
    pools<tb::dilated>(11);
    pools<tb::line>(12);
    return check.finish();
}
