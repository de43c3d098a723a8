#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    hls::stream<input_t> &x,
    hls::stream<layer5_t> &layer5_out, hls::stream<layer6_t> &layer6_out, hls::stream<layer7_t> &layer7_out, hls::stream<layer8_t> &layer8_out, hls::stream<layer9_t> &layer9_out, hls::stream<layer10_t> &layer10_out, hls::stream<layer11_t> &layer11_out, hls::stream<layer12_t> &layer12_out, hls::stream<layer13_t> &layer13_out, hls::stream<layer14_t> &layer14_out, hls::stream<layer15_t> &layer15_out, hls::stream<layer16_t> &layer16_out
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS INTERFACE axis port=x,layer5_out,layer6_out,layer7_out,layer8_out,layer9_out,layer10_out,layer11_out,layer12_out,layer13_out,layer14_out,layer15_out,layer16_out 
    #pragma HLS DATAFLOW

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

    hls::stream<input_t> layer17_cpy1("layer17_cpy1");
    #pragma HLS STREAM variable=layer17_cpy1 depth=1

    hls::stream<input_t> layer17_cpy2("layer17_cpy2");
    #pragma HLS STREAM variable=layer17_cpy2 depth=1

    hls::stream<input_t> layer17_cpy3("layer17_cpy3");
    #pragma HLS STREAM variable=layer17_cpy3 depth=1

    hls::stream<layer2_t> layer2_out("layer2_out");
    #pragma HLS STREAM variable=layer2_out depth=1

    hls::stream<layer2_t> layer18_cpy1("layer18_cpy1");
    #pragma HLS STREAM variable=layer18_cpy1 depth=1

    hls::stream<layer2_t> layer18_cpy2("layer18_cpy2");
    #pragma HLS STREAM variable=layer18_cpy2 depth=1

    hls::stream<layer2_t> layer18_cpy3("layer18_cpy3");
    #pragma HLS STREAM variable=layer18_cpy3 depth=1

    hls::stream<layer2_t> layer18_cpy4("layer18_cpy4");
    #pragma HLS STREAM variable=layer18_cpy4 depth=1

    hls::stream<layer2_t> layer18_cpy5("layer18_cpy5");
    #pragma HLS STREAM variable=layer18_cpy5 depth=1

    hls::stream<layer3_t> layer3_out("layer3_out");
    #pragma HLS STREAM variable=layer3_out depth=1

    hls::stream<layer3_t> layer19_cpy1("layer19_cpy1");
    #pragma HLS STREAM variable=layer19_cpy1 depth=1

    hls::stream<layer3_t> layer19_cpy2("layer19_cpy2");
    #pragma HLS STREAM variable=layer19_cpy2 depth=1

    hls::stream<layer3_t> layer19_cpy3("layer19_cpy3");
    #pragma HLS STREAM variable=layer19_cpy3 depth=1

    hls::stream<layer3_t> layer19_cpy4("layer19_cpy4");
    #pragma HLS STREAM variable=layer19_cpy4 depth=1

    hls::stream<layer4_t> layer4_out("layer4_out");
    #pragma HLS STREAM variable=layer4_out depth=1

    hls::stream<layer4_t> layer20_cpy1("layer20_cpy1");
    #pragma HLS STREAM variable=layer20_cpy1 depth=1

    hls::stream<layer4_t> layer20_cpy2("layer20_cpy2");
    #pragma HLS STREAM variable=layer20_cpy2 depth=1

    hls::stream<layer4_t> layer20_cpy3("layer20_cpy3");
    #pragma HLS STREAM variable=layer20_cpy3 depth=1

    nnet::clone_stream<input_t, input_t, 5>(x, layer17_cpy1, layer17_cpy2, layer17_cpy3); // clone_x

    nnet::dense<input_t, layer2_t, config2>(layer17_cpy1, layer2_out, w2, b2); // fc0

    nnet::clone_stream<layer2_t, layer2_t, 4>(layer2_out, layer18_cpy1, layer18_cpy2, layer18_cpy3, layer18_cpy4, layer18_cpy5); // clone_fc0

    nnet::dense<input_t, layer3_t, config3>(layer17_cpy2, layer3_out, w3, b3); // fc1

    nnet::clone_stream<layer3_t, layer3_t, 4>(layer3_out, layer19_cpy1, layer19_cpy2, layer19_cpy3, layer19_cpy4); // clone_fc1

    nnet::dense<input_t, layer4_t, config4>(layer17_cpy3, layer4_out, w4, b4); // fc2

    nnet::clone_stream<layer4_t, layer4_t, 4>(layer4_out, layer20_cpy1, layer20_cpy2, layer20_cpy3); // clone_fc2

    nnet::sigmoid<layer2_t, layer5_t, sigmoid_config5>(layer18_cpy1, layer5_out); // a_sigmoid

    nnet::tanh<layer2_t, layer6_t, tanh_config6>(layer18_cpy2, layer6_out); // a_tanh

    nnet::softplus<layer2_t, layer7_t, softplus_config7>(layer18_cpy3, layer7_out); // a_softplus

    nnet::softsign<layer2_t, layer8_t, softsign_config8>(layer18_cpy4, layer8_out); // a_softsign

    nnet::relu<layer2_t, layer9_t, relu_config9>(layer18_cpy5, layer9_out); // a_relu

    nnet::elu<layer3_t, a_elu_param_t, layer10_t, elu_config10>(layer19_cpy1, 1.0, layer10_out); // a_elu

    nnet::selu<layer3_t, layer11_t, selu_config11>(layer19_cpy2, layer11_out); // a_selu

    nnet::hard_sigmoid<layer3_t, layer12_t, hard_sigmoid_config12>(layer19_cpy3, layer12_out); // a_hard_sigmoid

    nnet::linear<layer3_t, layer13_t, linear_config13>(layer19_cpy4, layer13_out); // a_linear

    nnet::leaky_relu<layer4_t, a_leaky_param_t, layer14_t, leakyrelu_config14>(layer20_cpy1, 0.3, layer14_out); // a_leaky

    nnet::elu<layer4_t, a_elu2_param_t, layer15_t, elu_config15>(layer20_cpy2, 0.7, layer15_out); // a_elu2

    nnet::prelu<layer4_t, a_prelu_param_t, layer16_t, prelu_config16>(layer20_cpy3, a16, layer16_out); // a_prelu

}

