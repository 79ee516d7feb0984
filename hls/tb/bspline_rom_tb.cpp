// Every code of ROMs with windows of 1 to 6, signed and unsigned values, one table or one per input; and of ROMs that
// the cells of a grid share, not mirrored and mirrored both ways, for codes inside the grid and outside it.
#include "check.h"
#include "kan4ml/bspline_rom.h"

static tb::Checker check("bspline_rom");

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS, class VALUE>
struct config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = N_TABLES;
    static const unsigned n_rows = N_TABLES * N_CODES;
    static const unsigned n_columns = WINDOW;
    static const unsigned n_index = n_rows;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    typedef VALUE value_t;
    typedef ap_uint<4> start_t;
};

template <unsigned N_CODES, unsigned N_TABLES, unsigned WINDOW, unsigned N_BASIS, class VALUE>
static void all_codes(unsigned long long seed) {
    typedef config<N_CODES, N_TABLES, WINDOW, N_BASIS, VALUE> cfg;
    const unsigned n_in = N_TABLES == 1 ? 3 : N_TABLES;
    tb::Random random(seed);
    short rom[cfg::n_rows][WINDOW];
    unsigned char starts[cfg::n_rows];
    for (unsigned c = 0; c < cfg::n_rows; c++) {
        starts[c] = (unsigned char)random.edgy(0, N_BASIS - WINDOW);
        for (unsigned j = 0; j < WINDOW; j++) {
            const long long low = kan4ml::raw_bits<VALUE>::lowest, high = kan4ml::raw_bits<VALUE>::highest;
            rom[c][j] = (short)random.edgy(low, high);
        }
    }
    for (unsigned first = 0; first < N_CODES; first++) {
        ap_uint<6> code[n_in];
        for (unsigned i = 0; i < n_in; i++) {
            code[i] = (first + 5 * i) % N_CODES;
        }
        VALUE value[n_in][WINDOW];
        ap_uint<4> start[n_in];
        kan4ml::bspline_rom_unit::evaluate<ap_uint<6>, cfg, n_in>(code, rom, starts, value, start);
        for (unsigned i = 0; i < n_in; i++) {
            const unsigned row = (unsigned)code[i] + (N_TABLES == 1 ? 0 : i) * N_CODES;
            check.equal("start", (long long)start[i], starts[row]);
            for (unsigned j = 0; j < WINDOW; j++) {
                check.equal("value", (long long)value[i][j], rom[row][j]);
            }
        }
    }
}

template <unsigned N_CODES, unsigned PHASE_BITS, unsigned MIRROR, unsigned N_ROWS, unsigned WINDOW, unsigned N_BASIS,
          bool INSIDE>
struct aligned_config {
    static const unsigned n_codes = N_CODES;
    static const unsigned n_tables = 1;
    static const unsigned n_rows = N_ROWS;
    static const unsigned n_columns = WINDOW;
    static const unsigned n_index = 1;
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    static const unsigned phase_bits = PHASE_BITS;
    static const unsigned mirror = MIRROR;
    static const bool inside = INSIDE;
    typedef ap_uint<7> value_t;
    typedef ap_uint<4> start_t;
    typedef ap_int<9> cell_t;
};

template <unsigned N_CODES, unsigned PHASE_BITS, unsigned MIRROR, unsigned N_ROWS, unsigned WINDOW, unsigned N_BASIS,
          bool INSIDE>
static void aligned(unsigned long long seed, int offset_of_code_0) {
    typedef aligned_config<N_CODES, PHASE_BITS, MIRROR, N_ROWS, WINDOW, N_BASIS, INSIDE> cfg;
    tb::Random random(seed);
    const int n_phases = 1 << PHASE_BITS;
    unsigned char rom[N_ROWS][WINDOW], whole[1 << PHASE_BITS][WINDOW];
    const signed char offset[1] = {(signed char)offset_of_code_0};
    for (unsigned p = 0; p < N_ROWS; p++) {
        for (unsigned j = 0; j < WINDOW; j++) {
            rom[p][j] = (unsigned char)random.edgy(0, 127);
        }
    }
    for (int p = 0; p < n_phases; p++) {
        const int image = MIRROR == 1 ? n_phases - p : n_phases - 1 - p;
        for (int j = 0; j < (int)WINDOW; j++) {
            whole[p][j] = p < (int)N_ROWS ? rom[p][j] : rom[image][WINDOW - 1 - j];
        }
    }
    ap_uint<6> code[N_CODES];
    for (unsigned c = 0; c < N_CODES; c++) {
        code[c] = c;
    }
    ap_uint<7> value[N_CODES][WINDOW];
    ap_uint<4> start[N_CODES];
    kan4ml::bspline_rom_aligned_unit::evaluate<ap_uint<6>, cfg, N_CODES>(code, rom, offset, value, start);
    for (int c = 0; c < (int)N_CODES; c++) {
        const int place = c + offset_of_code_0;
        const int cell = (int)tb::floor_div(place, PHASE_BITS), phase = place - cell * n_phases;
        check.equal("aligned start", (long long)start[c], tb::clip(cell, 0, N_BASIS - WINDOW));
        for (int b = 0; b < (int)N_BASIS; b++) {
            const int j = b - (int)start[c], source = b - cell;
            const long long got = j >= 0 && j < (int)WINDOW ? (long long)value[c][j] : 0;
            check.equal("aligned value", got, source >= 0 && source < (int)WINDOW ? whole[phase][source] : 0);
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 20; seed++) {
        all_codes<16, 1, 4, 8, ap_uint<6>>(seed);
        all_codes<64, 1, 6, 13, ap_int<9>>(seed);
        all_codes<5, 1, 1, 1, ap_uint<1>>(seed);
        all_codes<1, 1, 3, 16, ap_int<2>>(seed);
        all_codes<13, 5, 4, 8, ap_uint<6>>(seed);
        all_codes<7, 2, 2, 2, ap_int<6>>(seed);
        for (int offset = -40; offset <= 24; offset += 8) {
            aligned<64, 3, 0, 8, 4, 8, false>(seed, offset);
            aligned<64, 3, 1, 5, 4, 8, false>(seed, offset + 3);
            aligned<64, 3, 2, 4, 6, 12, false>(seed, offset + 5);
            aligned<17, 0, 0, 1, 2, 16, false>(seed, offset);
            aligned<33, 1, 1, 2, 3, 5, false>(seed, offset);
            aligned<33, 1, 2, 1, 3, 3, false>(seed, offset);
        }
        aligned<64, 3, 1, 5, 4, 11, true>(seed, 0);
        aligned<60, 4, 2, 8, 4, 8, true>(seed, 4);
    }
    return check.finish();
}
