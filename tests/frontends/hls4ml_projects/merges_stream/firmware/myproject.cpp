#include <iostream>

#include "myproject.h"
#include "parameters.h"


void myproject(
    hls::stream<input_t> &a, hls::stream<input4_t> &b, hls::stream<input2_t> &c,
    hls::stream<layer6_t> &layer6_out, hls::stream<layer7_t> &layer7_out, hls::stream<layer8_t> &layer8_out, hls::stream<layer9_t> &layer9_out, hls::stream<layer10_t> &layer10_out, hls::stream<layer11_t> &layer11_out, hls::stream<layer12_t> &layer12_out
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS INTERFACE axis port=a,b,c,layer6_out,layer7_out,layer8_out,layer9_out,layer10_out,layer11_out,layer12_out 
    #pragma HLS DATAFLOW

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

    hls::stream<input2_t> layer13_cpy1("layer13_cpy1");
    #pragma HLS STREAM variable=layer13_cpy1 depth=1

    hls::stream<input2_t> layer13_cpy2("layer13_cpy2");
    #pragma HLS STREAM variable=layer13_cpy2 depth=1

    hls::stream<input2_t> layer13_cpy3("layer13_cpy3");
    #pragma HLS STREAM variable=layer13_cpy3 depth=1

    hls::stream<input2_t> layer13_cpy4("layer13_cpy4");
    #pragma HLS STREAM variable=layer13_cpy4 depth=1

    hls::stream<layer3_t> layer3_out("layer3_out");
    #pragma HLS STREAM variable=layer3_out depth=1

    hls::stream<layer3_t> layer14_cpy1("layer14_cpy1");
    #pragma HLS STREAM variable=layer14_cpy1 depth=1

    hls::stream<layer3_t> layer14_cpy2("layer14_cpy2");
    #pragma HLS STREAM variable=layer14_cpy2 depth=1

    hls::stream<layer3_t> layer14_cpy3("layer14_cpy3");
    #pragma HLS STREAM variable=layer14_cpy3 depth=1

    hls::stream<layer3_t> layer14_cpy4("layer14_cpy4");
    #pragma HLS STREAM variable=layer14_cpy4 depth=1

    hls::stream<input4_t> layer15_cpy1("layer15_cpy1");
    #pragma HLS STREAM variable=layer15_cpy1 depth=1

    hls::stream<input4_t> layer15_cpy2("layer15_cpy2");
    #pragma HLS STREAM variable=layer15_cpy2 depth=1

    hls::stream<input4_t> layer15_cpy3("layer15_cpy3");
    #pragma HLS STREAM variable=layer15_cpy3 depth=1

    hls::stream<input4_t> layer15_cpy4("layer15_cpy4");
    #pragma HLS STREAM variable=layer15_cpy4 depth=1

    hls::stream<layer5_t> layer5_out("layer5_out");
    #pragma HLS STREAM variable=layer5_out depth=1

    hls::stream<layer5_t> layer16_cpy1("layer16_cpy1");
    #pragma HLS STREAM variable=layer16_cpy1 depth=1

    hls::stream<layer5_t> layer16_cpy2("layer16_cpy2");
    #pragma HLS STREAM variable=layer16_cpy2 depth=1

    hls::stream<layer5_t> layer16_cpy3("layer16_cpy3");
    #pragma HLS STREAM variable=layer16_cpy3 depth=1

    nnet::clone_stream<input2_t, input2_t, 4>(c, layer13_cpy1, layer13_cpy2, layer13_cpy3, layer13_cpy4); // clone_c

    nnet::dense<input_t, layer3_t, config3>(a, layer3_out, w3, b3); // fa

    nnet::clone_stream<layer3_t, layer3_t, 4>(layer3_out, layer14_cpy1, layer14_cpy2, layer14_cpy3, layer14_cpy4); // clone_fa

    nnet::clone_stream<input4_t, input4_t, 4>(b, layer15_cpy1, layer15_cpy2, layer15_cpy3, layer15_cpy4); // clone_b

    nnet::dense<input2_t, layer5_t, config5>(layer13_cpy1, layer5_out, w5, b5); // fd

    nnet::clone_stream<layer5_t, layer5_t, 4>(layer5_out, layer16_cpy1, layer16_cpy2, layer16_cpy3); // clone_fd

    nnet::add<layer3_t, input4_t, layer6_t, config6>(layer14_cpy1, layer15_cpy1, layer6_out); // add

    nnet::subtract<layer3_t, input4_t, layer7_t, config7>(layer14_cpy2, layer15_cpy2, layer7_out); // subtract

    nnet::multiply<layer3_t, input4_t, layer8_t, config8>(layer14_cpy3, layer15_cpy3, layer8_out); // multiply

    nnet::average<layer3_t, input4_t, layer9_t, config9>(layer14_cpy4, layer15_cpy4, layer9_out); // average

    nnet::maximum<layer5_t, input2_t, layer10_t, config10>(layer16_cpy1, layer13_cpy2, layer10_out); // maximum

    nnet::minimum<layer5_t, input2_t, layer11_t, config11>(layer16_cpy2, layer13_cpy3, layer11_out); // minimum

    nnet::concatenate1d<layer5_t, input2_t, layer12_t, config12>(layer16_cpy3, layer13_cpy4, layer12_out); // concatenate

}

