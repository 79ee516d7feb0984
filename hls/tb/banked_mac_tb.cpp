// Banked windows against the whole basis in plain long long: every code and step, windows that divide the basis, that
// do not, of 1 and of the whole basis.
#include "check.h"
#include "kan4ml/banked_mac.h"

static tb::Checker check("banked_mac");

template <unsigned N_CODES, unsigned WINDOW, unsigned N_BASIS>
struct basis {
    static const unsigned n_codes = N_CODES;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    typedef ap_int<5> value_t;
    typedef ap_uint<3> group_t;
};

template <unsigned N_OUT>
struct config {
    static const unsigned n_out = N_OUT;
    typedef ap_int<4> weight_t;
    typedef ap_int<13> acc_t;
};

template <unsigned N_CODES, unsigned WINDOW, unsigned N_BASIS, unsigned N_OUT, unsigned STEPS>
static void mac(tb::Random &random) {
    typedef basis<N_CODES, WINDOW, N_BASIS> rom;
    typedef config<N_OUT> cfg;
    static const unsigned G = (N_BASIS + WINDOW - 1) / WINDOW;
    signed char values[N_CODES][WINDOW], banks[WINDOW][STEPS * G][N_OUT];
    unsigned char groups[N_CODES][WINDOW];
    long long B[N_CODES][N_BASIS] = {}, W[STEPS][N_BASIS][N_OUT];
    for (unsigned b = 0; b < WINDOW; b++) {
        for (unsigned word = 0; word < STEPS * G; word++) {
            for (unsigned o = 0; o < N_OUT; o++) {
                banks[b][word][o] = 5; // must not be read beyond the basis
            }
        }
    }
    for (unsigned c = 0; c < N_CODES; c++) {
        const unsigned start = (unsigned)random.edgy(0, N_BASIS - WINDOW);
        for (unsigned j = start; j < start + WINDOW; j++) {
            B[c][j] = random.edgy(-16, 15);
            values[c][j % WINDOW] = (signed char)B[c][j];
            groups[c][j % WINDOW] = (unsigned char)(j / WINDOW);
        }
    }
    for (unsigned r = 0; r < STEPS; r++) {
        for (unsigned j = 0; j < N_BASIS; j++) {
            for (unsigned o = 0; o < N_OUT; o++) {
                W[r][j][o] = random.edgy(-8, 7);
                banks[j % WINDOW][r * G + j / WINDOW][o] = (signed char)W[r][j][o];
            }
        }
    }
    for (unsigned r = 0; r < STEPS; r++) {
        for (unsigned c = 0; c < N_CODES; c++) {
            ap_int<13> sum[N_OUT];
            for (unsigned o = 0; o < N_OUT; o++) {
                sum[o] = (int)o - 3; // the sum so far
            }
            kan4ml::banked_mac<rom, cfg, STEPS>(r, c, values, groups, banks, sum);
            for (unsigned o = 0; o < N_OUT; o++) {
                long long expected = (long long)o - 3;
                for (unsigned j = 0; j < N_BASIS; j++) {
                    expected += B[c][j] * W[r][j][o];
                }
                check.equal("sum", (long long)sum[o], expected);
            }
        }
    }
}

int main() {
    tb::Random random(11);
    for (int n = 0; n < 20; n++) {
        mac<16, 4, 8, 3, 5>(random);
        mac<13, 3, 8, 4, 4>(random); // the last group is not full
        mac<9, 1, 8, 2, 3>(random);
        mac<9, 7, 7, 2, 3>(random); // a global basis: one group
        mac<1, 2, 3, 1, 1>(random);
    }
    return check.finish();
}
