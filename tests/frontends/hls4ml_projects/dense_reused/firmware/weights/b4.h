//Numpy array shape [3]
//Min -0.490940809250
//Max 0.043605636805
//Number of zeros 0

#ifndef B4_H_
#define B4_H_

#ifndef __SYNTHESIS__
d1_bias_t b4[3];
#else
d1_bias_t b4[3] = {0.043606, -0.490941, -0.273291};

#endif

#endif
