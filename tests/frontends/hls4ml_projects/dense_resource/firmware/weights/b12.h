//Numpy array shape [3]
//Min -0.387671798468
//Max 0.746858179569
//Number of zeros 0

#ifndef B12_H_
#define B12_H_

#ifndef __SYNTHESIS__
d9_bias_t b12[3];
#else
d9_bias_t b12[3] = {0.746858, -0.387672, -0.118434};

#endif

#endif
