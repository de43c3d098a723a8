//Numpy array shape [4]
//Min -0.294581621885
//Max 0.239538490772
//Number of zeros 0

#ifndef B3_H_
#define B3_H_

#ifndef __SYNTHESIS__
d0_bias_t b3[4];
#else
d0_bias_t b3[4] = {-0.2945816219, -0.0651639774, -0.1928477287, 0.2395384908};

#endif

#endif
