// Whole rolled layers at several reuse factors, with one coder, two coders and no base branch. The model sums over
// dense matrices in plain long long; the banks are laid out for it here.
#include "check.h"
#include "kan4ml/kan_dense_rolled.h"

static tb::Checker check("kan_dense_rolled");

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
    static const unsigned window = 3;
    static const unsigned n_basis = 7; // three groups, the last of one
    typedef ap_uint<4> value_t;
    typedef ap_uint<2> group_t;
};

template <unsigned N_CODES>
struct table_config {
    static const unsigned n_codes = N_CODES;
    typedef ap_int<5> value_t;
};

template <unsigned N_OUT>
struct mac_config {
    static const unsigned n_out = N_OUT;
    typedef ap_int<4> weight_t;
    typedef ap_int<13> acc_t;
};

template <unsigned N_OUT, unsigned SHIFT>
struct rescale_config {
    static const unsigned n_out = N_OUT;
    static const unsigned shift = SHIFT;
    typedef ap_int<5> spline_mult_t;
    typedef ap_int<5> base_mult_t;
    typedef ap_int<12> bias_t;
    typedef ap_int<20> sum_t;
};

template <unsigned N_IN, unsigned N_OUT, unsigned REUSE, class CODER, unsigned SHIFT>
struct spline_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = REUSE;
    static const bool has_base = false;
    typedef CODER spline_coder;
    typedef basis_config<CODER::n_codes> basis;
    typedef mac_config<N_OUT> spline_mac;
    typedef rescale_config<N_OUT, SHIFT> rescale;
};

template <unsigned N_IN, unsigned N_OUT, unsigned REUSE, class CODER, class BASE_CODER, bool SHARED, unsigned SHIFT>
struct both_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = REUSE;
    static const bool has_base = true;
    static const bool shared_coder = SHARED;
    typedef CODER spline_coder;
    typedef basis_config<CODER::n_codes> basis;
    typedef mac_config<N_OUT> spline_mac;
    typedef BASE_CODER base_coder;
    typedef table_config<BASE_CODER::n_codes> base_table;
    typedef mac_config<N_OUT> base_mac;
    typedef rescale_config<N_OUT, SHIFT> rescale;
};

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

// The layer's numbers as the contract writes them, and as the kernel reads them.
template <unsigned N_IN, unsigned N_OUT, unsigned REUSE, class CODER, class BASE_CODER>
struct tables {
    static const unsigned P = N_IN / REUSE, K = 3, G = 3;
    coder_tables<CODER> coder;
    coder_tables<BASE_CODER> base_coder;
    long long B[CODER::n_codes][7], W[N_OUT][N_IN][7];
    unsigned char values[CODER::n_codes][K], groups[CODER::n_codes][K];
    signed char banks[P * K][REUSE * G][N_OUT], base_table[BASE_CODER::n_codes], base_weights[N_IN][N_OUT];
    signed char ms[N_OUT], mb[N_OUT];
    short bias[N_OUT];

    tables(tb::Random &random, bool identity) : coder(random, identity), base_coder(random, identity), B(), banks() {
        for (unsigned c = 0; c < CODER::n_codes; c++) {
            const unsigned start = (unsigned)random.edgy(0, 4);
            for (unsigned j = start; j < start + K; j++) {
                B[c][j] = random.edgy(0, 15);
                values[c][j % K] = (unsigned char)B[c][j];
                groups[c][j % K] = (unsigned char)(j / K);
            }
        }
        for (unsigned c = 0; c < BASE_CODER::n_codes; c++) {
            base_table[c] = (signed char)random.edgy(-16, 15);
        }
        for (unsigned o = 0; o < N_OUT; o++) {
            for (unsigned i = 0; i < N_IN; i++) {
                base_weights[i][o] = (signed char)random.edgy(-8, 7);
                for (unsigned j = 0; j < 7; j++) {
                    W[o][i][j] = random.edgy(-8, 7);
                    banks[i % P * K + j % K][i / P * G + j / K][o] = (signed char)W[o][i][j];
                }
            }
            ms[o] = (signed char)random.edgy(-16, 15);
            mb[o] = (signed char)random.edgy(-16, 15);
            bias[o] = (short)random.edgy(-2048, 2047);
        }
    }

