// Every code of ROMs with windows of 1 to 4, signed and unsigned values.
#include "check.h"
#include "kan4ml/bspline_rom.h"

static tb::Checker check("bspline_rom");

template <unsigned N_CODES, unsigned WINDOW, unsigned N_BASIS, class VALUE>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    typedef VALUE value_t;
    typedef ap_uint<4> start_t;
};

template <unsigned N_CODES, unsigned WINDOW, unsigned N_BASIS, class VALUE>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, WINDOW, N_BASIS, VALUE> cfg;
    tb::Random random(seed);
    short rom[N_CODES][WINDOW];
    unsigned char starts[N_CODES];
    ap_uint<6> code[N_CODES];
    for (unsigned c = 0; c < N_CODES; c++) {
        code[c] = N_CODES - 1 - c;
        starts[c] = (unsigned char)random.edgy(0, N_BASIS - WINDOW);
        for (unsigned j = 0; j < WINDOW; j++) {
            const long long low = kan4ml::raw_bits<VALUE>::lowest, high = kan4ml::raw_bits<VALUE>::highest;
            rom[c][j] = (short)random.edgy(low, high);
        }
    }
    VALUE value[N_CODES][WINDOW];
    ap_uint<4> start[N_CODES];
    kan4ml::bspline_rom<ap_uint<6>, cfg, N_CODES>(code, rom, starts, value, start);
    for (unsigned i = 0; i < N_CODES; i++) {
        const unsigned c = N_CODES - 1 - i;
        check.equal("start", (long long)start[i], starts[c]);
        for (unsigned j = 0; j < WINDOW; j++) {
            check.equal("value", (long long)value[i][j], rom[c][j]);
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 50; seed++) {
        all_codes<16, 4, 8, ap_uint<6>>(seed);
        all_codes<64, 4, 13, ap_int<9>>(seed);
        all_codes<5, 1, 1, ap_uint<1>>(seed);
        all_codes<1, 3, 16, ap_int<2>>(seed);
    }
    return check.finish();
}
