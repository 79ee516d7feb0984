// The dense layers, products and norms between streams: several samples one after the other, beats of several sizes at
// both ends. Each must give the numbers of its kernel, which has a bench of its own, and leave nothing in the stream.
#include "check.h"
#include "kan4ml/dense_stream.h"
#include "pack.h"

static tb::Checker check("dense_stream");

static const unsigned N_IN = 6, N_OUT = 4, C = 8, EDGES = 17, R = 3, SAMPLES = 50;

struct coder_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_mult = N_IN;
    static const unsigned n_codes = C;
    static const unsigned shift = 2;
    typedef ap_int<5> mult_t;
    typedef ap_int<8> offset_t;
    typedef ap_int<11> sum_t;
    typedef ap_uint<3> code_t;
};

struct basis_config {
    static const unsigned n_codes = C;
    static const unsigned n_tables = 1;
    static const unsigned n_rows = C;
    static const unsigned n_columns = 3;
    static const unsigned n_index = C;
    static const unsigned window = 3;
    static const unsigned n_basis = 6;
    typedef kan4ml::bspline_rom_unit unit;
    typedef ap_uint<4> value_t;
    typedef ap_uint<2> start_t;
    typedef ap_uint<1> group_t;
};

struct table_config {
    static const unsigned n_codes = C;
    typedef ap_int<5> value_t;
};

struct mac_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned n_edges = EDGES;
    typedef ap_int<4> weight_t;
    typedef ap_int<12> acc_t;
};

struct rescale_config {
    static const unsigned n_out = N_OUT;
    static const unsigned shift = 6;
    typedef ap_int<5> spline_mult_t;
    typedef ap_int<5> base_mult_t;
    typedef ap_int<12> bias_t;
    typedef ap_int<19> sum_t;
};

template <unsigned REUSE>
struct spline_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = REUSE;
    static const bool has_base = false;
    typedef coder_config spline_coder;
    typedef basis_config basis;
    typedef mac_config spline_mac;
    typedef rescale_config rescale;
};

template <unsigned REUSE>
struct both_config : spline_config<REUSE> {
    static const bool has_base = true;
    static const bool shared_coder = true;
    typedef coder_config base_coder;
    typedef table_config base_table;
    typedef mac_config base_mac;
};

template <unsigned REUSE>
struct edge_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned n_edges = EDGES;
    static const unsigned reuse_factor = REUSE;
    static const unsigned shift = 3;
    typedef coder_config coder;
    typedef ap_int<7> value_t;
    typedef ap_int<11> acc_t;
    typedef ap_int<10> bias_t;
    typedef ap_int<13> sum_t;
};

typedef ap_fixed<6, 2, AP_RND, AP_SAT> in_T;
typedef ap_fixed<7, 3, AP_RND, AP_SAT> out_T;

// Random tables: the kernels read them in their own way, and this bench does not look inside.
struct tables {
    signed char mult[N_IN], weights[EDGES][6], base_table[C], base_weights[EDGES], dense_base[N_IN][N_OUT];
    signed char ms[N_OUT], mb[N_OUT], edges[EDGES][C], rows[N_IN / R][R * C][N_OUT], banks[N_IN / R * 3][R * 2][N_OUT];
    short offset[N_IN], bias[N_OUT], edge_bias[N_OUT];
    unsigned char basis[C][3], start[C], groups[C][3], edge_input[EDGES], edge_output[EDGES];

    template <class T, unsigned N>
    static void fill(tb::Random &random, T (&table)[N], long long low, long long high) {
        for (unsigned i = 0; i < N; i++) {
            table[i] = (T)random.edgy(low, high);
        }
    }

    template <class T, unsigned N, unsigned M>
    static void fill(tb::Random &random, T (&table)[N][M], long long low, long long high) {
        for (unsigned i = 0; i < N; i++) {
            fill(random, table[i], low, high);
        }
    }

    template <class T, unsigned N, unsigned M, unsigned L>
    static void fill(tb::Random &random, T (&table)[N][M][L], long long low, long long high) {
        for (unsigned i = 0; i < N; i++) {
            fill(random, table[i], low, high);
        }
    }

    explicit tables(tb::Random &random) {
        fill(random, mult, -16, 15);
        fill(random, offset, -128, 127);
        fill(random, weights, -8, 7);
        fill(random, base_table, -16, 15);
        fill(random, base_weights, -8, 7);
        fill(random, dense_base, -8, 7);
        fill(random, ms, -16, 15);
        fill(random, mb, -16, 15);
        fill(random, bias, -2048, 2047);
        fill(random, edges, -64, 63);
        fill(random, rows, -64, 63);
        fill(random, banks, -8, 7);
        fill(random, edge_bias, -512, 511);
        fill(random, basis, 0, 15);
        fill(random, start, 0, 3);
        fill(random, groups, 0, 1);
        fill(random, edge_input, 0, N_IN - 1);
        fill(random, edge_output, 0, N_OUT - 1);
    }
};