    long long sum(const long long X[N_IN], unsigned o, bool with_base, bool shared) const {
        long long spline = 0, base = 0;
        for (unsigned i = 0; i < N_IN; i++) {
            const unsigned c = coder.code(i, X[i]);
            for (unsigned j = 0; j < 7; j++) {
                spline += B[c][j] * W[o][i][j];
            }
            base += (long long)base_table[shared ? c : base_coder.code(i, X[i])] * base_weights[i][o];
        }
        return spline * ms[o] + (with_base ? base * mb[o] : 0) + bias[o];
    }
};

template <class data_T, class res_T, unsigned N_IN, unsigned N_OUT, unsigned REUSE, class CODER, class BASE_CODER,
          bool SHARED, unsigned SHIFT>
static void layer(unsigned long long seed, bool identity) {
    typedef both_config<N_IN, N_OUT, REUSE, CODER, BASE_CODER, SHARED, SHIFT> both;
    typedef spline_config<N_IN, N_OUT, REUSE, CODER, SHIFT> alone;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    tb::Random random(seed);
    const long long lowest = in::lowest, highest = in::highest;
    for (int n = 0; n < 6; n++) {
        const tables<N_IN, N_OUT, REUSE, CODER, BASE_CODER> t(random, identity);
        for (int row = 0; row < 200; row++) {
            data_T x[N_IN];
            long long X[N_IN];
            for (unsigned i = 0; i < N_IN; i++) {
                X[i] = random.in(lowest, highest);
                x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
            }
            res_T y[N_OUT], z[N_OUT];
            kan4ml::kan_dense_rolled<data_T, res_T, both>(x, y, t.coder.mult, t.coder.offset, t.values, t.groups,
                                                          t.banks, t.base_coder.mult, t.base_coder.offset, t.base_table,
                                                          t.base_weights, t.ms, t.mb, t.bias);
            kan4ml::kan_dense_rolled<data_T, res_T, alone>(x, z, t.coder.mult, t.coder.offset, t.values, t.groups,
                                                           t.banks, t.ms, t.bias);
            for (unsigned o = 0; o < N_OUT; o++) {
                check.equal("Y", (long long)kan4ml::to_raw(y[o]),
                            tb::rescaled(t.sum(X, o, true, SHARED), SHIFT, out::width, out::is_signed));
                check.equal("Y without base", (long long)kan4ml::to_raw(z[o]),
                            tb::rescaled(t.sum(X, o, false, SHARED), SHIFT, out::width, out::is_signed));
            }
        }
    }
}

int main() {
    typedef ap_fixed<4, 1, AP_RND, AP_SAT> real_in;
    typedef ap_uint<4> code_in;
    typedef ap_ufixed<4, 4, AP_RND, AP_SAT> code_out;
    typedef ap_fixed<9, 4, AP_RND, AP_SAT> real_out;
    typedef coder_config<6, 1, 16, 3> shared;
    typedef coder_config<6, 6, 13, 2> mine;
    typedef coder_config<6, 6, 9, 4> other;
    typedef coder_config<6, 1, 16, 0> identity;
    typedef coder_config<5, 5, 7, 2> prime;
    typedef coder_config<1, 1, 7, 2> single;
    layer<real_in, code_out, 6, 4, 6, shared, shared, true, 7>(1, false);
    layer<real_in, real_out, 6, 4, 3, mine, other, false, 6>(2, false);
    layer<code_in, real_out, 6, 1, 2, identity, identity, true, 5>(3, true);
    layer<code_in, ap_int<20>, 6, 3, 1, identity, other, false, 0>(4, false);
    layer<real_in, real_out, 5, 3, 5, prime, prime, true, 4>(5, false);
    layer<real_in, code_out, 1, 1, 1, single, single, true, 8>(6, false);
    layer<real_in, real_out, 6, 2, 2, mine, shared, false, 6>(7, false); // one multiplier for the base branch only
    return check.finish();
}
