//Numpy array shape [3]
//Min -0.621892452240
//Max 0.034791700542
//Number of zeros 0

#ifndef B11_H_
#define B11_H_

#ifndef __SYNTHESIS__
d8_bias_t b11[3];
#else
d8_bias_t b11[3] = {-0.311855, 0.034792, -0.621892};

#endif

#endif
