// Every sum of 12 bits through every shift and several result types; every multiplier, sum and bias of a small domain;
// sums up to 2^53.
#include "check.h"
#include "kan4ml/rescale.h"

static tb::Checker check("rescale");

template <unsigned N_OUT, unsigned SHIFT, int MULT_BITS, int BIAS_BITS, int SUM_BITS>
struct config {
    static const unsigned n_out = N_OUT;
    static const unsigned shift = SHIFT;
    typedef ap_int<MULT_BITS> spline_mult_t;
    typedef ap_int<MULT_BITS> base_mult_t;
    typedef ap_int<BIAS_BITS> bias_t;
    typedef ap_int<SUM_BITS> sum_t;
};

template <class T, unsigned SHIFT>
static void every_sum() {
    typedef config<1, SHIFT, 4, 4, 13> cfg;
    typedef kan4ml::raw_bits<T> raw;
    for (int sum = -2048; sum < 2048; sum++) {
        const T y = kan4ml::round_saturate<T, cfg>(ap_int<13>(sum));
        check.equal("Y", (long long)kan4ml::to_raw(y), tb::rescaled(sum, SHIFT, raw::width, raw::is_signed));
    }
}

template <class T>
static void shifts() {
    every_sum<T, 0>();
    every_sum<T, 1>();
    every_sum<T, 2>();
    every_sum<T, 5>();
    every_sum<T, 11>();
}

template <class T, unsigned SHIFT>
static void every_term() {
    typedef config<2, SHIFT, 3, 5, 9> cfg;
    typedef kan4ml::raw_bits<T> raw;
    for (int a = -4; a <= 3; a++) {
        for (int b = -4; b <= 3; b++) {
            for (int ms = -4; ms <= 3; ms++) {
                for (int mb = -4; mb <= 3; mb++) {
                    for (int bias = -16; bias <= 15; bias += 3) {
                        const ap_int<3> spline[2] = {a, b}, base[2] = {b, a};
                        const signed char spline_mult[2] = {(signed char)ms, (signed char)mb};
                        const short base_mult[2] = {(short)mb, (short)ms};
                        const int biases[2] = {bias, -1 - bias};
                        T y[2], z[2];
                        kan4ml::rescale<ap_int<3>, ap_int<3>, T, cfg>(spline, base, spline_mult, base_mult, biases, y);
                        kan4ml::rescale<ap_int<3>, T, cfg>(spline, spline_mult, biases, z);
                        const long long both[2] = {a * ms + b * mb + bias, b * mb + a * ms - 1 - bias};
                        const long long alone[2] = {a * ms + bias, b * mb - 1 - bias};
                        for (int o = 0; o < 2; o++) {
                            check.equal("Y of both branches", (long long)kan4ml::to_raw(y[o]),
                                        tb::rescaled(both[o], SHIFT, raw::width, raw::is_signed));
                            check.equal("Y of the spline", (long long)kan4ml::to_raw(z[o]),
                                        tb::rescaled(alone[o], SHIFT, raw::width, raw::is_signed));
                        }
                    }
                }
            }
        }
    }
}

template <unsigned SHIFT>
static void wide() {
    typedef ap_fixed<24, 3, AP_RND, AP_SAT> T;
    typedef config<1, SHIFT, 24, 52, 54> cfg;
    tb::Random random(SHIFT);
    for (int n = 0; n < 3000; n++) {
        const long long a = random.edgy(-(1 << 26), (1 << 26) - 1), b = random.edgy(-(1 << 26), (1 << 26) - 1);
        const int ms[1] = {(int)random.edgy(-(1 << 23), (1 << 23) - 1)};
        const int mb[1] = {(int)random.edgy(-(1 << 23), (1 << 23) - 1)};
        const long long bias[1] = {random.edgy(-(1LL << 50), 1LL << 50)};
        const ap_int<27> spline[1] = {ap_int<27>(a)}, base[1] = {ap_int<27>(b)};
        T y[1];
        kan4ml::rescale<ap_int<27>, ap_int<27>, T, cfg>(spline, base, ms, mb, bias, y);
        check.equal("wide Y", (long long)kan4ml::to_raw(y[0]),
                    tb::rescaled(a * ms[0] + b * mb[0] + bias[0], SHIFT, 24, true));
    }
}

int main() {
    shifts<ap_int<1>>();
    shifts<ap_uint<1>>();
    shifts<ap_int<4>>();
    shifts<ap_uint<4>>();
    shifts<ap_fixed<6, 2, AP_RND, AP_SAT>>();
    shifts<ap_fixed<6, 2>>(); // the modes of the port do not matter: raw bits are written
    shifts<ap_ufixed<5, 9, AP_RND, AP_SAT>>();
    shifts<ap_int<20>>(); // never saturates
    every_term<ap_int<3>, 0>();
    every_term<ap_uint<3>, 2>();
    every_term<ap_fixed<5, 1, AP_RND, AP_SAT>, 1>();
    wide<0>();
    wide<1>();
    wide<28>();
    wide<50>();
    return check.finish();
}
