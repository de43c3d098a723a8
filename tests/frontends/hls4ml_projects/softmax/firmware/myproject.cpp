#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    input_t x0[3], input2_t x1[3],
    layer11_t layer11_out[4], layer12_t layer12_out[4], layer13_t layer13_out[4], layer14_t layer14_out[4], layer15_t layer15_out[4], layer16_t layer16_out[4], layer17_t layer17_out[4], layer18_t layer18_out[4]
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS ARRAY_RESHAPE variable=x0 complete dim=0
    #pragma HLS ARRAY_RESHAPE variable=x1 complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer11_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer12_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer13_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer14_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer15_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer16_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer17_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer18_out complete dim=0
    #pragma HLS INTERFACE ap_vld port=x0,x1,layer11_out,layer12_out,layer13_out,layer14_out,layer15_out,layer16_out,layer17_out,layer18_out 
    #pragma HLS PIPELINE

    // hls-fpga-machine-learning insert load weights
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        nnet::load_weights_from_txt<d0_weight_t, 12>(w3, "w3.txt");
        nnet::load_weights_from_txt<d0_bias_t, 4>(b3, "b3.txt");
        nnet::load_weights_from_txt<d1_weight_t, 12>(w4, "w4.txt");
        nnet::load_weights_from_txt<d1_bias_t, 4>(b4, "b4.txt");
        nnet::load_weights_from_txt<d2_weight_t, 12>(w5, "w5.txt");
        nnet::load_weights_from_txt<d2_bias_t, 4>(b5, "b5.txt");
        nnet::load_weights_from_txt<d3_weight_t, 12>(w6, "w6.txt");
        nnet::load_weights_from_txt<d3_bias_t, 4>(b6, "b6.txt");
        nnet::load_weights_from_txt<d4_weight_t, 12>(w7, "w7.txt");
        nnet::load_weights_from_txt<d4_bias_t, 4>(b7, "b7.txt");
        nnet::load_weights_from_txt<d5_weight_t, 12>(w8, "w8.txt");
        nnet::load_weights_from_txt<d5_bias_t, 4>(b8, "b8.txt");
        nnet::load_weights_from_txt<d6_weight_t, 12>(w9, "w9.txt");
        nnet::load_weights_from_txt<d6_bias_t, 4>(b9, "b9.txt");
        nnet::load_weights_from_txt<d7_weight_t, 12>(w10, "w10.txt");
        nnet::load_weights_from_txt<d7_bias_t, 4>(b10, "b10.txt");
        loaded_weights = true;    }
#endif
    // ****************************************
    // NETWORK INSTANTIATION
    // ****************************************

    // hls-fpga-machine-learning insert layers

    layer3_t layer3_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer3_out complete dim=0

    layer4_t layer4_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer4_out complete dim=0

    layer5_t layer5_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer5_out complete dim=0

    layer6_t layer6_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer6_out complete dim=0

    layer7_t layer7_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer7_out complete dim=0

    layer8_t layer8_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer8_out complete dim=0

    layer9_t layer9_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer9_out complete dim=0

    layer10_t layer10_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer10_out complete dim=0

    nnet::dense<input_t, layer3_t, config3>(x0, layer3_out, w3, b3); // d0

    nnet::dense<input_t, layer4_t, config4>(x0, layer4_out, w4, b4); // d1

    nnet::dense<input_t, layer5_t, config5>(x0, layer5_out, w5, b5); // d2

    nnet::dense<input_t, layer6_t, config6>(x0, layer6_out, w6, b6); // d3

    nnet::dense<input_t, layer7_t, config7>(x0, layer7_out, w7, b7); // d4

    nnet::dense<input2_t, layer8_t, config8>(x1, layer8_out, w8, b8); // d5

    nnet::dense<input2_t, layer9_t, config9>(x1, layer9_out, w9, b9); // d6

    nnet::dense<input2_t, layer10_t, config10>(x1, layer10_out, w10, b10); // d7

    nnet::softmax<layer3_t, layer11_t, softmax_config11>(layer3_out, layer11_out); // s0

    nnet::softmax<layer4_t, layer12_t, softmax_config12>(layer4_out, layer12_out); // s1

    nnet::softmax<layer5_t, layer13_t, softmax_config13>(layer5_out, layer13_out); // s2

    nnet::softmax<layer6_t, layer14_t, softmax_config14>(layer6_out, layer14_out); // s3

    nnet::softmax<layer7_t, layer15_t, softmax_config15>(layer7_out, layer15_out); // s4

    nnet::softmax<layer8_t, layer16_t, softmax_config16>(layer8_out, layer16_out); // s5

    nnet::softmax<layer9_t, layer17_t, softmax_config17>(layer9_out, layer17_out); // s6

    nnet::softmax<layer10_t, layer18_t, softmax_config18>(layer10_out, layer18_out); // s7

}

