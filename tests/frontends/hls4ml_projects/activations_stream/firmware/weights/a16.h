//Numpy array shape [4]
//Min -0.324325829744
//Max 0.358353227377
//Number of zeros 0

#ifndef A16_H_
#define A16_H_

#ifndef __SYNTHESIS__
a_prelu_param_t a16[4];
#else
a_prelu_param_t a16[4] = {-0.324326, 0.300898, 0.101379, 0.358353};

#endif

#endif
