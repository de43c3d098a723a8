#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    input_t x[5],
    layer5_t layer5_out[4], layer6_t layer6_out[4], layer7_t layer7_out[4], layer8_t layer8_out[4], layer9_t layer9_out[4], layer10_t layer10_out[4], layer11_t layer11_out[4], layer12_t layer12_out[4], layer13_t layer13_out[4], layer14_t layer14_out[4], layer15_t layer15_out[4], layer16_t layer16_out[4]
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS ARRAY_RESHAPE variable=x complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer5_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer6_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer7_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer8_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer9_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer10_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer11_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer12_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer13_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer14_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer15_out complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer16_out complete dim=0
    #pragma HLS INTERFACE ap_vld port=x,layer5_out,layer6_out,layer7_out,layer8_out,layer9_out,layer10_out,layer11_out,layer12_out,layer13_out,layer14_out,layer15_out,layer16_out 
    #pragma HLS PIPELINE

    // hls-fpga-machine-learning insert load weights
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        nnet::load_weights_from_txt<fc0_weight_t, 20>(w2, "w2.txt");
        nnet::load_weights_from_txt<fc0_bias_t, 4>(b2, "b2.txt");
        nnet::load_weights_from_txt<fc1_weight_t, 20>(w3, "w3.txt");
        nnet::load_weights_from_txt<fc1_bias_t, 4>(b3, "b3.txt");
        nnet::load_weights_from_txt<fc2_weight_t, 20>(w4, "w4.txt");
        nnet::load_weights_from_txt<fc2_bias_t, 4>(b4, "b4.txt");
        nnet::load_weights_from_txt<a_prelu_param_t, 4>(a16, "a16.txt");
        loaded_weights = true;    }
#endif
    // ****************************************
    // NETWORK INSTANTIATION
    // ****************************************

    // hls-fpga-machine-learning insert layers

    layer2_t layer2_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer2_out complete dim=0

    layer3_t layer3_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer3_out complete dim=0

    layer4_t layer4_out[4];
    #pragma HLS ARRAY_PARTITION variable=layer4_out complete dim=0

    nnet::dense<input_t, layer2_t, config2>(x, layer2_out, w2, b2); // fc0

    nnet::dense<input_t, layer3_t, config3>(x, layer3_out, w3, b3); // fc1

    nnet::dense<input_t, layer4_t, config4>(x, layer4_out, w4, b4); // fc2

    nnet::sigmoid<layer2_t, layer5_t, sigmoid_config5>(layer2_out, layer5_out); // a_sigmoid

    nnet::tanh<layer2_t, layer6_t, tanh_config6>(layer2_out, layer6_out); // a_tanh

    nnet::softplus<layer2_t, layer7_t, softplus_config7>(layer2_out, layer7_out); // a_softplus

    nnet::softsign<layer2_t, layer8_t, softsign_config8>(layer2_out, layer8_out); // a_softsign

    nnet::relu<layer2_t, layer9_t, relu_config9>(layer2_out, layer9_out); // a_relu

    nnet::elu<layer3_t, a_elu_param_t, layer10_t, elu_config10>(layer3_out, 1.0, layer10_out); // a_elu

    nnet::selu<layer3_t, layer11_t, selu_config11>(layer3_out, layer11_out); // a_selu

    nnet::hard_sigmoid<layer3_t, layer12_t, hard_sigmoid_config12>(layer3_out, layer12_out); // a_hard_sigmoid

    nnet::linear<layer3_t, layer13_t, linear_config13>(layer3_out, layer13_out); // a_linear

    nnet::leaky_relu<layer4_t, a_leaky_param_t, layer14_t, leakyrelu_config14>(layer4_out, 0.3, layer14_out); // a_leaky

    nnet::elu<layer4_t, a_elu2_param_t, layer15_t, elu_config15>(layer4_out, 0.7, layer15_out); // a_elu2

    nnet::prelu<layer4_t, a_prelu_param_t, layer16_t, prelu_config16>(layer4_out, a16, layer16_out); // a_prelu

}

