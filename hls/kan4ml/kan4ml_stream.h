#pragma once

// The library for io_stream: kan4ml.h, and the same layers between streams. Needs hls_stream.h beside ap_types.

#include "dense_stream.h"
#include "kan4ml.h"
#include "stream_vector.h"
