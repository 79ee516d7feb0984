// Every code of random polynomials of degree 1 to 5 on random positions, negative slopes and far outside the grid
// included, against plain 64-bit arithmetic.
#include "check.h"
#include "kan4ml/bspline_arith.h"

static tb::Checker check("bspline_arith");

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS, unsigned SHIFT, unsigned FRACTION,
          unsigned GUARD>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = N_TABLES;
    static const unsigned n_rows = WINDOW;
    static const unsigned n_columns = WINDOW;
    static const unsigned n_index = 2 * N_TABLES;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    static const unsigned position_shift = SHIFT;
    static const unsigned fraction = FRACTION;
    static const unsigned guard = GUARD;
    static const bool inside = false;
    typedef ap_int<12> coefficient_t;
    typedef ap_int<21> constant_t;
    typedef ap_int<23> position_t;
    typedef ap_int<54> product_t;
    typedef ap_int<20> sum_t;
    typedef ap_uint<19> value_t;
    typedef ap_uint<4> start_t;
};

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS, unsigned SHIFT, unsigned FRACTION,
          unsigned GUARD>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, N_TABLES, WINDOW, N_BASIS, SHIFT, FRACTION, GUARD> cfg;
    const unsigned n_in = N_TABLES == 1 ? 2 : N_TABLES;
    tb::Random random(seed);
    short a[WINDOW][WINDOW];
    int position[2 * N_TABLES];
    for (unsigned p = 0; p < WINDOW; p++) {
        for (unsigned j = 0; j < WINDOW; j++) {
            a[p][j] = (short)random.edgy(-2048, 2047);
        }
    }
    for (unsigned t = 0; t < N_TABLES; t++) {
        position[2 * t] = (int)random.edgy(-30000, 30000);
        position[2 * t + 1] = (int)random.edgy(-900000, 900000);
    }
    for (unsigned first = 0; first < N_CODES; first++) {
        ap_uint<6> code[n_in];
        for (unsigned i = 0; i < n_in; i++) {
            code[i] = (first + 3 * i) % N_CODES;
        }
        ap_uint<19> value[n_in][WINDOW];
        ap_uint<4> start[n_in];
        kan4ml::bspline_arith_unit::evaluate<ap_uint<6>, cfg, n_in>(code, a, position, value, start);
        for (unsigned i = 0; i < n_in; i++) {
            const unsigned t = N_TABLES == 1 ? 0 : i;
            const long long sum = (long long)position[2 * t] * (long long)code[i] + position[2 * t + 1];
            const long long place = tb::floor_div(sum, SHIFT), cell = tb::floor_div(place, FRACTION);
            const long long f = place - cell * (1LL << FRACTION), last = N_BASIS - WINDOW;
            check.equal("start", (long long)start[i], tb::clip(cell, 0, last));
            for (long long j = 0; j < (long long)WINDOW; j++) {
                const long long source = j + tb::clip(cell, 0, last) - cell;
                long long want = 0;
                if (source >= 0 && source < (long long)WINDOW) {
                    long long h = a[WINDOW - 1][source];
                    for (int p = (int)WINDOW - 2; p >= 0; p--) {
                        h = tb::floor_div(h * f + (1LL << FRACTION) / 2, FRACTION) + a[p][source];
                    }
                    want = tb::floor_div(h + (1LL << GUARD) / 2 * (GUARD > 0), GUARD);
                    want = want < 0 ? 0 : want;
                }
                check.equal("value", (long long)value[i][j], want);
            }
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 40; seed++) {
        all_codes<64, 1, 4, 8, 0, 12, 4>(seed);
        all_codes<64, 1, 2, 9, 3, 9, 1>(seed);
        all_codes<31, 3, 3, 3, 5, 6, 0>(seed);
        all_codes<64, 1, 5, 12, 0, 16, 5>(seed);
        all_codes<64, 2, 6, 16, 2, 14, 8>(seed);
        all_codes<1, 1, 4, 4, 40, 1, 3>(seed);
        all_codes<64, 1, 4, 8, 30, 1, 3>(seed); // shifts beyond the width of the position leave its sign
        all_codes<64, 1, 4, 8, 0, 30, 3>(seed);
    }
    return check.finish();
}
