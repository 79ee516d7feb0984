// Every pair of 4-bit factors, signed and unsigned, through several multipliers, biases, shifts and result types;
// arities of 1 to 5 side by side; products of up to 2^52.
#include "check.h"
#include "kan4ml/product.h"

static tb::Checker check("product");

template <unsigned N_IN, unsigned N_OUT, unsigned ARITY, unsigned SHIFT, int PRODUCT_BITS, int MULT_BITS, int BIAS_BITS,
          int SUM_BITS>
struct config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned max_arity = ARITY;
    static const unsigned reuse_factor = 1;
    static const unsigned shift = SHIFT;
    typedef ap_int<PRODUCT_BITS> product_t;
    typedef ap_int<MULT_BITS> mult_t;
    typedef ap_int<BIAS_BITS> bias_t;
    typedef ap_int<SUM_BITS> sum_t;
};

// Two products, the factors of the second the other way round, and an input that passes between them.
template <class data_T, class res_T, unsigned SHIFT>
static void pairs() {
    typedef config<5, 3, 2, SHIFT, 10, 4, 7, 15> cfg;
    typedef kan4ml::raw_bits<data_T> in;
    typedef kan4ml::raw_bits<res_T> out;
    const unsigned char first[3] = {0, 2, 3}, arity[3] = {2, 1, 2};
    for (long long a = in::lowest; a <= in::highest; a++) {
        for (long long b = in::lowest; b <= in::highest; b++) {
            for (int m = -8; m <= 7; m += 3) {
                const signed char mult[3] = {(signed char)m, (signed char)(-1 - m), (signed char)(m / 2)};
                const short bias[3] = {(short)(5 * m), (short)-m, (short)(7 - 4 * m)};
                const long long X[5] = {a, b, a, b, a};
                data_T x[5];
                res_T y[3];
                for (int i = 0; i < 5; i++) {
                    x[i] = kan4ml::from_raw<data_T>(typename in::type(X[i]));
                }
                kan4ml::product<data_T, res_T, cfg>(x, y, first, arity, mult, bias);
                const long long P[3] = {a * b, a, a * b};
                for (int o = 0; o < 3; o++) {
                    check.equal("Y", (long long)kan4ml::to_raw(y[o]),
                                tb::rescaled(P[o] * mult[o] + bias[o], SHIFT, out::width, out::is_signed));
                }
            }
        }
    }
}

static void arities() {
    typedef ap_fixed<8, 3, AP_RND, AP_SAT> T;
    typedef ap_ufixed<12, 12, AP_RND, AP_SAT> R;
    typedef config<15, 5, 5, 33, 41, 9, 40, 51> cfg;
    const unsigned short first[5] = {0, 3, 8, 9, 11};
    const unsigned char arity[5] = {3, 5, 1, 2, 4};
    tb::Random random(7);
    for (int n = 0; n < 4000; n++) {
        long long X[15], mult[5], bias[5];
        T x[15];
        R y[5];
        for (int i = 0; i < 15; i++) {
            X[i] = random.edgy(-128, 127);
            x[i] = kan4ml::from_raw<T>(ap_int<8>(X[i]));
        }
        for (int o = 0; o < 5; o++) {
            mult[o] = random.edgy(-256, 255);
            bias[o] = random.edgy(-(1LL << 39), (1LL << 39) - 1);
        }
        kan4ml::product<T, R, cfg>(x, y, first, arity, mult, bias);
        for (int o = 0; o < 5; o++) {
            long long P = 1;
            for (int j = 0; j < arity[o]; j++) {
                P *= X[first[o] + j];
            }
            check.equal("Y of many factors", (long long)kan4ml::to_raw(y[o]),
                        tb::rescaled(P * mult[o] + bias[o], 33, 12, false));
        }
    }
}

int main() {
    pairs<ap_int<4>, ap_int<5>, 2>();
    pairs<ap_int<4>, ap_uint<3>, 0>();
    pairs<ap_uint<4>, ap_int<16>, 1>();
    pairs<ap_fixed<4, 2, AP_RND, AP_SAT>, ap_ufixed<6, 6, AP_RND, AP_SAT>, 5>();
    arities();
    return check.finish();
}
