// Every input of three 4-bit numbers, signed and unsigned; then wide ones, small variances among them, with inputs that
// pass. The expected numbers come from long long arithmetic with a loop that counts bits.
#include "check.h"
#include "kan4ml/layer_norm.h"

static tb::Checker check("layer_norm");

template <unsigned N_IN, bool PASSES, unsigned BITS, unsigned FRACTION, unsigned LENGTH, unsigned SHIFT, int X_BITS>
struct config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = PASSES ? 2 * N_IN : N_IN;
    static const unsigned reuse_factor = 1;
    static const bool passes = PASSES;
    static const unsigned table_bits = BITS;
    static const unsigned table_fraction = FRACTION + 2;
    static const unsigned fraction = FRACTION;
    static const unsigned n_table = 3u << (BITS - 2);
    static const unsigned length = LENGTH;
    static const unsigned shift = SHIFT;
    typedef ap_int<LENGTH / 2 + 3> mean_t;
    typedef ap_int<LENGTH + 2> variance_t;
    typedef ap_uint<FRACTION + 4> root_t;
    typedef ap_int<LENGTH / 2 + FRACTION + 6> product_t;
    typedef ap_int<FRACTION + 6> normal_t;
    typedef ap_int<8> gamma_t;
    typedef ap_int<20> beta_t;
    typedef ap_int<36> sum_t;
    struct coder {
        static const unsigned n_in = N_IN;
        static const unsigned n_mult = 1;
        static const unsigned n_codes = 13;
        static const unsigned shift = 2;
        typedef ap_int<4> mult_t;
        typedef ap_int<X_BITS + 4> offset_t;
        typedef ap_int<X_BITS + 6> sum_t;
        typedef ap_uint<4> code_t;
    };
};

// floor(2^(r + B/2) / sqrt(u + 1/2) + 1/2) by search.
static long long root_of(long long u, unsigned bits, unsigned fraction) {
    const unsigned long long numerator = 1ULL << (2 * fraction + bits + 1);
    long long root = 0;
    for (int k = 30; k >= 0; k--) {
        const unsigned long long next = (unsigned long long)root + (1ULL << k);
        if (next <= 0x3fffffff && (2 * next - 1) * (2 * next - 1) * (2 * (unsigned long long)u + 1) <= 4 * numerator) {
            root = (long long)next;
        }
    }
    return root;
}

template <class CFG>
struct tables {
    int root[CFG::n_table];
    tables() {
        for (unsigned k = 0; k < CFG::n_table; k++) {
            root[k] = (int)root_of(k + (1 << (CFG::table_bits - 2)), CFG::table_bits, CFG::table_fraction);
        }
    }
};

template <class data_T, class res_T, class CFG>
static void one(const long long *X, const tables<CFG> &table, const long long epsilon, const signed char *gamma,
                const int *beta) {
    typedef kan4ml::raw_bits<res_T> out;
    const int N = (int)CFG::n_in;
    data_T x[CFG::n_in];
    res_T y[CFG::n_out];
    long long S = 0, Q = 0;
    for (int i = 0; i < N; i++) {
        x[i] = kan4ml::from_raw<data_T>(typename kan4ml::raw_bits<data_T>::type(X[i]));
        S += X[i];
        Q += X[i] * X[i];
    }
    const long long eps[1] = {epsilon};
    const signed char mult[1] = {3};
    const signed char offset[1] = {11};
    kan4ml::layer_norm<data_T, res_T, CFG>(x, y, eps, table.root, gamma, beta, mult, offset);

    const long long V = N * Q - S * S + epsilon;
    int L = 0;
    while ((V >> L) != 0) {
        L++;
    }
    const int B = (int)CFG::table_bits;
    int e = -(B - 2);
    while (L - e > B) {
        e += 2;
    }
    const long long u = e >= 0 ? V >> e : V << -e;
    const int s = (int)CFG::table_fraction + B / 2 + e / 2 - (int)CFG::fraction;
    for (int i = 0; i < N; i++) {
        const long long d = N * X[i] - S;
        const long long t = tb::floor_div(d * table.root[u - (1 << (B - 2))] + (1LL << (s - 1)), (unsigned)s);
        check.equal("Y", (long long)kan4ml::to_raw(y[i]),
                    tb::rescaled(t * gamma[i] + beta[i], CFG::shift, out::width, out::is_signed));
        if (CFG::passes) {
            check.equal("code", (long long)kan4ml::to_raw(y[CFG::n_out - CFG::n_in + i]), tb::code(X[i], 3, 11, 2, 13));
        }
    }
}

template <class data_T, class res_T, class CFG>
static void every_input(long long epsilon) {
    typedef kan4ml::raw_bits<data_T> in;
    static const tables<CFG> table;
    const signed char gamma[3] = {37, -20, 127};
    const int beta[3] = {900, -31, 1 << 12};
    for (long long a = in::lowest; a <= in::highest; a++) {
        for (long long b = in::lowest; b <= in::highest; b++) {
            for (long long c = in::lowest; c <= in::highest; c++) {
                const long long X[3] = {a, b, c};
                one<data_T, res_T, CFG>(X, table, epsilon, gamma, beta);
            }
        }
    }
}

template <class data_T, class res_T, class CFG>
static void wide(unsigned seed, long long most_epsilon) {
    typedef kan4ml::raw_bits<data_T> in;
    static const tables<CFG> table;
    tb::Random random(seed);
    for (int n = 0; n < 1500; n++) {
        long long X[CFG::n_in];
        signed char gamma[CFG::n_in];
        int beta[CFG::n_in];
        const long long middle = random.in(in::lowest, in::highest);
        const long long width = 1LL << random.in(0, in::width);
        for (unsigned i = 0; i < CFG::n_in; i++) {
            X[i] = n % 4 == 0 ? random.edgy(in::lowest, in::highest)
                              : tb::clip(middle + random.in(-width, width), in::lowest, in::highest);
            gamma[i] = (signed char)random.edgy(-128, 127);
            beta[i] = (int)random.edgy(-(1 << 19), (1 << 19) - 1);
        }
        one<data_T, res_T, CFG>(X, table, random.edgy(1, most_epsilon), gamma, beta);
    }
}

// Small deviations beside a large epsilon: shifts beyond the width of a product.
struct far : config<4, false, 10, 1, 54, 0, 19> {
    static const unsigned table_fraction = 9;
    typedef ap_uint<11> root_t;
    typedef ap_int<32> product_t;
};

int main() {
    every_input<ap_int<4>, ap_uint<6>, config<3, false, 4, 6, 12, 7, 4>>(1);
    every_input<ap_uint<4>, ap_int<7>, config<3, true, 8, 9, 12, 10, 4>>(5);
    wide<ap_fixed<8, 3, AP_RND, AP_SAT>, ap_ufixed<8, 8, AP_RND, AP_SAT>, config<13, true, 10, 12, 26, 13, 8>>(1, 500);
    wide<ap_uint<12>, ap_int<9>, config<7, false, 12, 11, 32, 12, 12>>(2, 500);
    wide<ap_int<10>, ap_uint<4>, config<64, true, 6, 10, 34, 15, 10>>(3, 500);
    wide<ap_int<22>, ap_int<9>, config<4, false, 10, 12, 54, 12, 22>>(4, (1LL << 52) - 1); // up to 52 zeros on top
    wide<ap_int<22>, ap_int<9>, config<4, false, 10, 12, 54, 12, 22>>(5, 3);
    wide<ap_int<19>, ap_int<24>, far>(6, (1LL << 52) - 1);
    return check.finish();
}
