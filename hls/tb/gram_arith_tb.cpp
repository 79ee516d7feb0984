// Every code of random functions and factors, degrees 1 to 6, both saturations of the SiLU's index, against plain
// 64-bit arithmetic.
#include "check.h"
#include "kan4ml/gram_arith.h"

static tb::Checker check("gram_arith");

template <unsigned N_CODES, unsigned WINDOW, unsigned N_SILU, unsigned FRACTION, unsigned FACTOR_SHIFT, unsigned OFFSET,
          unsigned SILU_SHIFT>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = 1;
    static const unsigned n_silu = N_SILU;
    static const unsigned n_rows = N_CODES + N_SILU;
    static const unsigned n_columns = 1;
    static const unsigned n_index = WINDOW;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = WINDOW;
    static const unsigned fraction = FRACTION;
    static const unsigned factor_shift = FACTOR_SHIFT;
    static const unsigned silu_offset = OFFSET;
    static const unsigned silu_shift = SILU_SHIFT;
    typedef ap_int<10> function_t;
    typedef ap_int<8> factor_t;
    typedef ap_int<50> product_t;
    typedef ap_int<40> sum_t;
    typedef ap_int<10> value_t;
    typedef ap_uint<1> start_t;
};

static long long lows = 0, highs = 0;

template <unsigned N_CODES, unsigned WINDOW, unsigned N_SILU, unsigned FRACTION, unsigned FACTOR_SHIFT, unsigned OFFSET,
          unsigned SILU_SHIFT>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, WINDOW, N_SILU, FRACTION, FACTOR_SHIFT, OFFSET, SILU_SHIFT> cfg;
    tb::Random random(seed);
    short functions[cfg::n_rows][1];
    signed char beta[WINDOW];
    for (unsigned n = 0; n < cfg::n_rows; n++) {
        functions[n][0] = (short)random.edgy(-512, 511);
    }
    for (unsigned n = 0; n < WINDOW; n++) {
        beta[n] = (signed char)random.edgy(-128, 127);
    }
    ap_uint<6> code[N_CODES];
    for (unsigned c = 0; c < N_CODES; c++) {
        code[c] = N_CODES - 1 - c;
    }
    ap_int<10> value[N_CODES][WINDOW];
    ap_uint<1> start[N_CODES];
    kan4ml::gram_arith_unit::evaluate<ap_uint<6>, cfg, N_CODES>(code, functions, beta, value, start);
    for (unsigned i = 0; i < N_CODES; i++) {
        long long p[WINDOW];
        const long long t = functions[N_CODES - 1 - i][0];
        check.equal("start", (long long)start[i], 0);
        for (unsigned n = 0; n < WINDOW; n++) {
            if (n < 2) {
                p[n] = n == 0 ? 1LL << FRACTION : t;
            } else {
                const long long half = FACTOR_SHIFT == 0 ? 0 : (1LL << FACTOR_SHIFT) / 2;
                p[n] = tb::floor_div(t * p[n - 1] + (1LL << FRACTION) / 2, FRACTION) -
                       tb::floor_div(beta[n] * p[n - 2] + half, FACTOR_SHIFT);
            }
            const long long index = tb::floor_div(p[n] + OFFSET, SILU_SHIFT);
            lows += index < 0;
            highs += index >= (long long)N_SILU;
            const long long row = N_CODES + tb::clip(index, 0, (long long)N_SILU - 1);
            check.equal("value", (long long)value[i][n], functions[row][0]);
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 60; seed++) {
        all_codes<64, 4, 40, 9, 7, 400, 4>(seed);
        all_codes<32, 7, 64, 9, 6, 900, 5>(seed);
        all_codes<17, 2, 5, 1, 0, 0, 6>(seed);
        all_codes<1, 3, 1, 8, 0, 3, 0>(seed);
        all_codes<64, 5, 100, 6, 8, 100, 1>(seed);
        all_codes<32, 4, 3000, 6, 0, 1500, 0>(seed); // a shift of 0 has no rounding constant, one of 1 has
        all_codes<32, 4, 3000, 6, 1, 1500, 0>(seed);
    }
    check.equal("an index below and one above were seen", lows > 0 && highs > 0, 1);
    return check.finish();
}
