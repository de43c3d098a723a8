#ifndef PARAMETERS_H_
#define PARAMETERS_H_

#include "ap_fixed.h"
#include "ap_int.h"

#include "nnet_utils/nnet_code_gen.h"
#include "nnet_utils/nnet_helpers.h"
// hls-fpga-machine-learning insert includes
#include "nnet_utils/nnet_activation.h"
#include "nnet_utils/nnet_activation_stream.h"
#include "nnet_utils/nnet_dense.h"
#include "nnet_utils/nnet_dense_compressed.h"
#include "nnet_utils/nnet_dense_stream.h"

// hls-fpga-machine-learning insert weights
#include "weights/w2.h"
#include "weights/b2.h"
#include "weights/w3.h"
#include "weights/b3.h"
#include "weights/w4.h"
#include "weights/b4.h"
#include "weights/a16.h"


// hls-fpga-machine-learning insert layer-config
// fc0
struct config2 : nnet::dense_config {
    static const unsigned n_in = 5;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 20;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef fc0_accum_t accum_t;
    typedef fc0_bias_t bias_t;
    typedef fc0_weight_t weight_t;
    typedef layer2_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// fc1
struct config3 : nnet::dense_config {
    static const unsigned n_in = 5;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 20;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef fc1_accum_t accum_t;
    typedef fc1_bias_t bias_t;
    typedef fc1_weight_t weight_t;
    typedef layer3_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// fc2
struct config4 : nnet::dense_config {
    static const unsigned n_in = 5;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 20;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef fc2_accum_t accum_t;
    typedef fc2_bias_t bias_t;
    typedef fc2_weight_t weight_t;
    typedef layer4_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// a_sigmoid
struct sigmoid_config5 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_sigmoid_table_t table_t;
};

// a_tanh
struct tanh_config6 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_tanh_table_t table_t;
};

// a_softplus
struct softplus_config7 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_softplus_table_t table_t;
};

// a_softsign
struct softsign_config8 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_softsign_table_t table_t;
};

// a_relu
struct relu_config9 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_relu_table_t table_t;
};

// a_elu
struct elu_config10 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_elu_table_t table_t;
    typedef a_elu_param_t param_t;
};

// a_selu
struct selu_config11 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_selu_table_t table_t;
};

// a_hard_sigmoid
struct hard_sigmoid_config12 {
    static const unsigned n_in = 4;
    static const slope12_t slope;
    static const shift12_t shift;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
};
const slope12_t hard_sigmoid_config12::slope = 0.2;
const shift12_t hard_sigmoid_config12::shift = 0.5;

// a_linear
struct linear_config13 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_linear_table_t table_t;
};

// a_leaky
struct leakyrelu_config14 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_leaky_table_t table_t;
    typedef a_leaky_param_t param_t;
};

// a_elu2
struct elu_config15 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_elu2_table_t table_t;
    typedef a_elu2_param_t param_t;
};

// a_prelu
struct prelu_config16 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned table_size = 256;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    typedef a_prelu_table_t table_t;
    typedef a_prelu_param_t param_t;
};



#endif
