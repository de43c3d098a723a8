#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    input_t x0[6], input2_t x1[6],
    layer3_t layer3_out[3], layer4_t layer4_out[3], layer5_t layer5_out[3], layer6_t layer6_out[3], layer7_t layer7_out[3], layer8_t layer8_out[3], layer9_t layer9_out[3], layer10_t layer10_out[3], layer11_t layer11_out[3], layer12_t layer12_out[3]
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS ARRAY_RESHAPE variable=x0 complete dim=0
    #pragma HLS ARRAY_RESHAPE variable=x1 complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer3_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer4_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer5_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer6_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer7_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer8_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer9_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer10_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer11_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer12_out complete dim=0
    #pragma HLS INTERFACE ap_vld port=x0,x1,layer3_out,layer4_out,layer5_out,layer6_out,layer7_out,layer8_out,layer9_out,layer10_out,layer11_out,layer12_out 
    #pragma HLS DATAFLOW

    // hls-fpga-machine-learning insert load weights
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        nnet::load_weights_from_txt<d0_weight_t, 18>(w3, "w3.txt");
        nnet::load_weights_from_txt<d0_bias_t, 3>(b3, "b3.txt");
        nnet::load_weights_from_txt<d1_weight_t, 18>(w4, "w4.txt");
        nnet::load_weights_from_txt<d1_bias_t, 3>(b4, "b4.txt");
        nnet::load_weights_from_txt<d2_weight_t, 18>(w5, "w5.txt");
        nnet::load_weights_from_txt<d2_bias_t, 3>(b5, "b5.txt");
        nnet::load_weights_from_txt<d3_weight_t, 18>(w6, "w6.txt");
        nnet::load_weights_from_txt<d3_bias_t, 3>(b6, "b6.txt");
        nnet::load_weights_from_txt<d4_weight_t, 18>(w7, "w7.txt");
        nnet::load_weights_from_txt<d4_bias_t, 3>(b7, "b7.txt");
        nnet::load_weights_from_txt<d5_weight_t, 18>(w8, "w8.txt");
        nnet::load_weights_from_txt<d5_bias_t, 3>(b8, "b8.txt");
        nnet::load_weights_from_txt<d6_weight_t, 18>(w9, "w9.txt");
        nnet::load_weights_from_txt<d6_bias_t, 3>(b9, "b9.txt");
        nnet::load_weights_from_txt<d7_weight_t, 18>(w10, "w10.txt");
        nnet::load_weights_from_txt<d7_bias_t, 3>(b10, "b10.txt");
        nnet::load_weights_from_txt<d8_weight_t, 18>(w11, "w11.txt");
        nnet::load_weights_from_txt<d8_bias_t, 3>(b11, "b11.txt");
        nnet::load_weights_from_txt<d9_weight_t, 18>(w12, "w12.txt");
        nnet::load_weights_from_txt<d9_bias_t, 3>(b12, "b12.txt");
        loaded_weights = true;    }
#endif
    // ****************************************
    // NETWORK INSTANTIATION
    // ****************************************

    // hls-fpga-machine-learning insert layers

    nnet::dense<input_t, layer3_t, config3>(x0, layer3_out, w3, b3); // d0

    nnet::dense<input_t, layer4_t, config4>(x0, layer4_out, w4, b4); // d1

    nnet::dense<input_t, layer5_t, config5>(x0, layer5_out, w5, b5); // d2

    nnet::dense<input_t, layer6_t, config6>(x0, layer6_out, w6, b6); // d3

    nnet::dense<input_t, layer7_t, config7>(x0, layer7_out, w7, b7); // d4

    nnet::dense<input2_t, layer8_t, config8>(x1, layer8_out, w8, b8); // d5

    nnet::dense<input2_t, layer9_t, config9>(x1, layer9_out, w9, b9); // d6

    nnet::dense<input2_t, layer10_t, config10>(x1, layer10_out, w10, b10); // d7

    nnet::dense<input2_t, layer11_t, config11>(x1, layer11_out, w11, b11); // d8

    nnet::dense<input2_t, layer12_t, config12>(x1, layer12_out, w12, b12); // d9

}

