//Numpy array shape [6, 3]
//Min -1.169595003128
//Max 2.010097026825
//Number of zeros 0

#ifndef W11_H_
#define W11_H_

#ifndef __SYNTHESIS__
d8_weight_t w11[18];
#else
d8_weight_t w11[18] = {-0.4147, 0.0761, -1.1696, -0.8212, 0.3451, 2.0101, -0.0882, -0.0210, 0.5807, 0.4464, 0.1128, 0.6162, -0.0507, 0.1218, -0.4023, 0.9221, -0.6526, -0.7975};

#endif

#endif
