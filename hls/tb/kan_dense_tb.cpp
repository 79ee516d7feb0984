// Whole layers, every input of a small type: both branches with one coder, with two per-input coders, no base branch,
// an identity coder, one input and one output. The model sums over dense matrices in plain long long.
#include "check.h"
#include "kan4ml/kan_dense.h"

static tb::Checker check("kan_dense");

template <unsigned N_IN, unsigned N_MULT, unsigned N_CODES, unsigned SHIFT>
struct coder_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_mult = N_MULT;
    static const unsigned n_codes = N_CODES;
    static const unsigned shift = SHIFT;
    typedef ap_int<5> mult_t;
    typedef ap_int<8> offset_t;
    typedef ap_int<11> sum_t;
    typedef ap_uint<4> code_t;
};

template <unsigned N_CODES>
struct basis_config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = 1;
    static const unsigned n_rows = N_CODES;
    static const unsigned n_columns = 3;
    static const unsigned n_index = N_CODES;
    static const unsigned window = 3;
    static const unsigned n_basis = 6;
    typedef kan4ml::bspline_rom_unit unit;
    typedef ap_uint<4> value_t;
    typedef ap_uint<2> start_t;
};

template <unsigned N_CODES>
struct table_config {
    static const unsigned n_codes = N_CODES;
    typedef ap_int<5> value_t;
};

template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES>
struct mac_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned n_edges = N_EDGES;
    typedef ap_int<4> weight_t;
    typedef ap_int<12> acc_t;
};

template <unsigned N_OUT, unsigned SHIFT>
struct rescale_config {
    static const unsigned n_out = N_OUT;
    static const unsigned shift = SHIFT;
    typedef ap_int<5> spline_mult_t;
    typedef ap_int<5> base_mult_t;
    typedef ap_int<12> bias_t;
    typedef ap_int<19> sum_t;
};

// What both kinds of layer share.
template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, class CODER, unsigned SHIFT>
struct spline_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = 1;
    static const bool has_base = false;
    typedef CODER spline_coder;
    typedef basis_config<CODER::n_codes> basis;
    typedef mac_config<N_IN, N_OUT, N_EDGES> spline_mac;
    typedef rescale_config<N_OUT, SHIFT> rescale;
};

template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, class CODER, class BASE_CODER, bool SHARED, unsigned SHIFT>
struct both_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = 1;
    static const bool has_base = true;
    static const bool shared_coder = SHARED;
    typedef CODER spline_coder;
    typedef basis_config<CODER::n_codes> basis;
    typedef mac_config<N_IN, N_OUT, N_EDGES> spline_mac;
    typedef BASE_CODER base_coder;
    typedef table_config<BASE_CODER::n_codes> base_table;
    typedef mac_config<N_IN, N_OUT, N_EDGES> base_mac;
    typedef rescale_config<N_OUT, SHIFT> rescale;
};

// Tables of one coder.
template <class CODER>
struct coder_tables {
    signed char mult[CODER::n_mult];
    short offset[CODER::n_mult];

    coder_tables(tb::Random &random, bool identity) {
        for (unsigned k = 0; k < CODER::n_mult; k++) {
            mult[k] = (signed char)(identity ? 1 : random.edgy(-16, 15));
            offset[k] = (short)(identity ? 0 : random.edgy(-128, 127));
        }
    }

    unsigned code(unsigned i, long long X) const {
        const unsigned k = CODER::n_mult == 1 ? 0 : i;
        return (unsigned)tb::code(X, mult[k], offset[k], CODER::shift, CODER::n_codes);
    }
};

// Tables of a layer, and what it must compute. EDGES are all N_IN * N_OUT edges but the last of each output beyond
// them.
template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, class CODER, class BASE_CODER, unsigned SHIFT>
struct tables {
    coder_tables<CODER> coder;
    coder_tables<BASE_CODER> base_coder;
    unsigned char basis[CODER::n_codes][3], start[CODER::n_codes], edge_input[N_EDGES], edge_output[N_EDGES];
    signed char weights[N_EDGES][6], base_table[BASE_CODER::n_codes], base_weights[N_EDGES];
    signed char ms[N_OUT], mb[N_OUT];
    short bias[N_OUT];

