#pragma once

#include "edge_rows.h"
#include "edge_table.h"
#include "kan_dense.h"
#include "kan_dense_rolled.h"
#include "layer_norm.h"
#include "product.h"
#include "stream_vector.h"

namespace kan4ml {

/// \brief The layer of kan_dense.h between two streams: reads one vector, writes one vector. The numbers are those of
/// kan_dense, which computes them.
///
/// The input may come in any number of beats that divides it (a flattened image comes with its channels side by side);
/// so may the output go.
///
/// \tparam data_T  type of a beat of the input, see read_vector; data_T::value_type as in raw_bits
/// \tparam res_T   type of a beat of the output; Y saturates to the width and sign of res_T::value_type
/// \tparam CONFIG  as in kan_dense
/// \tparam TABLES  types of the tables, which are deduced
///
/// \param x       one sample: n_in / data_T::size beats
/// \param y       gets n_out / res_T::size beats
/// \param tables  tables of kan_dense, in its order
template <class data_T, class res_T, class CONFIG, class... TABLES>
void kan_dense_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    typename data_T::value_type in[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = in complete
    typename res_T::value_type out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
    read_vector<data_T, CONFIG::n_in>(x, in);
    kan_dense<typename data_T::value_type, typename res_T::value_type, CONFIG>(in, out, tables...);
    write_vector<res_T, CONFIG::n_out>(out, y);
}

/// \brief The rolled layer of kan_dense_rolled.h between two streams. Parameters as in kan_dense_stream.
///
/// \tparam CONFIG  as in kan_dense_rolled
template <class data_T, class res_T, class CONFIG, class... TABLES>
void kan_dense_rolled_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    typename data_T::value_type in[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = in complete
    typename res_T::value_type out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
    read_vector<data_T, CONFIG::n_in>(x, in);
    kan_dense_rolled<typename data_T::value_type, typename res_T::value_type, CONFIG>(in, out, tables...);
    write_vector<res_T, CONFIG::n_out>(out, y);
}

/// \brief The layer of edge_table.h between two streams. Parameters as in kan_dense_stream.
///
/// \tparam CONFIG  as in edge_table
template <class data_T, class res_T, class CONFIG, class... TABLES>
void edge_table_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    typename data_T::value_type in[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = in complete
    typename res_T::value_type out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
    read_vector<data_T, CONFIG::n_in>(x, in);
    edge_table<typename data_T::value_type, typename res_T::value_type, CONFIG>(in, out, tables...);
    write_vector<res_T, CONFIG::n_out>(out, y);
}

/// \brief The rolled layer of edge_rows.h between two streams. Parameters as in kan_dense_stream.
///
/// \tparam CONFIG  as in edge_rows
template <class data_T, class res_T, class CONFIG, class... TABLES>
void edge_rows_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    typename data_T::value_type in[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = in complete
    typename res_T::value_type out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
    read_vector<data_T, CONFIG::n_in>(x, in);
    edge_rows<typename data_T::value_type, typename res_T::value_type, CONFIG>(in, out, tables...);
    write_vector<res_T, CONFIG::n_out>(out, y);
}

/// \brief The layer of product.h between two streams. Parameters as in kan_dense_stream.
///
/// \tparam CONFIG  as in product
template <class data_T, class res_T, class CONFIG, class... TABLES>
void product_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    typename data_T::value_type in[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = in complete
    typename res_T::value_type out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
    read_vector<data_T, CONFIG::n_in>(x, in);
    product<typename data_T::value_type, typename res_T::value_type, CONFIG>(in, out, tables...);
    write_vector<res_T, CONFIG::n_out>(out, y);
}

/// \brief The layer of layer_norm.h between two streams. Parameters as in kan_dense_stream.
///
/// \tparam CONFIG  as in layer_norm
template <class data_T, class res_T, class CONFIG, class... TABLES>
void layer_norm_stream(hls::stream<data_T> &x, hls::stream<res_T> &y, const TABLES &...tables) {
    typename data_T::value_type in[CONFIG::n_in];
#pragma HLS ARRAY_PARTITION variable = in complete
    typename res_T::value_type out[CONFIG::n_out];
#pragma HLS ARRAY_PARTITION variable = out complete
    read_vector<data_T, CONFIG::n_in>(x, in);
    layer_norm<typename data_T::value_type, typename res_T::value_type, CONFIG>(in, out, tables...);
    write_vector<res_T, CONFIG::n_out>(out, y);
}

} // namespace kan4ml
