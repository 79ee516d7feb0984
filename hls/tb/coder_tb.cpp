// Every input of 5-bit types, against every multiplier, offset, shift and number of codes of a small domain; then wide
// ones.
#include "check.h"
#include "kan4ml/coder.h"

static tb::Checker check("coder");

template <unsigned N_IN, unsigned N_MULT, unsigned N_CODES, unsigned SHIFT, int MULT_BITS, int OFFSET_BITS,
          int SUM_BITS>
struct config {
    static const unsigned n_in = N_IN;
    static const unsigned n_mult = N_MULT;
    static const unsigned n_codes = N_CODES;
    static const unsigned shift = SHIFT;
    typedef ap_int<MULT_BITS> mult_t;
    typedef ap_int<OFFSET_BITS> offset_t;
    typedef ap_int<SUM_BITS> sum_t;
    typedef ap_uint<12> code_t;
};

// One multiplier for all: x runs over the whole type.
template <class T, unsigned N_CODES, unsigned SHIFT>
static void per_layer() {
    typedef config<32, 1, N_CODES, SHIFT, 4, 7, 10> cfg;
    const long long low = kan4ml::raw_bits<T>::lowest;
    T x[32];
    ap_uint<12> code[32];
    for (int i = 0; i < 32; i++) {
        x[i] = kan4ml::from_raw<T>(typename kan4ml::raw_bits<T>::type(low + i));
    }
    for (int m = -8; m <= 7; m++) {
        for (int b = -64; b <= 63; b += 3) {
            const signed char mult[1] = {(signed char)m};
            const signed char offset[1] = {(signed char)b};
            kan4ml::coder<T, cfg>(x, mult, offset, code);
            for (int i = 0; i < 32; i++) {
                check.equal("code", (long long)code[i], tb::code(low + i, m, b, SHIFT, N_CODES));
            }
        }
    }
}

template <class T>
static void shifts() {
    per_layer<T, 1, 0>();
    per_layer<T, 16, 0>();
    per_layer<T, 32, 0>();
    per_layer<T, 5, 1>();
    per_layer<T, 16, 3>();
    per_layer<T, 2, 7>();
    per_layer<T, 7, 9>(); // shifts of at least the width of the sum leave its sign
    per_layer<T, 7, 10>();
    per_layer<T, 7, 62>();
}

// A multiplier per input.
static void per_input() {
    typedef ap_fixed<6, 2, AP_RND, AP_SAT> T;
    typedef config<7, 7, 16, 4, 8, 10, 15> cfg;
    tb::Random random(1);
    for (int n = 0; n < 2000; n++) {
        T x[7];
        short mult[7], offset[7];
        ap_uint<12> code[7];
        long long X[7];
        for (int i = 0; i < 7; i++) {
            X[i] = random.edgy(-32, 31);
            x[i] = kan4ml::from_raw<T>(ap_int<6>(X[i]));
            mult[i] = (short)random.edgy(-128, 127);
            offset[i] = (short)random.edgy(-512, 511);
        }
        kan4ml::coder<T, cfg>(x, mult, offset, code);
        for (int i = 0; i < 7; i++) {
            check.equal("code of an input", (long long)code[i], tb::code(X[i], mult[i], offset[i], 4, 16));
        }
    }
}

// Sums up to 2^53 and 4096 codes.
static void wide() {
    typedef ap_int<24> T;
    typedef config<1, 1, 4096, 40, 29, 53, 54> cfg;
    tb::Random random(2);
    for (int n = 0; n < 5000; n++) {
        const long long X = random.edgy(-(1LL << 23), (1LL << 23) - 1);
        const int mult[1] = {(int)random.edgy(-(1LL << 28), (1LL << 28) - 1)};
        const long long offset[1] = {random.edgy(-(1LL << 52), (1LL << 52) - 1)};
        const T x[1] = {T(X)};
        ap_uint<12> code[1];
        kan4ml::coder<T, cfg>(x, mult, offset, code);
        check.equal("wide code", (long long)code[0], tb::code(X, mult[0], offset[0], 40, 4096));
    }
}

int main() {
    shifts<ap_int<5>>();
    shifts<ap_uint<5>>();
    shifts<ap_fixed<5, 2, AP_RND, AP_SAT>>();
    shifts<ap_ufixed<5, 7>>();
    per_input();
    wide();
    return check.finish();
}
