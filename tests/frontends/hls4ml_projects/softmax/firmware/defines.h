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
typedef ap_fixed<16,6> input2_t;
typedef ap_fixed<35,15> d0_accum_t;
typedef ap_fixed<16,6> layer3_t;
typedef ap_fixed<16,6> d0_weight_t;
typedef ap_fixed<16,6> d0_bias_t;
typedef ap_uint<1> layer3_index;
typedef ap_fixed<35,15> d1_accum_t;
typedef ap_fixed<12,4> layer4_t;
typedef ap_fixed<16,6> d1_weight_t;
typedef ap_fixed<16,6> d1_bias_t;
typedef ap_uint<1> layer4_index;
typedef ap_fixed<35,15> d2_accum_t;
typedef ap_fixed<10,5> layer5_t;
typedef ap_fixed<16,6> d2_weight_t;
typedef ap_fixed<16,6> d2_bias_t;
typedef ap_uint<1> layer5_index;
typedef ap_fixed<35,15> d3_accum_t;
typedef ap_fixed<16,6> layer6_t;
typedef ap_fixed<16,6> d3_weight_t;
typedef ap_fixed<16,6> d3_bias_t;
typedef ap_uint<1> layer6_index;
typedef ap_fixed<35,15> d4_accum_t;
typedef ap_fixed<14,5,AP_RND,AP_SAT,0> layer7_t;
typedef ap_fixed<16,6> d4_weight_t;
typedef ap_fixed<16,6> d4_bias_t;
typedef ap_uint<1> layer7_index;
typedef ap_fixed<35,15> d5_accum_t;
typedef ap_fixed<11,3> layer8_t;
typedef ap_fixed<16,6> d5_weight_t;
typedef ap_fixed<16,6> d5_bias_t;
typedef ap_uint<1> layer8_index;
typedef ap_fixed<35,15> d6_accum_t;
typedef ap_ufixed<12,4> layer9_t;
typedef ap_fixed<16,6> d6_weight_t;
typedef ap_fixed<16,6> d6_bias_t;
typedef ap_uint<1> layer9_index;
typedef ap_fixed<35,15> d7_accum_t;
typedef ap_fixed<16,6> layer10_t;
typedef ap_fixed<16,6> d7_weight_t;
typedef ap_fixed<16,6> d7_bias_t;
typedef ap_uint<1> layer10_index;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s0_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer11_t;
typedef ap_fixed<18,8> s0_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s0_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s0_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s0_inv_inp_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s1_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer12_t;
typedef ap_fixed<18,8> s1_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s1_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s1_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s1_inv_inp_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s2_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer13_t;
typedef ap_fixed<18,8> s2_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s2_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s2_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s2_inv_inp_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s3_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer14_t;
typedef ap_fixed<18,8> s3_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s3_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s3_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s3_inv_inp_t;
typedef ap_fixed<14,4> s4_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer15_t;
typedef ap_fixed<18,8> s4_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s4_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s4_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s4_inv_inp_t;
typedef ap_ufixed<14,7,AP_TRN,AP_SAT,0> s5_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer16_t;
typedef ap_fixed<18,8> s5_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s5_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s5_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s5_inv_inp_t;
typedef ap_fixed<10,3,AP_RND,AP_SAT,0> s6_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer17_t;
typedef ap_fixed<18,8> s6_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s6_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s6_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s6_inv_inp_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s7_accum_t;
typedef ap_ufixed<12,1,AP_RND,AP_SAT,0> layer18_t;
typedef ap_fixed<18,8> s7_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s7_exp_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s7_inv_table_t;
typedef ap_fixed<18,8,AP_RND,AP_SAT,0> s7_inv_inp_t;

// hls-fpga-machine-learning insert emulator-defines


#endif
