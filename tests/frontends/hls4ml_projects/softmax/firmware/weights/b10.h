//Numpy array shape [4]
//Min -0.500278294086
//Max 1.019159078598
//Number of zeros 0

#ifndef B10_H_
#define B10_H_

#ifndef __SYNTHESIS__
d7_bias_t b10[4];
#else
d7_bias_t b10[4] = {1.0191590786, -0.4003699422, -0.5002782941, 0.2355875671};

#endif

#endif
