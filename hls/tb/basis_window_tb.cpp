// Windows of 1 to 6 values for cells from far below to far above the basis, and the copy where no cell lies outside.
#include "check.h"
#include "kan4ml/basis_window.h"

static tb::Checker check("basis_window");

template <unsigned WINDOW, unsigned N_BASIS, bool INSIDE>
struct config {
    static const unsigned window = WINDOW;
    static const unsigned n_basis = N_BASIS;
    static const bool inside = INSIDE;
    typedef ap_int<7> value_t;
    typedef ap_uint<4> start_t;
};

template <unsigned WINDOW, unsigned N_BASIS, bool INSIDE>
static void all_cells(unsigned long long seed) {
    typedef config<WINDOW, N_BASIS, INSIDE> cfg;
    tb::Random random(seed);
    const int last = N_BASIS - WINDOW;
    for (int cell = INSIDE ? 0 : -128; cell <= (INSIDE ? last : 127); cell++) {
        ap_int<7> local[WINDOW], value[WINDOW];
        ap_uint<4> start;
        for (unsigned j = 0; j < WINDOW; j++) {
            local[j] = (int)random.edgy(-64, 63);
        }
        kan4ml::basis_window<cfg>(ap_int<8>(cell), local, value, start);
        check.equal("start", (long long)start, tb::clip(cell, 0, last));
        // Over the whole basis and beyond it: function b has the local value b - cell, if both exist.
        for (int b = 0; b < (int)N_BASIS; b++) {
            const int j = b - (int)start, source = b - cell;
            const long long got = j >= 0 && j < (int)WINDOW ? (long long)value[j] : 0;
            check.equal("value", got, source >= 0 && source < (int)WINDOW ? (long long)local[source] : 0);
        }
    }
}

int main() {
    for (unsigned long long seed = 0; seed < 8; seed++) {
        all_cells<1, 1, false>(seed);
        all_cells<2, 2, false>(seed);
        all_cells<4, 8, false>(seed);
        all_cells<4, 8, true>(seed);
        all_cells<6, 16, false>(seed);
        all_cells<6, 6, true>(seed);
    }
    return check.finish();
}
