#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    input_t a[4], input4_t b[4], input2_t c[4],
    layer6_t layer6_out[4], layer7_t layer7_out[4], layer8_t layer8_out[4], layer9_t layer9_out[4], layer10_t layer10_out[4], layer11_t layer11_out[4], layer12_t layer12_out[8]
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS ARRAY_RESHAPE variable=a complete dim=0
    #pragma HLS ARRAY_RESHAPE variable=b complete dim=0
    #pragma HLS ARRAY_RESHAPE variable=c complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer6_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer7_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer8_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer9_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer10_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer11_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer12_out complete dim=0
    #pragma HLS INTERFACE ap_vld port=a,b,c,layer6_out,layer7_out,layer8_out,layer9_out,layer10_out,layer11_out,layer12_out 
    #pragma HLS PIPELINE

    // hls-fpga-machine-learning insert load weights
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        nnet::load_weights_from_txt<fa_weight_t, 16>(w3, "w3.txt");
        nnet::load_weights_from_txt<fa_bias_t, 4>(b3, "b3.txt");
        nnet::load_weights_from_txt<fd_weight_t, 16>(w5, "w5.txt");
        nnet::load_weights_from_txt<fd_bias_t, 4>(b5, "b5.txt");
        loaded_weights = true;    }
#endif
    // ****************************************
    // NETWORK INSTANTIATION
    // ****************************************

    // hls-fpga-machine-learning insert layers

    layer3_t layer3_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer3_out complete dim=0

    layer5_t layer5_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer5_out complete dim=0

    nnet::dense<input_t, layer3_t, config3>(a, layer3_out, w3, b3); // fa

    nnet::dense<input2_t, layer5_t, config5>(c, layer5_out, w5, b5); // fd

    nnet::add<layer3_t, input4_t, layer6_t, config6>(layer3_out, b, layer6_out); // add

    nnet::subtract<layer3_t, input4_t, layer7_t, config7>(layer3_out, b, layer7_out); // subtract

    nnet::multiply<layer3_t, input4_t, layer8_t, config8>(layer3_out, b, layer8_out); // multiply

    nnet::average<layer3_t, input4_t, layer9_t, config9>(layer3_out, b, layer9_out); // average

    nnet::maximum<layer5_t, input2_t, layer10_t, config10>(layer5_out, c, layer10_out); // maximum

    nnet::minimum<layer5_t, input2_t, layer11_t, config11>(layer5_out, c, layer11_out); // minimum

    nnet::concatenate1d<layer5_t, input2_t, layer12_t, config12>(layer5_out, c, layer12_out); // concatenate

}

