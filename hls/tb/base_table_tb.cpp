// Every code of signed and unsigned tables.
#include "check.h"
#include "kan4ml/base_table.h"

static tb::Checker check("base_table");

template <unsigned N_CODES, class VALUE>
struct config {
    static const unsigned n_codes = N_CODES;
    typedef VALUE value_t;
};

template <unsigned N_CODES, class VALUE>
static void all_codes(unsigned long long seed) {
    tb::Random random(seed);
    int table[N_CODES];
    ap_uint<12> code[N_CODES];
    for (unsigned c = 0; c < N_CODES; c++) {
        const long long low = kan4ml::raw_bits<VALUE>::lowest, high = kan4ml::raw_bits<VALUE>::highest;
        code[c] = N_CODES - 1 - c;
        table[c] = (int)random.edgy(low, high);
    }
    VALUE value[N_CODES];
    kan4ml::base_table<ap_uint<12>, config<N_CODES, VALUE>, N_CODES>(code, table, value);
    for (unsigned i = 0; i < N_CODES; i++) {
        check.equal("value", (long long)value[i], table[N_CODES - 1 - i]);
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 50; seed++) {
        all_codes<1, ap_int<3>>(seed);
        all_codes<16, ap_int<6>>(seed);
        all_codes<100, ap_uint<8>>(seed);
        all_codes<4096, ap_int<20>>(seed);
    }
    return check.finish();
}
