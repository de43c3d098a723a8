//Numpy array shape [3]
//Min -0.312763392925
//Max 0.003256872296
//Number of zeros 0

#ifndef B3_H_
#define B3_H_

#ifndef __SYNTHESIS__
d0_bias_t b3[3];
#else
d0_bias_t b3[3] = {-0.312763, -0.102877, 0.003257};

#endif

#endif
