#ifndef DEFINES_H_
#define DEFINES_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "nnet_utils/nnet_types.h"
#include <array>
#include <cstddef>
#include <cstdio>
#include <tuple>
#include <tuple>


// hls-fpga-machine-learning insert numbers

// hls-fpga-machine-learning insert layer-precision
typedef ap_fixed<16,6> input_t;
typedef ap_fixed<36,16> fc1_accum_t;
typedef ap_fixed<36,16> fc1_result_t;
typedef ap_fixed<16,6> fc1_weight_t;
typedef ap_fixed<16,6> fc1_bias_t;
typedef ap_uint<1> layer2_index;
typedef ap_fixed<16,6> layer3_t;
typedef ap_fixed<18,8> fc1_relu_table_t;
typedef ap_fixed<33,13> bn_result_t;
typedef ap_fixed<16,6> bn_scale_t;
typedef ap_fixed<16,6> bn_bias_t;
typedef ap_fixed<53,23> fc2_accum_t;
typedef ap_fixed<53,23> fc2_result_t;
typedef ap_fixed<16,6> fc2_weight_t;
typedef ap_fixed<16,6> fc2_bias_t;
typedef ap_uint<1> layer5_index;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> sm_accum_t;
typedef ap_fixed<16,6> result_t;
typedef ap_fixed<18,8> sm_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> sm_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> sm_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> sm_inv_inp_t;

// hls-fpga-machine-learning insert emulator-defines


#endif
