#pragma once

// The whole library: dense KAN layers for io_parallel, from the coder to the rescale.

#include "banked_mac.h"
#include "base_table.h"
#include "basis_window.h"
#include "bspline_arith.h"
#include "bspline_rom.h"
#include "coder.h"
#include "edge_rows.h"
#include "edge_table.h"
#include "gram_arith.h"
#include "gram_rom.h"
#include "kan_dense.h"
#include "kan_dense_rolled.h"
#include "mac_array.h"
#include "rbf_arith.h"
#include "rbf_rom.h"
#include "rescale.h"
#include "rolled.h"
#include "sums.h"
#include "types.h"
