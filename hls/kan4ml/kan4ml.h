#pragma once

// The whole library: dense KAN layers for io_parallel, from the coder to the rescale.

#include "base_table.h"
#include "bspline_rom.h"
#include "coder.h"
#include "edge_table.h"
#include "kan_dense.h"
#include "mac_array.h"
#include "rescale.h"
#include "types.h"
