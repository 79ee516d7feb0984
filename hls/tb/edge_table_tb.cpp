// Layers in edge-table form, every input of a small type, pruned edges and outputs without any.
#include "check.h"
#include "kan4ml/edge_table.h"

static tb::Checker check("edge_table");

template <unsigned N_IN, unsigned N_MULT, unsigned N_CODES, unsigned SHIFT>
struct coder_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_mult = N_MULT;
    static const unsigned n_codes = N_CODES;
    static const unsigned shift = SHIFT;
    typedef ap_int<5> mult_t;
    typedef ap_int<8> offset_t;
    typedef ap_int<11> sum_t;
    typedef ap_uint<5> code_t;
};

template <unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, class CODER, unsigned SHIFT>
struct config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned n_edges = N_EDGES;
    static const unsigned reuse_factor = 1;
    typedef CODER coder;
    typedef ap_int<7> value_t;
    typedef ap_int<9> acc_t;
    static const unsigned shift = SHIFT;
    typedef ap_int<10> bias_t;
    typedef ap_int<12> sum_t;
};

template <class data_T, class res_T, unsigned N_IN, unsigned N_OUT, unsigned N_EDGES, class CODER, unsigned SHIFT>
static void layer(unsigned long long seed, bool identity) {
    typedef config<N_IN, N_OUT, N_EDGES, CODER, SHIFT> cfg;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    tb::Random random(seed);
    const long long lowest = in::lowest, highest = in::highest;
    for (int n = 0; n < 20; n++) {
        signed char mult[CODER::n_mult], tables[N_EDGES][CODER::n_codes];
        short offset[CODER::n_mult], bias[N_OUT];
        unsigned char edge_input[N_EDGES], edge_output[N_EDGES];
        for (unsigned k = 0; k < CODER::n_mult; k++) {
            mult[k] = (signed char)(identity ? 1 : random.edgy(-16, 15));
            offset[k] = (short)(identity ? 0 : random.edgy(-128, 127));
        }
        for (unsigned e = 0; e < N_EDGES; e++) {
            const unsigned k = (e * 5 + 2) % (N_IN * N_OUT); // a stride prime to N_IN * N_OUT: no edge twice
            edge_input[e] = (unsigned char)(k % N_IN);
            edge_output[e] = (unsigned char)(k / N_IN);
            for (unsigned c = 0; c < CODER::n_codes; c++) {
                tables[e][c] = (signed char)random.edgy(-64, 63);
            }
        }
        for (unsigned o = 0; o < N_OUT; o++) {
            bias[o] = (short)random.edgy(-512, 511);
        }
        for (long long first = lowest; first <= highest; first++) {
            for (long long second = lowest; second <= highest; second++) {
                data_T x[N_IN];
                long long sums[N_OUT];
                for (unsigned o = 0; o < N_OUT; o++) {
                    sums[o] = bias[o];
                }
                for (unsigned i = 0; i < N_IN; i++) {
                    x[i] = kan4ml::from_raw<data_T>(typename in::type(i % 2 == 0 ? first : second));
                }
                for (unsigned e = 0; e < N_EDGES; e++) {
                    const unsigned i = edge_input[e], k = CODER::n_mult == 1 ? 0 : i;
                    const long long X = i % 2 == 0 ? first : second;
                    sums[edge_output[e]] += tables[e][tb::code(X, mult[k], offset[k], CODER::shift, CODER::n_codes)];
                }
                res_T y[N_OUT];
                kan4ml::edge_table<data_T, res_T, cfg>(x, y, mult, offset, edge_input, edge_output, tables, bias);
                for (unsigned o = 0; o < N_OUT; o++) {
                    check.equal("Y", (long long)kan4ml::to_raw(y[o]),
                                tb::rescaled(sums[o], SHIFT, out::width, out::is_signed));
                }
            }
        }
    }
}

int main() {
    typedef ap_fixed<5, 2, AP_RND, AP_SAT> real_in;
    typedef ap_ufixed<5, 5, AP_RND, AP_SAT> code_in;
    layer<real_in, ap_ufixed<4, 4, AP_RND, AP_SAT>, 3, 4, 12, coder_config<3, 1, 16, 3>, 4>(1, false);
    layer<real_in, ap_fixed<6, 3, AP_RND, AP_SAT>, 3, 4, 5, coder_config<3, 3, 11, 2>, 2>(2, false);
    layer<code_in, ap_int<12>, 3, 4, 9, coder_config<3, 1, 32, 0>, 0>(3, true);
    layer<code_in, ap_uint<3>, 1, 1, 1, coder_config<1, 1, 1, 1>, 6>(4, false);
    return check.finish();
}
