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
typedef ap_fixed<36,16> fc0_accum_t;
typedef ap_ufixed<10,4,AP_RND,AP_SAT,0> layer2_t;
typedef ap_fixed<16,6> fc0_weight_t;
typedef ap_fixed<16,6> fc0_bias_t;
typedef ap_uint<1> layer2_index;
typedef ap_fixed<36,16> fc1_accum_t;
typedef ap_ufixed<10,4,AP_RND,AP_SAT,0> layer3_t;
typedef ap_fixed<16,6> fc1_weight_t;
typedef ap_fixed<16,6> fc1_bias_t;
typedef ap_uint<1> layer3_index;
typedef ap_fixed<36,16> fc2_accum_t;
typedef ap_ufixed<10,4,AP_RND,AP_SAT,0> layer4_t;
typedef ap_fixed<16,6> fc2_weight_t;
typedef ap_fixed<16,6> fc2_bias_t;
typedef ap_uint<1> layer4_index;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer5_t;
typedef ap_fixed<18,8> a_sigmoid_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer6_t;
typedef ap_fixed<18,8> a_tanh_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer7_t;
typedef ap_fixed<18,8> a_softplus_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer8_t;
typedef ap_fixed<18,8> a_softsign_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer9_t;
typedef ap_fixed<18,8> a_relu_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer10_t;
typedef ap_ufixed<1,1> a_elu_param_t;
typedef ap_fixed<18,8> a_elu_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer11_t;
typedef ap_fixed<18,8> a_selu_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer12_t;
typedef ap_ufixed<16,0> slope12_t;
typedef ap_ufixed<2,0> shift12_t;
typedef ap_fixed<18,8> a_hard_sigmoid_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer13_t;
typedef ap_fixed<18,8> a_linear_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer14_t;
typedef ap_ufixed<8,-1> a_leaky_param_t;
typedef ap_fixed<18,8> a_leaky_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer15_t;
typedef ap_ufixed<8,0> a_elu2_param_t;
typedef ap_fixed<18,8> a_elu2_table_t;
typedef ap_fixed<9,4,AP_RND_CONV,AP_SAT,0> layer16_t;
typedef ap_ufixed<10,4,AP_RND,AP_SAT,0> a_prelu_param_t;
typedef ap_fixed<18,8> a_prelu_table_t;

// hls-fpga-machine-learning insert emulator-defines


#endif