// How the bench calls a layer: as a kernel and between streams.
#define FORM(NAME, KERNEL)                                                                                             \
    template <class CONFIG>                                                                                            \
    struct NAME {                                                                                                      \
        static const unsigned n_out = CONFIG::n_out;                                                                   \
        template <class... TABLES>                                                                                     \
        static void kernel(const in_T x[N_IN], out_T y[n_out], const TABLES &...t) {                                   \
            kan4ml::KERNEL<in_T, out_T, CONFIG>(x, y, t...);                                                           \
        }                                                                                                              \
        template <class data_T, class res_T, class... TABLES>                                                          \
        static void stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...t) {                        \
            kan4ml::KERNEL##_stream<data_T, res_T, CONFIG>(x, y, t...);                                                \
        }                                                                                                              \
    }
FORM(dense, kan_dense);
FORM(rolled, kan_dense_rolled);
FORM(edges, edge_table);
FORM(rows, edge_rows);
FORM(products, product);
FORM(norms, layer_norm);

struct product_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned max_arity = 2;
    static const unsigned reuse_factor = 1;
    static const unsigned shift = 3;
    typedef ap_int<12> product_t;
    typedef ap_int<5> mult_t;
    typedef ap_int<12> bias_t;
    typedef ap_int<18> sum_t;
};

struct norm_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = 2 * N_IN; // the inputs pass
    static const unsigned reuse_factor = 1;
    static const bool passes = true;
    static const unsigned table_bits = 4;
    static const unsigned table_fraction = 6;
    static const unsigned fraction = 5;
    static const unsigned n_table = 12;
    static const unsigned length = 18;
    static const unsigned shift = 4;
    typedef coder_config coder;
    typedef ap_int<12> mean_t;
    typedef ap_int<20> variance_t;
    typedef ap_uint<8> root_t;
    typedef ap_int<20> product_t;
    typedef ap_int<13> normal_t;
    typedef ap_int<5> gamma_t;
    typedef ap_int<12> beta_t;
    typedef ap_int<20> sum_t;
};

template <class FORM, unsigned IN, unsigned OUT, class... TABLES>
static void layer(tb::Random &random, const TABLES &...t) {
    typedef tb::pack<in_T, IN> data_T;
    typedef tb::pack<out_T, OUT> res_T;
    hls::stream<data_T> x("x");
    hls::stream<res_T> y("y");
    in_T values[SAMPLES][N_IN];
    for (unsigned s = 0; s < SAMPLES; s++) {
        data_T beat;
        for (unsigned i = 0; i < N_IN; i++) {
            values[s][i] = kan4ml::from_raw<in_T>(random.edgy(-32, 31));
            beat[i % IN] = values[s][i];
            if (i % IN == IN - 1) {
                x.write(beat);
            }
        }
    }
    for (unsigned s = 0; s < SAMPLES; s++) {
        FORM::template stream<data_T, res_T>(x, y, t...);
        check.equal("beats left", (long long)x.size(), (SAMPLES - 1 - s) * (N_IN / IN));
        check.equal("beats written", (long long)y.size(), (s + 1) * (FORM::n_out / OUT));
    }
    for (unsigned s = 0; s < SAMPLES; s++) {
        out_T expected[FORM::n_out];
        FORM::kernel(values[s], expected, t...);
        res_T beat;
        for (unsigned o = 0; o < FORM::n_out; o++) {
            if (o % OUT == 0) {
                beat = y.read();
            }
            check.equal("Y", (long long)kan4ml::to_raw(beat[o % OUT]), (long long)kan4ml::to_raw(expected[o]));
        }
    }
}

template <unsigned IN, unsigned OUT>
static void layers(unsigned long long seed) {
    tb::Random random(seed);
    const tables t(random);
    layer<dense<both_config<1>>, IN, OUT>(random, t.mult, t.offset, t.basis, t.start, t.edge_input, t.edge_output,
                                          t.weights, t.mult, t.offset, t.base_table, t.base_weights, t.ms, t.mb,
                                          t.bias);
    layer<dense<spline_config<1>>, IN, OUT>(random, t.mult, t.offset, t.basis, t.start, t.edge_input, t.edge_output,
                                            t.weights, t.ms, t.bias);
    layer<rolled<both_config<R>>, IN, OUT>(random, t.mult, t.offset, t.basis, t.groups, t.banks, t.mult, t.offset,
                                           t.base_table, t.dense_base, t.ms, t.mb, t.bias);
    layer<rolled<spline_config<R>>, IN, OUT>(random, t.mult, t.offset, t.basis, t.groups, t.banks, t.ms, t.bias);
    layer<edges<edge_config<1>>, IN, OUT>(random, t.mult, t.offset, t.edge_input, t.edge_output, t.edges, t.edge_bias);
    layer<rows<edge_config<R>>, IN, OUT>(random, t.mult, t.offset, t.rows, t.edge_bias);
    const unsigned char first[N_OUT] = {0, 1, 3, 4}, arity[N_OUT] = {1, 2, 1, 2};
    layer<products<product_config>, IN, OUT>(random, first, arity, t.ms, t.edge_bias);
    const unsigned char epsilon[1] = {3};
    const unsigned char roots[12] = {121, 109, 100, 93, 88, 83, 79, 75, 72, 69, 67, 65};
    layer<norms<norm_config>, IN, OUT>(random, epsilon, roots, t.mult, t.bias, t.mult, t.offset);
}

int main() {
    layers<6, 4>(1);
    layers<3, 1>(2);
    layers<1, 2>(3);
    layers<2, 4>(4);
    return check.finish();
}
