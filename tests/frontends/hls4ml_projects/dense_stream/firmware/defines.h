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
typedef nnet::array<ap_fixed<9,4>, 6*1> input_t;
typedef nnet::array<ap_fixed<9,4>, 6*1> input2_t;
typedef ap_fixed<16,6> d0_accum_t;
typedef nnet::array<ap_fixed<16,6>, 3*1> layer3_t;
typedef ap_fixed<16,6> d0_weight_t;
typedef ap_fixed<9,3> d0_bias_t;
typedef ap_uint<1> layer3_index;
typedef ap_fixed<12,5> d1_accum_t;
typedef nnet::array<ap_fixed<10,6>, 3*1> layer4_t;
typedef ap_fixed<8,2> d1_weight_t;
typedef ap_fixed<9,3> d1_bias_t;
typedef ap_uint<1> layer4_index;
typedef ap_fixed<12,5,AP_RND,AP_SAT,0> d2_accum_t;
typedef nnet::array<ap_fixed<10,6,AP_RND,AP_SAT,0>, 3*1> layer5_t;
typedef ap_fixed<8,2> d2_weight_t;
typedef ap_fixed<9,3> d2_bias_t;
typedef ap_uint<1> layer5_index;
typedef ap_fixed<10,4,AP_TRN,AP_SAT,0> d3_accum_t;
typedef nnet::array<ap_fixed<10,6,AP_RND_CONV,AP_WRAP,0>, 3*1> layer6_t;
typedef ap_fixed<6,1,AP_RND,AP_SAT,0> d3_weight_t;
typedef ap_fixed<9,3> d3_bias_t;
typedef ap_uint<1> layer6_index;
typedef ap_fixed<20,8> d4_accum_t;
typedef nnet::array<ap_ufixed<10,6,AP_RND_INF,AP_SAT,0>, 3*1> layer7_t;
typedef ap_fixed<6,1> d4_weight_t;
typedef ap_fixed<9,3> d4_bias_t;
typedef ap_uint<1> layer7_index;
typedef ap_fixed<11,5,AP_RND_ZERO,AP_SAT_SYM,0> d5_accum_t;
typedef nnet::array<ap_fixed<6,3,AP_RND_MIN_INF,AP_SAT_ZERO,0>, 3*1> layer8_t;
typedef ap_fixed<7,2> d5_weight_t;
typedef ap_fixed<9,3> d5_bias_t;
typedef ap_uint<1> layer8_index;
typedef ap_fixed<9,5,AP_RND_CONV,AP_WRAP,0> d6_accum_t;
typedef nnet::array<ap_fixed<8,4,AP_TRN_ZERO,AP_WRAP,0>, 3*1> layer9_t;
typedef ap_fixed<7,2> d6_weight_t;
typedef ap_fixed<9,3> d6_bias_t;
typedef ap_uint<1> layer9_index;
typedef ap_int<12> d7_accum_t;
typedef nnet::array<ap_int<6>, 3*1> layer10_t;
typedef ap_fixed<9,3> d7_weight_t;
typedef ap_fixed<9,3> d7_bias_t;
typedef ap_uint<1> layer10_index;
typedef ap_fixed<10,4,AP_RND_INF,AP_SAT_ZERO,0> d8_accum_t;
typedef nnet::array<ap_fixed<14,5>, 3*1> layer11_t;
typedef ap_fixed<6,2> d8_weight_t;
typedef ap_fixed<9,3> d8_bias_t;
typedef ap_uint<1> layer11_index;
typedef ap_ufixed<10,4,AP_RND,AP_SAT,0> d9_accum_t;
typedef nnet::array<ap_fixed<14,5>, 3*1> layer12_t;
typedef ap_fixed<6,2> d9_weight_t;
typedef ap_fixed<9,3> d9_bias_t;
typedef ap_uint<1> layer12_index;

// hls-fpga-machine-learning insert emulator-defines


#endif