    tables(tb::Random &random, bool identity) : coder(random, identity), base_coder(random, identity) {
        for (unsigned c = 0; c < CODER::n_codes; c++) {
            start[c] = (unsigned char)random.edgy(0, 3);
            for (unsigned j = 0; j < 3; j++) {
                basis[c][j] = (unsigned char)random.edgy(0, 15);
            }
        }
        for (unsigned c = 0; c < BASE_CODER::n_codes; c++) {
            base_table[c] = (signed char)random.edgy(-16, 15);
        }
        for (unsigned e = 0; e < N_EDGES; e++) {
            // A stride prime to N_IN * N_OUT visits other edges first; no edge twice.
            const unsigned k = (e * 5 + 3) % (N_IN * N_OUT);
            edge_input[e] = (unsigned char)(k % N_IN);
            edge_output[e] = (unsigned char)(k / N_IN);
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

    /// Y[o] without saturation to a width: the sum before the rescale's shift.
    long long sum(const long long X[N_IN], unsigned o, bool with_base, bool shared) const {
        long long spline = 0, base = 0;
        for (unsigned e = 0; e < N_EDGES; e++) {
            if (edge_output[e] != o) {
                continue;
            }
            const unsigned i = edge_input[e];
            const unsigned c = coder.code(i, X[i]);
            for (unsigned b = 0; b < 6; b++) { // over the whole basis: zero outside the window
                const bool inside = b >= start[c] && b < start[c] + 3u;
                spline += inside ? (long long)basis[c][b - start[c]] * weights[e][b] : 0;
            }
            base += (long long)base_table[shared ? c : base_coder.code(i, X[i])] * base_weights[e];
        }
        return spline * ms[o] + (with_base ? base * mb[o] : 0) + bias[o];
    }
};

// Runs every input of N_IN ports of `data_T` (at most 2 ports of 4 bits), for several random tables.
template <class data_T, class res_T, unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, class CODER, class BASE_CODER,
          bool SHARED, unsigned SHIFT>
static void layer(unsigned long long seed, bool identity) {
    typedef both_config<N_IN, N_OUT, N_EDGES, CODER, BASE_CODER, SHARED, SHIFT> both;
    typedef spline_config<N_IN, N_OUT, N_EDGES, CODER, SHIFT> alone;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    tb::Random random(seed);
    const long long lowest = in::lowest, highest = in::highest;
    for (int n = 0; n < 12; n++) {
        const tables<N_IN, N_OUT, N_EDGES, CODER, BASE_CODER, SHIFT> t(random, identity);
        for (long long first = lowest; first <= highest; first++) {
            for (long long second = lowest; second <= (N_IN == 1 ? lowest : highest); second++) {
                data_T x[N_IN];
                long long X[N_IN];
                for (unsigned i = 0; i < N_IN; i++) {
                    X[i] = i % 2 == 0 ? first : second;
                    x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
                }
                res_T y[N_OUT], z[N_OUT];
                kan4ml::kan_dense<data_T, res_T, both>(
                    x, y, t.coder.mult, t.coder.offset, t.basis, t.start, t.edge_input, t.edge_output, t.weights,
                    t.base_coder.mult, t.base_coder.offset, t.base_table, t.base_weights, t.ms, t.mb, t.bias);
                kan4ml::kan_dense<data_T, res_T, alone>(x, z, t.coder.mult, t.coder.offset, t.basis, t.start,
                                                        t.edge_input, t.edge_output, t.weights, t.ms, t.bias);
                for (unsigned o = 0; o < N_OUT; o++) {
                    check.equal("Y", (long long)kan4ml::to_raw(y[o]),
                                tb::rescaled(t.sum(X, o, true, SHARED), SHIFT, out::width, out::is_signed));
                    check.equal("Y without base", (long long)kan4ml::to_raw(z[o]),
                                tb::rescaled(t.sum(X, o, false, SHARED), SHIFT, out::width, out::is_signed));
                }
            }
        }
    }
}

int main() {
    typedef ap_fixed<4, 1, AP_RND, AP_SAT> real_in;
    typedef ap_uint<4> code_in;
    typedef ap_ufixed<4, 4, AP_RND, AP_SAT> code_out;
    typedef ap_fixed<9, 4, AP_RND, AP_SAT> real_out;
    typedef coder_config<3, 1, 16, 3> shared;
    typedef coder_config<3, 3, 13, 2> mine;
    typedef coder_config<3, 3, 9, 4> other;
    typedef coder_config<3, 1, 16, 0> identity;
    typedef coder_config<1, 1, 7, 2> single;
    layer<real_in, code_out, 3, 4, 12, shared, shared, true, 7>(1, false);
    layer<real_in, real_out, 3, 4, 7, mine, other, false, 6>(2, false);
    layer<code_in, real_out, 3, 4, 9, identity, identity, true, 5>(3, true);
    layer<code_in, ap_int<19>, 3, 4, 1, identity, other, false, 0>(4, false); // three outputs have no edge
    layer<real_in, code_out, 1, 1, 1, single, single, true, 8>(5, false);
    return check.finish();
}
