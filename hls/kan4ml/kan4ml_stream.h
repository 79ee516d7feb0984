#pragma once

// The library for io_stream: kan4ml.h, and the same layers between streams. Needs hls_stream.h beside ap_types.

#include "conv_stream.h"
#include "dense_stream.h"
#include "kan4ml.h"
#include "line_buffer.h"
#include "stream_vector.h"
