#ifndef PARAMETERS_H_
#define PARAMETERS_H_

#include "ap_fixed.h"
#include "ap_int.h"

#include "nnet_utils/nnet_code_gen.h"
#include "nnet_utils/nnet_helpers.h"
// hls-fpga-machine-learning insert includes
#include "nnet_utils/nnet_dense.h"
#include "nnet_utils/nnet_dense_compressed.h"
#include "nnet_utils/nnet_dense_stream.h"
#include "nnet_utils/nnet_merge.h"
#include "nnet_utils/nnet_merge_stream.h"

// hls-fpga-machine-learning insert weights
#include "weights/w3.h"
#include "weights/b3.h"
#include "weights/w5.h"
#include "weights/b5.h"


// hls-fpga-machine-learning insert layer-config
// fa
struct config3 : nnet::dense_config {
    static const unsigned n_in = 4;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 16;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef fa_accum_t accum_t;
    typedef fa_bias_t bias_t;
    typedef fa_weight_t weight_t;
    typedef layer3_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// fd
struct config5 : nnet::dense_config {
    static const unsigned n_in = 4;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 16;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef fd_accum_t accum_t;
    typedef fd_bias_t bias_t;
    typedef fd_weight_t weight_t;
    typedef layer5_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// add
struct config6 : nnet::merge_config {
    static const unsigned n_elem = 4;
    static const unsigned n_elem1 = 4;
    static const unsigned n_elem2 = 4;
    static const unsigned reuse_factor = 1;
};

// subtract
struct config7 : nnet::merge_config {
    static const unsigned n_elem = 4;
    static const unsigned n_elem1 = 4;
    static const unsigned n_elem2 = 4;
    static const unsigned reuse_factor = 1;
};

// multiply
struct config8 : nnet::merge_config {
    static const unsigned n_elem = 4;
    static const unsigned n_elem1 = 4;
    static const unsigned n_elem2 = 4;
    static const unsigned reuse_factor = 1;
};

// average
struct config9 : nnet::merge_config {
    static const unsigned n_elem = 4;
    static const unsigned n_elem1 = 4;
    static const unsigned n_elem2 = 4;
    static const unsigned reuse_factor = 1;
};

// maximum
struct config10 : nnet::merge_config {
    static const unsigned n_elem = 4;
    static const unsigned n_elem1 = 4;
    static const unsigned n_elem2 = 4;
    static const unsigned reuse_factor = 1;
};

// minimum
struct config11 : nnet::merge_config {
    static const unsigned n_elem = 4;
    static const unsigned n_elem1 = 4;
    static const unsigned n_elem2 = 4;
    static const unsigned reuse_factor = 1;
};

// concatenate
struct config12 : nnet::concat_config {
    static const unsigned n_elem1_0 = 4;
    static const unsigned n_elem1_1 = 0;
    static const unsigned n_elem1_2 = 0;
    static const unsigned n_elem2_0 = 4;
    static const unsigned n_elem2_1 = 0;
    static const unsigned n_elem2_2 = 0;

    static const int axis = -1;
};



#endif
