//Numpy array shape [3]
//Min -0.400369942188
//Max 1.019159078598
//Number of zeros 0

#ifndef B8_H_
#define B8_H_

#ifndef __SYNTHESIS__
d5_bias_t b8[3];
#else
d5_bias_t b8[3] = {0.246752, 1.019159, -0.400370};

#endif

#endif
