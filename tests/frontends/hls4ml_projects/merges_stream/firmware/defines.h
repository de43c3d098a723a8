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
typedef nnet::array<ap_fixed<9,5>, 4*1> input_t;
typedef nnet::array<ap_fixed<9,5>, 4*1> input2_t;
typedef ap_fixed<28,14> fa_accum_t;
typedef nnet::array<ap_fixed<11,5,AP_RND,AP_SAT,0>, 4*1> layer3_t;
typedef ap_fixed<16,6> fa_weight_t;
typedef ap_fixed<16,6> fa_bias_t;
typedef ap_uint<1> layer3_index;
typedef nnet::array<ap_fixed<11,5,AP_RND,AP_SAT,0>, 4*1> input4_t;
typedef ap_fixed<28,14> fd_accum_t;
typedef nnet::array<ap_fixed<11,5,AP_RND,AP_SAT,0>, 4*1> layer5_t;
typedef ap_fixed<16,6> fd_weight_t;
typedef ap_fixed<16,6> fd_bias_t;
typedef ap_uint<1> layer5_index;
typedef nnet::array<ap_fixed<9,5>, 4*1> layer6_t;
typedef nnet::array<ap_fixed<11,5,AP_RND,AP_SAT,0>, 4*1> layer7_t;
typedef nnet::array<ap_fixed<9,5>, 4*1> layer8_t;
typedef nnet::array<ap_fixed<9,5>, 4*1> layer9_t;
typedef nnet::array<ap_fixed<9,5>, 4*1> layer10_t;
typedef nnet::array<ap_fixed<9,5>, 4*1> layer11_t;
typedef nnet::array<ap_fixed<9,5>, 8*1> layer12_t;

// hls-fpga-machine-learning insert emulator-defines


#endif
