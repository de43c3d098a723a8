//Numpy array shape [4]
//Min -0.659514963627
//Max 0.489858776331
//Number of zeros 0

#ifndef B4_H_
#define B4_H_

#ifndef __SYNTHESIS__
fc2_bias_t b4[4];
#else
fc2_bias_t b4[4] = {-0.6595149636, 0.1017552465, 0.4898587763, -0.1190107390};

#endif

#endif
