// Every code of ROMs with windows of 1 to 7, one table or one per input.
#include "check.h"
#include "kan4ml/rbf_rom.h"

static tb::Checker check("rbf_rom");

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = N_TABLES;
    static const unsigned n_rows = N_TABLES * N_CODES;
    static const unsigned n_columns = WINDOW;
    static const unsigned n_index = n_rows;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    typedef ap_uint<8> value_t;
    typedef ap_uint<4> start_t;
};

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, N_TABLES, WINDOW, N_BASIS> cfg;
    const unsigned n_in = N_TABLES == 1 ? 3 : N_TABLES;
    tb::Random random(seed);
    unsigned char rom[cfg::n_rows][WINDOW], starts[cfg::n_rows];
    for (unsigned c = 0; c < cfg::n_rows; c++) {
        starts[c] = (unsigned char)random.edgy(0, N_BASIS - WINDOW);
        for (unsigned j = 0; j < WINDOW; j++) {
            rom[c][j] = (unsigned char)random.edgy(0, 255);
        }
    }
    for (unsigned first = 0; first < N_CODES; first++) {
        ap_uint<6> code[n_in];
        for (unsigned i = 0; i < n_in; i++) {
            code[i] = (first + 5 * i) % N_CODES;
        }
        ap_uint<8> value[n_in][WINDOW];
        ap_uint<4> start[n_in];
        kan4ml::rbf_rom_unit::evaluate<ap_uint<6>, cfg, n_in>(code, rom, starts, value, start);
        for (unsigned i = 0; i < n_in; i++) {
            const unsigned row = (unsigned)code[i] + (N_TABLES == 1 ? 0 : i) * N_CODES;
            check.equal("start", (long long)start[i], starts[row]);
            for (unsigned j = 0; j < WINDOW; j++) {
                check.equal("value", (long long)value[i][j], rom[row][j]);
            }
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 20; seed++) {
        all_codes<64, 1, 7, 16>(seed);
        all_codes<16, 1, 1, 5>(seed);
        all_codes<13, 5, 5, 8>(seed);
        all_codes<1, 2, 3, 3>(seed);
    }
    return check.finish();
}
