// Every code of random half curves (a Gaussian or not: the unit cannot know) on random positions, negative slopes, no
// and many centres on either side, against plain 64-bit arithmetic.
#include "check.h"
#include "kan4ml/rbf_arith.h"

static tb::Checker check("rbf_arith");

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS, unsigned SHIFT, unsigned FRACTION,
          unsigned REMAINDER, unsigned N_SEGMENTS, unsigned GUARD, unsigned REACH>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = N_TABLES;
    static const unsigned n_rows = N_SEGMENTS + 1;
    static const unsigned n_columns = 1;
    static const unsigned n_index = 2 * N_TABLES;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    static const unsigned position_shift = SHIFT;
    static const unsigned fraction = FRACTION;
    static const unsigned remainder = REMAINDER;
    static const unsigned guard = GUARD;
    static const unsigned reach = REACH;
    typedef ap_uint<12> sample_t;
    typedef ap_int<21> constant_t;
    typedef ap_int<23> position_t;
    typedef ap_int<54> product_t;
    typedef ap_uint<12> value_t;
    typedef ap_uint<4> start_t;
};

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS, unsigned SHIFT, unsigned FRACTION,
          unsigned REMAINDER, unsigned N_SEGMENTS, unsigned GUARD, unsigned REACH>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, N_TABLES, WINDOW, N_BASIS, SHIFT, FRACTION, REMAINDER, N_SEGMENTS, GUARD, REACH> cfg;
    const unsigned n_in = N_TABLES == 1 ? 2 : N_TABLES;
    const unsigned down = REMAINDER + GUARD;
    tb::Random random(seed);
    unsigned short samples[N_SEGMENTS + 1][1];
    int position[2 * N_TABLES];
    for (unsigned n = 0; n <= N_SEGMENTS; n++) {
        samples[n][0] = (unsigned short)random.edgy(0, 4095);
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
        ap_uint<12> value[n_in][WINDOW];
        ap_uint<4> start[n_in];
        kan4ml::rbf_arith_unit::evaluate<ap_uint<6>, cfg, n_in>(code, samples, position, value, start);
        for (unsigned i = 0; i < n_in; i++) {
            const unsigned t = N_TABLES == 1 ? 0 : i;
            const long long sum = (long long)position[2 * t] * (long long)code[i] + position[2 * t + 1];
            const long long place = tb::floor_div(sum, SHIFT);
            const long long begin = tb::clip(tb::floor_div(place, FRACTION) - (long long)REACH, 0, N_BASIS - WINDOW);
            check.equal("start", (long long)start[i], begin);
            for (long long j = 0; j < (long long)WINDOW; j++) {
                const long long offset = place - (begin + j) * (1LL << FRACTION);
                const long long distance = offset < 0 ? -offset : offset;
                const long long n = distance / (1LL << REMAINDER), r = distance % (1LL << REMAINDER);
                long long want = 0;
                if (n < (long long)N_SEGMENTS) {
                    const long long here = samples[n][0], next = samples[n + 1][0];
                    want = tb::floor_div(here * ((1LL << REMAINDER) - r) + next * r + (down ? (1LL << down) / 2 : 0),
                                         down);
                }
                check.equal("value", (long long)value[i][j], want);
            }
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 40; seed++) {
        all_codes<64, 1, 5, 8, 0, 14, 11, 20, 3, 2>(seed);
        all_codes<64, 1, 8, 8, 3, 10, 8, 9, 0, 3>(seed);
        all_codes<31, 3, 2, 11, 5, 9, 9, 2, 2, 0>(seed);
        all_codes<64, 2, 1, 1, 0, 12, 0, 300, 0, 0>(seed);
        all_codes<64, 1, 3, 16, 40, 0, 0, 4, 5, 1>(seed);
        all_codes<64, 1, 1, 2, 0, 30, 30, 3, 0, 0>(seed); // shifts beyond the width of the position leave its sign
    }
    return check.finish();
}
