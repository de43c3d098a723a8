//Numpy array shape [3]
//Min -0.392875254154
//Max 0.109116539359
//Number of zeros 0

#ifndef B5_H_
#define B5_H_

#ifndef __SYNTHESIS__
d2_bias_t b5[3];
#else
d2_bias_t b5[3] = {0.021641, 0.109117, -0.392875};

#endif

#endif
