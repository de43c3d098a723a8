//Numpy array shape [4]
//Min -0.900341689587
//Max 0.422297120094
//Number of zeros 0

#ifndef B8_H_
#define B8_H_

#ifndef __SYNTHESIS__
d5_bias_t b8[4];
#else
d5_bias_t b8[4] = {-0.0379313342, -0.1035392284, 0.4222971201, -0.9003416896};

#endif

#endif
