// Rolled edge-table layers at every reuse factor of 6, 5 and 1 inputs, every value of a small type on two inputs at a
// time. The model indexes E[i][c][o]; the rows are laid out for it here.
#include "check.h"
#include "kan4ml/edge_rows.h"

static tb::Checker check("edge_rows");

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

template <unsigned N_IN, unsigned N_OUT, unsigned REUSE, class CODER, unsigned SHIFT>
struct config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = REUSE;
    typedef CODER coder;
    typedef ap_int<7> value_t;
    typedef ap_int<10> acc_t;
    static const unsigned shift = SHIFT;
    typedef ap_int<10> bias_t;
    typedef ap_int<12> sum_t;
};

template <class data_T, class res_T, unsigned N_IN, unsigned N_OUT, unsigned REUSE, class CODER, unsigned SHIFT>
static void layer(unsigned long long seed, bool identity) {
    typedef config<N_IN, N_OUT, REUSE, CODER, SHIFT> cfg;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    static const unsigned P = N_IN / REUSE, C = CODER::n_codes;
    tb::Random random(seed);
    const long long lowest = in::lowest, highest = in::highest;
    for (int n = 0; n < 4; n++) {
        signed char mult[CODER::n_mult], E[N_IN][C][N_OUT], rows[P][REUSE * C][N_OUT];
        short offset[CODER::n_mult], bias[N_OUT];
        for (unsigned k = 0; k < CODER::n_mult; k++) {
            mult[k] = (signed char)(identity ? 1 : random.edgy(-16, 15));
            offset[k] = (short)(identity ? 0 : random.edgy(-128, 127));
        }
        for (unsigned i = 0; i < N_IN; i++) {
            for (unsigned c = 0; c < C; c++) {
                for (unsigned o = 0; o < N_OUT; o++) {
                    E[i][c][o] = (signed char)random.edgy(-64, 63);
                    rows[i % P][i / P * C + c][o] = E[i][c][o];
                }
            }
        }
        for (unsigned o = 0; o < N_OUT; o++) {
            bias[o] = (short)random.edgy(-512, 511);
        }
        for (long long first = lowest; first <= highest; first++) {
            for (long long second = lowest; second <= highest; second++) {
                data_T x[N_IN];
                long long X[N_IN];
                res_T y[N_OUT];
                for (unsigned i = 0; i < N_IN; i++) {
                    X[i] = i % 2 == 0 ? first : second;
                    X[i] = i < 2 ? X[i] : random.in(lowest, highest); // inputs must not be mixed up
                    x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
                }
                kan4ml::edge_rows<data_T, res_T, cfg>(x, y, mult, offset, rows, bias);
                for (unsigned o = 0; o < N_OUT; o++) {
                    long long sum = bias[o];
                    for (unsigned i = 0; i < N_IN; i++) {
                        const unsigned k = CODER::n_mult == 1 ? 0 : i;
                        sum += E[i][tb::code(X[i], mult[k], offset[k], CODER::shift, C)][o];
                    }
                    check.equal("Y", (long long)kan4ml::to_raw(y[o]),
                                tb::rescaled(sum, SHIFT, out::width, out::is_signed));
                }
            }
        }
    }
}

int main() {
    typedef ap_fixed<5, 2, AP_RND, AP_SAT> real_in;
    typedef ap_ufixed<5, 5, AP_RND, AP_SAT> code_in;
    typedef ap_ufixed<4, 4, AP_RND, AP_SAT> code_out;
    layer<real_in, code_out, 6, 4, 6, coder_config<6, 1, 16, 3>, 4>(1, false);
    layer<real_in, ap_fixed<6, 3, AP_RND, AP_SAT>, 6, 3, 3, coder_config<6, 6, 11, 2>, 2>(2, false);
    layer<real_in, code_out, 6, 4, 2, coder_config<6, 6, 16, 3>, 4>(3, false);
    layer<code_in, ap_int<12>, 6, 1, 1, coder_config<6, 1, 32, 0>, 0>(4, true);
    layer<code_in, ap_int<12>, 5, 3, 5, coder_config<5, 1, 32, 0>, 0>(5, true);
    layer<real_in, code_out, 5, 3, 1, coder_config<5, 5, 7, 4>, 5>(6, false);
    layer<code_in, ap_uint<3>, 1, 1, 1, coder_config<1, 1, 1, 1>, 6>(7, false);
    return check.finish();
}
