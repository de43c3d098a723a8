//Numpy array shape [4]
//Min -0.110241159797
//Max 0.517625510693
//Number of zeros 0

#ifndef B2_H_
#define B2_H_

#ifndef __SYNTHESIS__
fc0_bias_t b2[4];
#else
fc0_bias_t b2[4] = {0.0032568723, -0.1102411598, 0.5176255107, 0.4026897252};

#endif

#endif
