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
#include "weights/w3.h"
#include "weights/b3.h"
#include "weights/w4.h"
#include "weights/b4.h"
#include "weights/w5.h"
#include "weights/b5.h"
#include "weights/w6.h"
#include "weights/b6.h"
#include "weights/w7.h"
#include "weights/b7.h"
#include "weights/w8.h"
#include "weights/b8.h"
#include "weights/w9.h"
#include "weights/b9.h"
#include "weights/w10.h"
#include "weights/b10.h"


// hls-fpga-machine-learning insert layer-config
// d0
struct config3 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d0_accum_t accum_t;
    typedef d0_bias_t bias_t;
    typedef d0_weight_t weight_t;
    typedef layer3_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d1
struct config4 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d1_accum_t accum_t;
    typedef d1_bias_t bias_t;
    typedef d1_weight_t weight_t;
    typedef layer4_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d2
struct config5 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d2_accum_t accum_t;
    typedef d2_bias_t bias_t;
    typedef d2_weight_t weight_t;
    typedef layer5_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d3
struct config6 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d3_accum_t accum_t;
    typedef d3_bias_t bias_t;
    typedef d3_weight_t weight_t;
    typedef layer6_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d4
struct config7 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d4_accum_t accum_t;
    typedef d4_bias_t bias_t;
    typedef d4_weight_t weight_t;
    typedef layer7_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d5
struct config8 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d5_accum_t accum_t;
    typedef d5_bias_t bias_t;
    typedef d5_weight_t weight_t;
    typedef layer8_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d6
struct config9 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d6_accum_t accum_t;
    typedef d6_bias_t bias_t;
    typedef d6_weight_t weight_t;
    typedef layer9_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// d7
struct config10 : nnet::dense_config {
    static const unsigned n_in = 3;
    static const unsigned n_out = 4;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned strategy = nnet::latency;
    static const unsigned reuse_factor = 1;
    static const unsigned n_zeros = 0;
    static const unsigned n_nonzeros = 12;
    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor;
    static const bool store_weights_in_bram = false;
    typedef d7_accum_t accum_t;
    typedef d7_bias_t bias_t;
    typedef d7_weight_t weight_t;
    typedef layer10_index index_t;
    template<class data_T, class res_T, class CONFIG_T>
    using kernel = nnet::DenseLatency<data_T, res_T, CONFIG_T>;
    template<class x_T, class y_T>
    using product = nnet::product::mult<x_T, y_T>;
};

// s0
struct softmax_config11 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::stable;
    static constexpr float exp_scale = 1.0;
    typedef s0_exp_table_t exp_table_t;
    typedef s0_inv_table_t inv_table_t;
    typedef s0_accum_t accum_t;
    typedef s0_inv_inp_t inv_inp_t;
    typedef ap_ufixed<15, 5> inp_norm_t;
};

// s1
struct softmax_config12 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::latency;
    static constexpr float exp_scale = 1.0;
    typedef s1_exp_table_t exp_table_t;
    typedef s1_inv_table_t inv_table_t;
    typedef s1_accum_t accum_t;
    typedef s1_inv_inp_t inv_inp_t;
    typedef ap_fixed<1,0> inp_norm_t;
};

// s2
struct softmax_config13 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::legacy;
    static constexpr float exp_scale = 1.0;
    typedef s2_exp_table_t exp_table_t;
    typedef s2_inv_table_t inv_table_t;
    typedef s2_accum_t accum_t;
    typedef s2_inv_inp_t inv_inp_t;
    typedef ap_fixed<1,0> inp_norm_t;
};

// s3
struct softmax_config14 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::argmax;
    static constexpr float exp_scale = 1.0;
    typedef s3_exp_table_t exp_table_t;
    typedef s3_inv_table_t inv_table_t;
    typedef s3_accum_t accum_t;
    typedef s3_inv_inp_t inv_inp_t;
    typedef ap_fixed<1,0> inp_norm_t;
};

// s4
struct softmax_config15 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::stable;
    static constexpr float exp_scale = 1.0;
    typedef s4_exp_table_t exp_table_t;
    typedef s4_inv_table_t inv_table_t;
    typedef s4_accum_t accum_t;
    typedef s4_inv_inp_t inv_inp_t;
    typedef ap_ufixed<13, 4> inp_norm_t;
};

// s5
struct softmax_config16 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::latency;
    static constexpr float exp_scale = 1.0;
    typedef s5_exp_table_t exp_table_t;
    typedef s5_inv_table_t inv_table_t;
    typedef s5_accum_t accum_t;
    typedef s5_inv_inp_t inv_inp_t;
    typedef ap_fixed<1,0> inp_norm_t;
};

// s6
struct softmax_config17 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::stable;
    static constexpr float exp_scale = 1.0;
    typedef s6_exp_table_t exp_table_t;
    typedef s6_inv_table_t inv_table_t;
    typedef s6_accum_t accum_t;
    typedef s6_inv_inp_t inv_inp_t;
    typedef ap_ufixed<12, 4> inp_norm_t;
};

// s7
struct softmax_config18 : nnet::activ_config {
    static const unsigned n_in = 4;
    static const unsigned n_slice = 4;
    static const unsigned n_outer = 1;
    static const unsigned n_inner = 1;
    static const unsigned parallelization_factor = -1;
    static const unsigned exp_table_size = 128;
    static const unsigned inv_table_size = 128;
    static const unsigned io_type = nnet::io_parallel;
    static const unsigned reuse_factor = 1;
    static const unsigned axis = -1;
    static const nnet::softmax_implementation implementation = nnet::softmax_implementation::legacy;
    static constexpr float exp_scale = 1.0;
    typedef s7_exp_table_t exp_table_t;
    typedef s7_inv_table_t inv_table_t;
    typedef s7_accum_t accum_t;
    typedef s7_inv_inp_t inv_inp_t;
    typedef ap_fixed<1,0> inp_norm_t;
};



#endif
