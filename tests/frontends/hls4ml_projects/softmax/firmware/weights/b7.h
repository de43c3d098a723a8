//Numpy array shape [4]
//Min -0.592727303505
//Max -0.044004306197
//Number of zeros 0

#ifndef B7_H_
#define B7_H_

#ifndef __SYNTHESIS__
d4_bias_t b7[4];
#else
d4_bias_t b7[4] = {-0.1380862892, -0.5927273035, -0.0440043062, -0.1783312559};

#endif

#endif
