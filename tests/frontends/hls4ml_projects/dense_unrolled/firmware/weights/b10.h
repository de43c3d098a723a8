//Numpy array shape [3]
//Min 0.083666987717
//Max 0.788989543915
//Number of zeros 0

#ifndef B10_H_
#define B10_H_

#ifndef __SYNTHESIS__
d7_bias_t b10[3];
#else
d7_bias_t b10[3] = {0.265463, 0.788990, 0.083667};

#endif

#endif
