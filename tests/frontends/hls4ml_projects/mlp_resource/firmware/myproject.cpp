#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    input_t x[8],
    result_t layer6_out[3]
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS ARRAY_RESHAPE variable=x complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer6_out complete dim=0
    #pragma HLS INTERFACE ap_vld port=x,layer6_out 
    #pragma HLS DATAFLOW

    // hls-fpga-machine-learning insert load weights
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        nnet::load_weights_from_txt<fc1_weight_t, 48>(w2, "w2.txt");
        nnet::load_weights_from_txt<fc1_bias_t, 6>(b2, "b2.txt");
        nnet::load_weights_from_txt<bn_scale_t, 6>(s4, "s4.txt");
        nnet::load_weights_from_txt<bn_bias_t, 6>(b4, "b4.txt");
        nnet::load_weights_from_txt<fc2_weight_t, 18>(w5, "w5.txt");
        nnet::load_weights_from_txt<fc2_bias_t, 3>(b5, "b5.txt");
        loaded_weights = true;    }
#endif
    // ****************************************
    // NETWORK INSTANTIATION
    // ****************************************

    // hls-fpga-machine-learning insert layers

    fc1_result_t layer2_out[6];
    #pragma HLS ARRAY_PARTITION variable=layer2_out complete dim=0

    layer3_t layer3_out[6];
    #pragma HLS ARRAY_PARTITION variable=layer3_out complete dim=0

    bn_result_t layer4_out[6];
    #pragma HLS ARRAY_PARTITION variable=layer4_out complete dim=0

    fc2_result_t layer5_out[3];
    #pragma HLS ARRAY_PARTITION variable=layer5_out complete dim=0

    nnet::dense<input_t, fc1_result_t, config2>(x, layer2_out, w2, b2); // fc1

    nnet::relu<fc1_result_t, layer3_t, relu_config3>(layer2_out, layer3_out); // fc1_relu

    nnet::normalize<layer3_t, bn_result_t, config4>(layer3_out, layer4_out, s4, b4); // bn

    nnet::dense<bn_result_t, fc2_result_t, config5>(layer4_out, layer5_out, w5, b5); // fc2

    nnet::softmax<fc2_result_t, result_t, softmax_config6>(layer5_out, layer6_out); // sm

}

