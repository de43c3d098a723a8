//Numpy array shape [6]
//Min -0.653688013554
//Max 2.307373046875
//Number of zeros 0

#ifndef B4_H_
#define B4_H_

#ifndef __SYNTHESIS__
bn_bias_t b4[6];
#else
bn_bias_t b4[6] = {-0.2587727308, -0.2874560952, 2.3073730469, -0.6536880136, -0.6277241707, -0.0319641083};

#endif

#endif
