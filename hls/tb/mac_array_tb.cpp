// Sums over lists of edges against sums over dense matrices: every basis value and start of a small domain, random and
// extreme weights, edges missing at random, one edge only.
#include "check.h"
#include "kan4ml/mac_array.h"

static tb::Checker check("mac_array");

template <unsigned WINDOW, unsigned N_BASIS>
struct basis {
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    typedef ap_int<4> value_t;
    typedef ap_uint<3> start_t;
};

template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, int ACC_BITS>
struct config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned n_edges = N_EDGES;
    typedef ap_int<4> weight_t;
    typedef ap_int<ACC_BITS> acc_t;
};

// Weights -8 … 7 and values -8 … 7: N_IN * WINDOW products of -56 … 64 need ACC_BITS.
template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, unsigned WINDOW, unsigned N_BASIS, int ACC_BITS>
static void layer(tb::Random &random) {
    static_assert(N_EDGES <= N_IN * N_OUT, "at most one edge per input and output");
    typedef basis<WINDOW, N_BASIS> rom;
    typedef config<N_IN, N_OUT, N_EDGES, ACC_BITS> cfg;
    long long dense[N_OUT][N_IN][N_BASIS] = {}, dense_base[N_OUT][N_IN] = {};
    unsigned char edge_input[N_EDGES];
    unsigned short edge_output[N_EDGES];
    signed char weights[N_EDGES][N_BASIS], base_weights[N_EDGES];

    // Choose N_EDGES of the N_IN * N_OUT edges, in the order of the outputs.
    unsigned e = 0;
    for (unsigned k = 0; k < N_IN * N_OUT; k++) {
        if (random.in(1, N_IN * N_OUT - k) > (long long)(N_EDGES - e)) {
            continue;
        }
        edge_input[e] = (unsigned char)(k % N_IN);
        edge_output[e] = (unsigned short)(k / N_IN);
        for (unsigned b = 0; b < N_BASIS; b++) {
            weights[e][b] = (signed char)random.edgy(-8, 7);
            dense[k / N_IN][k % N_IN][b] = weights[e][b];
        }
        base_weights[e] = (signed char)random.edgy(-8, 7);
        dense_base[k / N_IN][k % N_IN] = base_weights[e];
        e++;
    }

    for (int n = 0; n < 16; n++) {
        ap_int<4> value[N_IN][WINDOW], base_value[N_IN];
        ap_uint<3> start[N_IN];
        for (unsigned i = 0; i < N_IN; i++) {
            start[i] = (unsigned)random.edgy(0, N_BASIS - WINDOW);
            base_value[i] = n - 8; // every value of the type
            for (unsigned j = 0; j < WINDOW; j++) {
                value[i][j] = random.edgy(-8, 7);
            }
        }
        ap_int<ACC_BITS> acc[N_OUT], base_acc[N_OUT];
        kan4ml::spline_mac<rom, cfg>(value, start, edge_input, edge_output, weights, acc);
        kan4ml::base_mac<ap_int<4>, cfg>(base_value, edge_input, edge_output, base_weights, base_acc);
        for (unsigned o = 0; o < N_OUT; o++) {
            long long spline = 0, base = 0;
            for (unsigned i = 0; i < N_IN; i++) {
                base += dense_base[o][i] * (n - 8);
                for (unsigned j = 0; j < WINDOW; j++) {
                    spline += (long long)value[i][j] * dense[o][i][(unsigned)start[i] + j];
                }
            }
            check.equal("spline sum", (long long)acc[o], spline);
            check.equal("base sum", (long long)base_acc[o], base);
        }
    }
}

// One edge, window 1: every value times every weight.
static void every_product() {
    typedef basis<1, 2> rom;
    typedef config<1, 1, 1, 8> cfg;
    const unsigned char zero[1] = {0};
    for (int v = -8; v <= 7; v++) {
        for (int w = -8; w <= 7; w++) {
            for (unsigned s = 0; s <= 1; s++) {
                const ap_int<4> value[1][1] = {{v}}, base_value[1] = {v};
                const ap_uint<3> start[1] = {s};
                const signed char weights[1][2] = {{(signed char)(s == 0 ? w : 5), (signed char)(s == 1 ? w : 5)}};
                const signed char base_weights[1] = {(signed char)w};
                ap_int<8> acc[1], base_acc[1];
                kan4ml::spline_mac<rom, cfg>(value, start, zero, zero, weights, acc);
                kan4ml::base_mac<ap_int<4>, cfg>(base_value, zero, zero, base_weights, base_acc);
                check.equal("product", (long long)acc[0], v * w);
                check.equal("base product", (long long)base_acc[0], v * w);
            }
        }
    }
}

int main() {
    every_product();
    tb::Random random(3);
    for (int n = 0; n < 100; n++) {
        layer<5, 3, 15, 4, 8, 12>(random); // dense
        layer<5, 3, 6, 4, 8, 12>(random);  // pruned: some outputs without edges
        layer<6, 4, 1, 2, 2, 11>(random);
        layer<1, 7, 7, 3, 8, 9>(random);
    }
    return check.finish();
}
