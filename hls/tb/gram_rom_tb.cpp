// Every code of ROMs of degree 0 to 6, one table or one per input.
#include "check.h"
#include "kan4ml/gram_rom.h"

static tb::Checker check("gram_rom");

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = N_TABLES;
    static const unsigned n_rows = N_TABLES * N_CODES;
    static const unsigned n_columns = WINDOW;
    static const unsigned n_index = 1;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = WINDOW;
    typedef ap_int<9> value_t;
    typedef ap_uint<1> start_t;
};

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, N_TABLES, WINDOW> cfg;
    const unsigned n_in = N_TABLES == 1 ? 3 : N_TABLES;
    tb::Random random(seed);
    short rom[cfg::n_rows][WINDOW];
    const unsigned char unused[1] = {0};
    for (unsigned c = 0; c < cfg::n_rows; c++) {
        for (unsigned n = 0; n < WINDOW; n++) {
            rom[c][n] = (short)random.edgy(-256, 255);
        }
    }
    for (unsigned first = 0; first < N_CODES; first++) {
        ap_uint<6> code[n_in];
        for (unsigned i = 0; i < n_in; i++) {
            code[i] = (first + 5 * i) % N_CODES;
        }
        ap_int<9> value[n_in][WINDOW];
        ap_uint<1> start[n_in];
        kan4ml::gram_rom_unit::evaluate<ap_uint<6>, cfg, n_in>(code, rom, unused, value, start);
        for (unsigned i = 0; i < n_in; i++) {
            check.equal("start", (long long)start[i], 0);
            for (unsigned n = 0; n < WINDOW; n++) {
                check.equal("value", (long long)value[i][n],
                            rom[(unsigned)code[i] + (N_TABLES == 1 ? 0 : i) * N_CODES][n]);
            }
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 20; seed++) {
        all_codes<64, 1, 4>(seed);
        all_codes<16, 1, 1>(seed);
        all_codes<13, 5, 7>(seed);
        all_codes<1, 2, 3>(seed);
    }
    return check.finish();
}
